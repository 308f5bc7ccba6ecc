"""Rewriting the stored descriptions for clear weather, each text once."""

from collections.abc import Callable, Mapping

from wxr_plugin.data.real_photos import split_key
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.labelling import Tally
from wxr_plugin.labels.store import Description, LabelStore, content_hash
from wxr_plugin.vlm.rewriter import Rewriter

BATCH = 32
"""Texts in one call, whose answers are stored in one step."""


def rewrite_descriptions(
    store: LabelStore,
    rewriter: Rewriter,
    retry_failed: bool = False,
    progress: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Rewrite the newest description of every image that has no rewrite of it by this rewriter.

    Images with the same description share one answer. Descriptions that failed before are passed
    over unless `retry_failed`. `progress(n, tally)` is called when n more are done, of
    `len(to_rewrite(store))`. Killed at any moment, the store holds every batch up to the last.

    Raises:
        WxrError: the store has no descriptions, or the rewriter as a whole does not work.
    """
    newest = to_rewrite(store)
    work = _Work(store, rewriter, Tally(seen=[(row.key, row.content) for row in newest.values()]))
    todo = [row for row in newest.values() if not work.is_settled(row, retry_failed)]
    progress(len(newest) - len(todo), work.tally)
    by_text: dict[str, list[Description]] = {}
    for row in todo:
        by_text.setdefault(row.text, []).append(row)
    texts = list(by_text)
    for start in range(0, len(texts), BATCH):
        part = {text: by_text[text] for text in texts[start : start + BATCH]}
        work.ask(part)
        progress(sum(map(len, part.values())), work.tally)
    return work.tally


def to_rewrite(store: LabelStore) -> dict[str, Description]:
    """The newest description of every image, by name. WxrError if there are none."""
    if newest := store.descriptions():
        return newest
    raise WxrError(
        f"{store.path}: no descriptions in it to rewrite; `wxr label describe PHOTOS -o "
        f"{store.path}` makes them"
    )


class _Work:
    """The store, the rewriter, and what has come of it."""

    def __init__(self, store: LabelStore, rewriter: Rewriter, tally: Tally):
        self.store, self.rewriter, self.tally = store, rewriter, tally
        self.provenance = rewriter.provenance

    def is_settled(self, row: Description, retry_failed: bool) -> bool:
        """Count a description that is rewritten already, or failed and is not to be tried again."""
        if self.store.get_rewrite(row.key, row.text, self.provenance):
            self.tally.reused += 1
            return True
        failure = self.store.get_failure(
            row.key, content_hash(row.text.encode()), self.provenance, "rewrite"
        )
        if failure is None or retry_failed:
            return False
        self.tally.failed.append(f"{row.key}: {failure.reason} (earlier)")
        return True

    def ask(self, descriptions: Mapping[str, list[Description]]) -> None:
        """Have each text rewritten and store the answer for every image that it describes."""
        answers = self.rewriter.rewrite(list(descriptions))
        with self.store.batch():
            for (text, rows), answer in zip(descriptions.items(), answers):
                for row in rows:
                    self._put(row, text, answer)
        self.tally.asked, self.tally.calls = (
            self.tally.asked + len(descriptions),
            self.tally.calls + 1,
        )

    def _put(self, row: Description, text: str, answer: str | None) -> None:
        if answer:
            self.store.put_rewrite(row.key, text, self.provenance, answer)
            return
        reason = f"the rewriter gave nothing usable for: {text}"
        self.store.put_failure(
            row.key, content_hash(text.encode()), self.provenance, reason, "rewrite"
        )
        self.tally.failed.append(f"{row.key}: {reason}")


def without_description(store: LabelStore) -> list[str]:
    """Names of what the store rates or has a pseudo-label of, and whose photo, crop or pseudo-label nobody described.

    A crop counts as described when its photo is.
    """
    described = set(store.descriptions())
    known = {row.key for row in store.answers("rating")} | {
        row.key for row in store.answers("description")
    }
    known |= set(store.pseudo_index())
    return sorted(
        key for key in known if key not in described and split_key(key)[0] not in described
    )
