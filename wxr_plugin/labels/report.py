"""Output of `wxr label`: summaries of what was just labelled."""

from itertools import islice
from typing import Any

from wxr_plugin.labels.labelling import LabelTask, Tally
from wxr_plugin.labels.rewriting import without_description
from wxr_plugin.labels.store import LabelStore, Rating
from wxr_plugin.labels.summary import histogram_interval
from wxr_plugin.utils.tables import print_histogram

EXTREMES = 3
"""Number of the worst, and of the best, photos that a summary names."""


def print_ratings(store: LabelStore, task: LabelTask, tally: Tally) -> dict[str, Any]:
    """Print mean, histogram, worst and best of the photos that were just labelled.

    Returns:
        The same as plain values, for JSON; empty without a rating.
    """
    rows = []
    for key, content in tally.seen:
        row = store.get_rating(key, content, task.provenance)
        if row:
            rows.append(row)
    if not rows:
        return {}
    rows.sort(key=lambda row: row.rating)
    ratings = [row.rating for row in rows]
    mean = sum(ratings) / len(ratings)
    intervals = histogram(ratings)
    print(f"mean rating {mean:.3f} over {len(ratings)} photos")
    print_histogram(list(intervals.items()))
    worst = rows[:EXTREMES]
    best = rows[::-1][:EXTREMES]
    print(f"worst: {_listed(worst)}")
    print(f"best:  {_listed(best)}")
    return {
        "mean": mean,
        "count": len(ratings),
        "histogram": intervals,
        "worst": {row.key: row.rating for row in worst},
        "best": {row.key: row.rating for row in best},
    }


def print_descriptions(store: LabelStore, task: LabelTask, tally: Tally) -> dict[str, Any]:
    """Print the first few descriptions of the photos that were just labelled, and return all."""
    rows = (store.get_description(*photo, task.provenance) for photo in tally.seen)
    texts = {row.key: row.text for row in rows if row}
    for key, text in islice(texts.items(), EXTREMES):
        print(f"{key}: {text}")
    return {"texts": texts}


def print_rewrites(store: LabelStore, provenance: dict[str, Any], tally: Tally) -> dict[str, Any]:
    """Print the first few descriptions with their rewrites, and photos without a description.

    Returns:
        All of them as plain values, for JSON.
    """
    newest = store.descriptions()
    # A rewrite belongs to the text that it rewrites.
    rows = (store.get_rewrite(key, newest[key].text, provenance) for key, _ in tally.seen)
    existing = list(filter(None, rows))
    for row in existing[:EXTREMES]:
        print(f"{row.key}: {row.source}\n  -> {row.text}")
    missing = without_description(store)
    if missing:
        names = _first_names(missing)
        print(f"without description: {len(missing)} ({names}); `wxr label describe` makes them")
    texts = {row.key: row.text for row in existing}
    return {"texts": texts, "without_description": missing}


def _first_names(names: list[str]) -> str:
    """Return the first few names, and an ellipsis if there are more."""
    text = ", ".join(names[:EXTREMES])
    if len(names) > EXTREMES:
        text += ", …"
    return text


def print_tally(store: LabelStore, tally: Tally, asked_about: str = "photos") -> None:
    """Print the failures, then the counts in one line."""
    for line in tally.failed:
        print(f"failed: {line}")
    earlier = [line for line in tally.failed if line.endswith("(earlier)")]
    if earlier:
        print("--retry-failed tries again what failed earlier")
    asked = f"asked about {tally.asked} {asked_about} in {tally.calls} model calls"
    failed = len(tally.failed)
    print(f"{store.path}: {asked}, reused {tally.reused}, failed {failed}")


def tallied(store: LabelStore, tally: Tally) -> dict[str, Any]:
    """Return the counts and the failures as plain values, for JSON."""
    counts = {"asked": tally.asked, "calls": tally.calls, "reused": tally.reused}
    return {"store": store.path, **counts, "failed": tally.failed}


def histogram(ratings: list[float]) -> dict[str, int]:
    """Return the number of ratings in each half point from 1 to 5, keyed by interval: 1.0-1.5."""
    counts = dict.fromkeys(map(histogram_interval, (1 + place / 2 for place in range(8))), 0)
    for rating in ratings:
        counts[histogram_interval(rating)] += 1
    return counts


def _listed(rows: list[Rating]) -> str:
    names = [f"{row.key} {row.rating:.2f}" for row in rows]
    return ", ".join(names)
