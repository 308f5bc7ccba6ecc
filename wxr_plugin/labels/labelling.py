"""Asking a model about images, each once, into a label store."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np
import torch

from wxr_plugin.data.images.io import BadImageError
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.sources import Picture, Source
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.vlm.describer import Describer
from wxr_plugin.vlm.rater import Rater

T, S = TypeVar("T"), TypeVar("S")

READERS = 4
"""Threads that read and decode photos while the model works."""


class LabelTask(Protocol):
    """What is asked about each image, and how its answers are stored."""

    kind: str
    """ "rating" or "description"."""
    provenance: dict[str, Any]

    def ask(self, images: list[np.ndarray]) -> list[Any]:
        """One answer for each uint8 RGB image; None where there is none to be had."""

    def put(self, store: LabelStore, key: str, content: str, answer: Any) -> None:
        """Store one answer."""


class RatingTask:
    """Asks for ratings."""

    kind = "rating"

    def __init__(self, rater: Rater):
        self.rater, self.provenance = rater, rater.provenance

    def ask(self, images: list[np.ndarray]) -> list[tuple[float, list[float]] | None]:
        """Rating and logits of each image; None where it got no rating."""
        ratings, logits = self.rater.rate(images)
        return [(r, row) if r == r else None for r, row in zip(ratings.tolist(), logits.tolist())]

    def put(
        self, store: LabelStore, key: str, content: str, answer: tuple[float, list[float]]
    ) -> None:
        """Store a rating and its logits."""
        store.put_rating(key, content, self.provenance, *answer)


class DescriptionTask:
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
    """What a pass over some images came to."""

    asked: int = 0
    """Images the model was asked about."""
    calls: int = 0
    """Batches it was asked in."""
    reused: int = 0
    """Images whose answer was in the store already."""
    seen: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """(key, content hash) of every image that could be read."""
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each image without an answer, from this pass or an earlier one."""

    def __str__(self) -> str:
        return f"asked {self.asked}, reused {self.reused}, failed {len(self.failed)}"


class _Loaded(NamedTuple):
    picture: Picture
    image: np.ndarray | None = None
    """Set where the model has to be asked."""
    reason: str = ""
    """Why there is no answer; empty where there is one or will be."""
    known: bool = False
    """The store has this already."""


def label_photos(
    source: Source,
    task: LabelTask,
    store: LabelStore,
    batch_size: int,
    retry_failed: bool = False,
    progress: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Ask about every image that the store has no answer for, and store each batch in one step.

    Images that failed before are passed over unless `retry_failed`. `progress(n, tally)` is called
    when n more are done, of `len(source) * source.each` in all. Killed at any moment, the store
    holds every batch up to the last, and another call goes on from there.

    Raises:
        WxrError: the GPU's memory does not hold a batch.
    """
    tally, waiting = Tally(), []
    load = _Loader(task, store, retry_failed)
    for group in _ahead(load, source.groups(), max(2, 2 * max(batch_size, READERS) // source.each)):
        progress(source.each - len(group), tally)
        for loaded in group:
            if loaded.picture.content:
                tally.seen.append((loaded.picture.key, loaded.picture.content))
            if loaded.image is not None:
                waiting.append(loaded)
            else:
                _settle(loaded, task, store, tally)
                progress(1, tally)
            if len(waiting) == batch_size:
                progress(_ask(waiting, task, store, tally), tally)
                waiting = []
    if waiting:
        progress(_ask(waiting, task, store, tally), tally)
    if task.kind == "description":
        _make_newest(tally.seen, task, store)
    return tally


def _make_newest(seen: list[tuple[str, str]], task: LabelTask, store: LabelStore) -> None:
    """Of several descriptions of an image the newest counts, so one that was asked for again is stored anew."""
    newest = store.descriptions()
    with store.batch():
        for key, content in seen:
            row = store.get_description(key, content, task.provenance)
            if row and row != newest.get(key):
                task.put(store, key, content, row.text)


class _Loader:
    """Reads one group of images and looks up what the store knows of them."""

    def __init__(self, task: LabelTask, store: LabelStore, retry_failed: bool):
        self.task, self.store, self.retry_failed = task, store, retry_failed

    def __call__(self, group: Callable[[], list[Picture]]) -> list[_Loaded]:
        return [self._load(picture) for picture in group()]

    def _load(self, picture: Picture) -> _Loaded:
        reason = self._known(picture)
        if reason is not None:
            return _Loaded(picture, reason=reason, known=True)
        if picture.reason:
            return _Loaded(picture, reason=picture.reason)
        try:
            return _Loaded(picture, picture.read())
        except BadImageError as error:
            return _Loaded(picture, reason=str(error).removeprefix(f"{picture.place}: "))

    def _known(self, picture: Picture) -> str | None:
        """Empty for an answer, a reason for a failure that is not to be tried again, None for neither."""
        of = picture.key, picture.content, self.task.provenance
        if (self.store.get_rating if self.task.kind == "rating" else self.store.get_description)(
            *of
        ):
            return ""
        failure = self.store.get_failure(*of, self.task.kind)
        return failure.reason if failure and not self.retry_failed else None


def _settle(loaded: _Loaded, task: LabelTask, store: LabelStore, tally: Tally) -> None:
    """Count an image that needs no model, and note a failure that is new."""
    picture, reason = loaded.picture, loaded.reason
    if not reason:
        tally.reused += 1
        return
    if not loaded.known:
        store.put_failure(picture.key, picture.content, task.provenance, reason, task.kind)
    tally.failed.append(f"{picture.place}: {reason}{' (earlier)' if loaded.known else ''}")


def _ask(waiting: list[_Loaded], task: LabelTask, store: LabelStore, tally: Tally) -> int:
    try:
        answers = task.ask([loaded.image for loaded in waiting])
    except torch.OutOfMemoryError as error:
        raise WxrError(
            f"a batch of {len(waiting)} photos does not fit the GPU; give a smaller --batch-size"
        ) from error
    with store.batch():
        for loaded, answer in zip(waiting, answers):
            if answer is None:
                _settle(
                    loaded._replace(reason="the model gave no usable answer"), task, store, tally
                )
            else:
                task.put(store, loaded.picture.key, loaded.picture.content, answer)
    tally.asked, tally.calls = tally.asked + len(waiting), tally.calls + 1
    return len(waiting)


def _ahead(load: Callable[[T], S], items: Iterable[T], depth: int) -> Iterator[S]:
    """`load(item)` of every item, in order, up to `depth` of them running ahead in threads."""
    with ThreadPoolExecutor(READERS) as readers:
        running: deque[Future[S]] = deque()
        for item in items:
            running.append(readers.submit(load, item))
            if len(running) >= depth:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
