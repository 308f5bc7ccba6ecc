"""Rewriting of the stored descriptions for clear weather, each text once."""

from collections.abc import Callable, Mapping

from wxr_plugin.data.real_photos import split_key
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.labelling import Tally
from wxr_plugin.labels.store import Description, LabelStore, content_hash
from wxr_plugin.vlm.rewriter import Rewriter

BATCH = 32
"""Texts in one call, whose answers are stored atomically."""


def rewrite_descriptions(
    store: LabelStore,
    rewriter: Rewriter,
    retry_failed: bool = False,
    progress: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Rewrite the newest description of every image that has no rewrite of it by this rewriter.

    Images with the same description share one answer. Descriptions that failed before are skipped
    unless `retry_failed`. `progress(n, tally)` is called when n more are done, of
    `len(to_rewrite(store))`. Killed at any moment, the store holds every batch up to the last.

    Raises:
        WxrError: the store has no descriptions, or the rewriter as a whole does not work.
    """
    newest = to_rewrite(store)
    seen = [(row.key, row.content) for row in newest.values()]
    work = _Work(store, rewriter, Tally(seen=seen))
    # One request for each text, however many images have it.
    by_text: dict[str, list[Description]] = {}
    settled = 0
    for row in newest.values():
        if work.is_settled(row, retry_failed):
            settled += 1
        else:
            by_text.setdefault(row.text, []).append(row)
    progress(settled, work.tally)
    texts = list(by_text)
    for start in range(0, len(texts), BATCH):
        end = start + BATCH
        batch = {text: by_text[text] for text in texts[start:end]}
        work.ask(batch)
        images = sum(len(rows) for rows in batch.values())
        progress(images, work.tally)
    return work.tally


def to_rewrite(store: LabelStore) -> dict[str, Description]:
    """Return the newest description of every image, keyed by name. Raises WxrError without any."""
    newest = store.descriptions()
    if newest:
        return newest
    raise WxrError(
        f"{store.path}: no descriptions in it to rewrite; `wxr label describe PHOTOS -o "
        f"{store.path}` makes them"
    )


class _Work:
    """The store, the rewriter, and the counts so far."""

    def __init__(self, store: LabelStore, rewriter: Rewriter, tally: Tally):
        self.store = store
        self.rewriter = rewriter
        self.tally = tally
        self.provenance = rewriter.provenance

    def is_settled(self, row: Description, retry_failed: bool) -> bool:
        """Return whether a description needs no rewrite, and count it then.

        It is rewritten already, or failed before and is not tried again.
        """
        if self.store.get_rewrite(row.key, row.text, self.provenance):
            self.tally.reused += 1
            return True
        content = content_hash(row.text.encode())
        failure = self.store.get_failure(row.key, content, self.provenance, "rewrite")
        if failure is None or retry_failed:
            return False
        self.tally.failed.append(f"{row.key}: {failure.reason} (earlier)")
        return True

    def ask(self, descriptions: Mapping[str, list[Description]]) -> None:
        """Have each text rewritten and store the answer for every image that it describes."""
        answers = self.rewriter.rewrite(list(descriptions))
        # A killed call has all answers of a batch or none.
        with self.store.batch():
            for text, answer in zip(descriptions, answers):
                # Rows are found by name, so each image gets its own.
                for row in descriptions[text]:
                    self._put(row, text, answer)
        self.tally.asked += len(descriptions)
        self.tally.calls += 1

    def _put(self, row: Description, text: str, answer: str | None) -> None:
        """Store a rewrite, or that there is none."""
        if answer:
            self.store.put_rewrite(row.key, text, self.provenance, answer)
            return
        reason = f"the rewriter gave nothing usable for: {text}"
        content = content_hash(text.encode())
        self.store.put_failure(row.key, content, self.provenance, reason, "rewrite")
        self.tally.failed.append(f"{row.key}: {reason}")


def without_description(store: LabelStore) -> list[str]:
    """Return the names of rated images and pseudo-labels without a description.

    A crop counts as described when its photo is.
    """
    described = set(store.descriptions())
    names = set(store.pseudo_index())
    for kind in ("rating", "description"):
        names.update(row.key for row in store.answers(kind))
    missing = []
    for name in names - described:
        # The photo of a crop, and a photo itself.
        photo, _ = split_key(name)
        if photo not in described:
            missing.append(name)
    return sorted(missing)
