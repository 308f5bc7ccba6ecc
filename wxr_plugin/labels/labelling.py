"""Labelling of images by a model, each once, into a label store."""

import math
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

T = TypeVar("T")
S = TypeVar("S")

READERS = 4
"""Threads that read and decode photos while the model runs."""


class LabelTask(Protocol):
    """A model's question about each image, and the storage of its answers.

    Attributes:
        kind: "rating" or "description".
        provenance: all that an answer depends on except the image.
    """

    kind: str
    provenance: dict[str, Any]

    def ask(self, images: list[np.ndarray]) -> list[Any]:
        """Return an answer for each uint8 RGB image (H, W, 3); None if the model gave none."""

    def put(self, store: LabelStore, key: str, content: str, answer: Any) -> None:
        """Store an answer about the image `key` with that `content_hash`."""


class RatingTask:
    """Rating of images."""

    kind = "rating"

    def __init__(self, rater: Rater):
        self.rater = rater
        self.provenance = rater.provenance

    def ask(self, images: list[np.ndarray]) -> list[tuple[float, list[float]] | None]:
        """Return rating and logits of each image; None for an image without a rating."""
        ratings, logits = self.rater.rate(images)
        answers = []
        for rating, of_image in zip(ratings.tolist(), logits.tolist()):
            # NaN: the model gave no rating.
            answers.append(None if math.isnan(rating) else (rating, of_image))
        return answers

    def put(
        self,
        store: LabelStore,
        key: str,
        content: str,
        answer: tuple[float, list[float]],
    ) -> None:
        """Store a rating and its logits."""
        store.put_rating(key, content, self.provenance, *answer)


class DescriptionTask:
    """Description of images."""

    kind = "description"

    def __init__(self, describer: Describer):
        self.describer = describer
        self.provenance = describer.provenance

    def ask(self, images: list[np.ndarray]) -> list[str | None]:
        """Return a text about each image; None if the model said nothing."""
        return [text or None for text in self.describer.describe(images)]

    def put(self, store: LabelStore, key: str, content: str, answer: str) -> None:
        """Store a description."""
        store.put_description(key, content, self.provenance, answer)


class Tally(msgspec.Struct):
    """Counts of a pass over some images."""

    asked: int = 0
    """Images that the model labelled."""
    calls: int = 0
    """Batches of them."""
    reused: int = 0
    """Images with an answer in the store."""
    seen: list[tuple[str, str]] = msgspec.field(default_factory=list)
    """(key, content hash) of every image that could be read."""
    failed: list[str] = msgspec.field(default_factory=list)
    """A line for each image without an answer, from this pass or an earlier one."""

    def __str__(self) -> str:
        return f"asked {self.asked}, reused {self.reused}, failed {len(self.failed)}"


class _Loaded(NamedTuple):
    picture: Picture
    image: np.ndarray | None = None
    """Set if the model has to label it."""
    reason: str = ""
    """Why there is no answer; empty if there is one or will be."""
    is_stored: bool = False
    """Whether the answer or the reason is in the store."""


def label_photos(
    source: Source,
    task: LabelTask,
    store: LabelStore,
    batch_size: int,
    retry_failed: bool = False,
    progress: Callable[[int, Tally], None] = lambda done, tally: None,
) -> Tally:
    """Label every image that the store has no answer for, and store each batch atomically.

    Images that failed before are skipped unless `retry_failed`. `progress(n, tally)` is called when
    n more are done, of `len(source) * source.group_size` in all. Killed at any moment, the store
    holds every batch up to the last, and another call continues from there.

    Raises:
        WxrError: the GPU's memory does not hold a batch.
    """
    tally = Tally()
    waiting: list[_Loaded] = []
    load = _Loader(task, store, retry_failed)
    # Two batches of decoded images are enough to keep the model busy.
    depth = max(2, 2 * max(batch_size, READERS) // source.group_size)
    for group in _ahead(load, source.groups(), depth):
        # A group may hold fewer pictures than the total counts for it.
        progress(source.group_size - len(group), tally)
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
    """Store the descriptions of this pass again if they are not the newest of their images.

    Of several descriptions of an image the newest counts, also one that was only reused.
    """
    newest = store.descriptions()
    with store.batch():
        for key, content in seen:
            row = store.get_description(key, content, task.provenance)
            if row and row != newest.get(key):
                task.put(store, key, content, row.text)


class _Loader:
    """Reads one group of images and looks up their answers in the store."""

    def __init__(self, task: LabelTask, store: LabelStore, retry_failed: bool):
        self.task = task
        self.store = store
        self.retry_failed = retry_failed

    def __call__(self, group: Callable[[], list[Picture]]) -> list[_Loaded]:
        return [self._load(picture) for picture in group()]

    def _load(self, picture: Picture) -> _Loaded:
        reason = self._stored(picture)
        if reason is not None:
            return _Loaded(picture, reason=reason, is_stored=True)
        if picture.reason:  # its source could not read it
            return _Loaded(picture, reason=picture.reason)
        try:
            return _Loaded(picture, picture.read())
        except BadImageError as error:
            return _Loaded(picture, reason=str(error).removeprefix(f"{picture.place}: "))

    def _stored(self, picture: Picture) -> str | None:
        """Return "" for an answer, the reason of a failure that stays one, or None for neither."""
        kind = self.task.kind
        image = picture.key, picture.content, self.task.provenance
        get = self.store.get_rating if kind == "rating" else self.store.get_description
        if get(*image):
            return ""
        failure = self.store.get_failure(*image, kind)
        return failure.reason if failure and not self.retry_failed else None


def _settle(loaded: _Loaded, task: LabelTask, store: LabelStore, tally: Tally) -> None:
    """Count an image that needs no model, and store a new failure."""
    picture = loaded.picture
    reason = loaded.reason
    if not reason:
        tally.reused += 1
        return
    line = f"{picture.place}: {reason}"
    if loaded.is_stored:
        line += " (earlier)"
    else:
        store.put_failure(picture.key, picture.content, task.provenance, reason, task.kind)
    tally.failed.append(line)


def _ask(waiting: list[_Loaded], task: LabelTask, store: LabelStore, tally: Tally) -> int:
    """Label a batch, store the answers, and return its size."""
    try:
        answers = task.ask([loaded.image for loaded in waiting])
    except torch.OutOfMemoryError as error:
        raise WxrError(
            f"a batch of {len(waiting)} photos does not fit the GPU; give a smaller --batch-size"
        ) from error
    with store.batch():  # a killed call has all answers of a batch or none
        for loaded, answer in zip(waiting, answers):
            if answer is None:
                failed = loaded._replace(reason="the model gave no usable answer")
                _settle(failed, task, store, tally)
            else:
                task.put(store, loaded.picture.key, loaded.picture.content, answer)
    tally.asked += len(waiting)
    tally.calls += 1
    return len(waiting)


def _ahead(load: Callable[[T], S], items: Iterable[T], depth: int) -> Iterator[S]:
    """Yield `load(item)` of every item, in order, with up to `depth` loading in threads."""
    with ThreadPoolExecutor(READERS) as readers:
        running: deque[Future[S]] = deque()
        for item in items:
            running.append(readers.submit(load, item))
            if len(running) >= depth:
                yield running.popleft().result()
        # The last items, which no further submission pushes out.
        while running:
            yield running.popleft().result()
