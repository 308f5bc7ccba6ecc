"""Looking at a label store and correcting its pseudo-labels by hand."""

import datetime
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.rows import encode_png
from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.utils.files import write_bytes

PERSON = "person"
"""Source of a pseudo-label that a person chose."""
JOURNAL = "corrections.jsonl"
SUFFIX = ".corrections"
"""Suffix of the folder next to a store that keeps what was replaced."""


class LabelRow(NamedTuple):
    """A pseudo-label in the table of the page."""

    key: str
    rating: float
    source: str
    iteration: int


def rows(store: Path) -> list[LabelRow]:
    """Return the newest pseudo-label of every image of a store."""
    with LabelStore(store, readonly=True) as labels:
        index = labels.pseudo_index()
    return [
        LabelRow(key, round(info.rating, 3), info.source, info.iteration)
        for key, info in index.items()
    ]


def versions(store: Path, key: str) -> list[tuple[np.ndarray, str]]:
    """Return the stored versions of a label with a caption each, newest first."""
    with LabelStore(store, readonly=True) as labels:
        history = labels.pseudo_history(key)
    if not history:
        raise WxrError(f"{store} has no pseudo-label of {key}")
    return [
        (label.image, f"{label.source}, rated {label.rating:.2f}, iteration {label.iteration}")
        for label in reversed(history)
    ]


def votes(store: Path, key: str) -> list[tuple[str, float, str, str]]:
    """Return the ratings of an image's candidates: content, rating, rater, and what became of it.

    A candidate is the label in force, was one before, or was refused, in which case the store
    holds its rating alone.
    """
    with LabelStore(store, readonly=True) as labels:
        provenances = labels.provenances()
        ratings = [row for row in labels.answers("rating") if row.key == key]
        history = [label.content for label in labels.pseudo_history(key)]
    table = []
    for row in ratings:
        name = str(provenances.get(row.provenance, {}).get("model", row.provenance))
        if history and row.content == history[-1]:
            state = "label in force"
        else:
            state = "earlier label" if row.content in history else "refused"
        table.append((row.content[:8], round(getattr(row, "rating", math.nan), 3), name, state))
    return table


def provenance(store: Path, key: str) -> list[tuple[str, str]]:
    """Return the provenance of the label in force of `key`: names and values.

    Blocks are flattened, as in `before.source`. A label without a rater has no provenance.
    """
    with LabelStore(store, readonly=True) as labels:
        label = labels.get_pseudo(key)
        facts = labels.provenances().get(label.rater or "", {}) if label else {}
    return list(_flat(facts))


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value)


def correct(store: Path, key: str, image: np.ndarray, rating: float, who: str) -> None:
    """Replace the newest pseudo-label of `key` by `image`, uint8 RGB of the same size.

    What it replaces is written next to the store first: its image, and a line with who corrected
    it, when, and what was there. The new row names the person as its source and rater.

    Raises:
        WxrError: no such label, another size, a rating outside [1, 5], or no name.
    """
    if not who.strip():
        raise WxrError("name yourself: a corrected label says who corrected it")
    if not 1 <= rating <= 5:
        raise WxrError(f"rating {rating:g}: take 1 (bad) to 5 (excellent)")
    with LabelStore(store) as labels:
        before = labels.get_pseudo(key)
        if before is None:
            raise WxrError(f"{store} has no pseudo-label of {key}")
        old = before.image
        if image.shape != old.shape:
            size, wanted = (f"{s[1]}x{s[0]}" for s in (image.shape, old.shape))
            raise WxrError(f"the new label is {size} pixels, the stored one {wanted}")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        facts = {
            "key": key,
            "who": who.strip(),
            "time": now,
            "before": {
                "content": before.content or content_hash(old),
                "rating": before.rating,
                "source": before.source,
                "iteration": before.iteration,
                "rater": before.rater,
            },
            "after": content_hash(image),
        }
        _keep(store, old, facts)
        rater = labels.put_provenance({"model": PERSON, **facts})
        labels.put_pseudo(key, image, rating, PERSON, before.iteration, rater)


def _keep(store: Path, old: np.ndarray, facts: dict[str, Any]) -> None:
    """Write the replaced image and append a line to the journal; both are on the disk after it."""
    folder = store.with_name(store.name + SUFFIX)
    folder.mkdir(exist_ok=True)
    write_bytes(folder / f"{facts['before']['content']}.png", encode_png(old))
    with (folder / JOURNAL).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(facts, ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
