"""Asking a vision-language model about a folder of photos, each once, into a label store."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import torch

from wxr_plugin.data.image_io import BadImageError, read_image
from wxr_plugin.data.lmdb_io import ImageStore
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, content_hash
from wxr_plugin.vlm.describer import Describer
from wxr_plugin.vlm.rater import Rater

READERS = 4
"""Threads that read and decode photos while the model works."""


class Asker(Protocol):
    """What is asked about each photo, and how its answers are stored."""

    kind: str
    """ "rating" or "description"."""
    provenance: dict[str, Any]

    def ask(self, images: list[np.ndarray]) -> list[Any]:
        """One answer for each uint8 RGB image; None where there is none to be had."""

    def put(self, store: LabelStore, key: str, content: str, answer: Any) -> None:
        """Store one answer."""


class RatingAsker:
    """Asks for ratings."""

    kind = "rating"

    def __init__(self, rater: Rater):
        self.rater, self.provenance = rater, rater.provenance

    def ask(self, images: list[np.ndarray]) -> list[tuple[float, list[float]] | None]:
        """Rating and logits of each image; None where a logit is not finite."""
        ratings, logits = self.rater.rate(images)
        return [(r, row) if r == r else None for r, row in zip(ratings.tolist(), logits.tolist())]

    def put(self, store: LabelStore, key: str, content: str, answer: tuple[float, list[float]]) -> None:
        """Store a rating and its logits."""
        store.put_rating(key, content, self.provenance, *answer)


class DescriptionAsker:
    """Asks for descriptions."""

    kind = "description"

    def __init__(self, describer: Describer):
        self.describer, self.provenance = describer, describer.provenance

    def ask(self, images: list[np.ndarray]) -> list[str | None]:
        """A text about each image; None where the model said nothing."""
        return [text or None for text in self.describer.describe(images)]

    def put(self, store: LabelStore, key: str, content: str, answer: str) -> None:
        """Store a description."""
        store.put_description(key, content, self.provenance, answer)


class Tally(msgspec.Struct):
    """What a pass over some photos came to."""

    asked: int = 0
    """Photos the model was asked about."""
    calls: int = 0
    """Batches it was asked in."""
    reused: int = 0
    """Photos whose answer was in the store already."""
    seen: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """(key, content hash) of every photo that could be read."""
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each photo without an answer, from this pass or an earlier one."""


class _Photo(NamedTuple):
    key: str
    content: str
    image: np.ndarray | None = None
    """Set where the model has to be asked."""
    reason: str = ""
    """Why there is no answer; empty where there is one or will be."""
    known: bool = False
    """The store has this already."""


def label_photos(
    photos: ImageStore,
    asker: Asker,
    store: LabelStore,
    batch_size: int,
    retry_failed: bool = False,
    progress: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Ask about every photo that the store has no answer for, and store each batch in one step.

    Photos that failed before are passed over unless `retry_failed`. `progress(n, tally)` is called when n more photos
    are done. Killed at any moment, the store holds every batch up to the last, and another call goes on from there.

    Raises:
        WxrError: the GPU's memory does not hold a batch.
    """
    tally, waiting = Tally(), []
    load = _Loader(photos, asker, store, retry_failed)
    for photo in _ahead(load, photos.keys(), 2 * max(batch_size, READERS)):
        if photo.content:
            tally.seen.append((photo.key, photo.content))
        if photo.image is not None:
            waiting.append(photo)
        else:
            _settle(photo, photos, asker, store, tally)
            progress(1, tally)
        if len(waiting) == batch_size:
            progress(_ask(waiting, photos, asker, store, tally), tally)
            waiting = []
    if waiting:
        progress(_ask(waiting, photos, asker, store, tally), tally)
    return tally


class _Loader:
    """Reads one photo and looks up what the store knows of it."""

    def __init__(self, photos: ImageStore, asker: Asker, store: LabelStore, retry_failed: bool):
        self.photos, self.asker, self.store, self.retry_failed = photos, asker, store, retry_failed

    def __call__(self, key: str) -> _Photo:
        content = ""
        try:
            data = self.photos.encoded(key)
            content = content_hash(data)
            reason = self._known(key, content)
            if reason is not None:
                return _Photo(key, content, reason=reason, known=True)
            return _Photo(key, content, read_image(data, self.photos.path(key)))
        except BadImageError as error:
            reason = str(error).removeprefix(f"{self.photos.path(key)}: ")
            return _Photo(key, content, reason=reason, known=not content and self._known(key, "") is not None)

    def _known(self, key: str, content: str) -> str | None:
        """Empty for an answer, a reason for a failure that is not to be tried again, None for neither."""
        of = key, content, self.asker.provenance
        if (self.store.get_rating if self.asker.kind == "rating" else self.store.get_description)(*of):
            return ""
        failure = self.store.get_failure(*of, self.asker.kind)
        return failure.reason if failure and not self.retry_failed else None


def _settle(photo: _Photo, photos: ImageStore, asker: Asker, store: LabelStore, tally: Tally) -> None:
    """Count a photo that needs no model, and note a failure that is new."""
    if not photo.reason:
        tally.reused += 1
        return
    if not photo.known:
        store.put_failure(photo.key, photo.content, asker.provenance, photo.reason, asker.kind)
    tally.failed.append(f"{photos.path(photo.key)}: {photo.reason}{' (earlier)' if photo.known else ''}")


def _ask(waiting: list[_Photo], photos: ImageStore, asker: Asker, store: LabelStore, tally: Tally) -> int:
    try:
        answers = asker.ask([photo.image for photo in waiting])
    except torch.OutOfMemoryError as error:
        raise WxrError(f"a batch of {len(waiting)} photos does not fit the GPU; give a smaller --batch-size") from error
    with store.batch():
        for photo, answer in zip(waiting, answers):
            if answer is None:
                _settle(photo._replace(reason="the model gave no usable answer"), photos, asker, store, tally)
            else:
                asker.put(store, photo.key, photo.content, answer)
    tally.asked, tally.calls = tally.asked + len(waiting), tally.calls + 1
    return len(waiting)


def _ahead(load: Callable[[str], _Photo], keys: Iterable[str], depth: int) -> Iterator[_Photo]:
    """`load(key)` of every key, in order, up to `depth` of them running ahead in threads."""
    with ThreadPoolExecutor(READERS) as readers:
        running: deque[Future[_Photo]] = deque()
        for key in keys:
            running.append(readers.submit(load, key))
            if len(running) >= depth:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
