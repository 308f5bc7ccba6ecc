"""The pseudo-labels of a training run: of each real photo the best-rated restoration so far, in a label store."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, LabelStoreError, content_hash, provenance_hash
from wxr_plugin.pseudo_labelling.asking import Asker, FailureLog, check_memory
from wxr_plugin.pseudo_labelling.gate import (
    TEACHER,
    Candidate,
    Question,
    from_array,
    is_better,
    to_arrays,
)
from wxr_plugin.pseudo_labelling.rating_proxy import Lesson, RatingProxy
from wxr_plugin.pseudo_labelling.stored import StoredLabels
from wxr_plugin.utils.gpus import local_rank
from wxr_plugin.utils.ranks import gathered


class Labels(NamedTuple):
    """Pseudo-labels of a batch."""

    images: Tensor
    """(N, 3, H, W) in [0, 1]."""
    ratings: Tensor
    """(N,) in [1, 5]."""
    versions: list[str] | None
    """What tells one label of a crop from the next, by content; None for images that never come again."""


class News(NamedTuple):
    """What one process has learnt since the last update."""

    better: list[Candidate]
    asked: dict[str, int]
    lessons: list[Lesson]
    failures: list[str]
    out_of_memory: list[str]
    rated: int


class PseudoLabels:
    """Reads, compares and, at `write`, stores pseudo-labels.

    Nothing reaches the store before `write`, so that an update that is dropped leaves no trace.
    With several processes each asks about the photos of its own batch, and what they learnt is
    shared at `write`; then the first process of each node writes, the same everywhere, and the
    others on its node read.

    Args:
        path: the label store; with several nodes, a folder of each node's own.
        asker: how the rater is asked.
        every: a crop is asked about at most once in so many iterations.
        proxy: decides what is worth asking about; everything when None.
        margin: by how much a new image has to be rated higher than the label it replaces; below 0,
            how much lower it may be rated.

    Attributes:
        ratings: on writers, the rating of each pseudo-label by key.
        accepted: on writers, how many restorations of the teacher have become pseudo-labels.
        rated: how many images were rated, by all processes.
        failures: images that got no rating, and the log of it.
    """

    def __init__(
        self,
        path: Path,
        asker: Asker,
        every: int = 1,
        proxy: RatingProxy | None = None,
        margin: float = 0.0,
    ):
        self.asker, self.every, self.proxy, self.margin = asker, every, proxy, margin
        self.rater_hash = provenance_hash(asker.provenance)
        self.is_writer = local_rank() == 0
        self.store = _open(path, self.is_writer)
        self.stored = StoredLabels(self.store, self.rater_hash)
        self.failures = FailureLog(asker.provenance)
        self.ratings: dict[str, float] = {}
        self.accepted = self.rated = 0
        self._asked: dict[str, int] = {}
        self.discard()

    def start(self) -> None:
        """Begin a new run from what the store holds.

        What a run that was killed before its first checkpoint has added is taken back.

        Raises:
            WxrError: the store is that of a run with checkpoints, or the stores of several nodes
                differ.
        """
        labels = self.store.pseudo_labels()
        newest = max((label.iteration for label in labels), default=0)
        if newest > 0 and self.is_writer:
            self._take_back(newest)
        _wait_for_all()
        labels = self.store.pseudo_labels()
        self.ratings = {
            label.key: label.rating for label in labels if label.rater == self.rater_hash
        }
        self._compare_nodes(
            [(label.key, label.rating, label.rater, content_hash(label.png)) for label in labels]
        )

    def due(self, keys: Sequence[str], iteration: int) -> list[int]:
        """The positions in `keys` of the crops that may be asked about now."""
        asked = self._asked | self._news_asked if self.every > 1 else {}
        late = [iteration - asked.get(key, -self.every) >= self.every for key in keys]
        return [row for row, key in enumerate(keys) if late[row] and not self.asker.is_busy(key)]

    def best(
        self,
        keys: Sequence[str],
        photos: Tensor,
        iteration: int,
        rows: Sequence[int] = (),
        restored: Tensor | None = None,
        rivals: Tensor | None = None,
    ) -> Labels:
        """The best-rated images for `photos` (N, 3, H, W) in [0, 1], as far as is known now.

        The label of a photo is the stored one, the crop of its whole photo's, or the photo itself.
        `restored` (M, 3, H, W) are the teacher's images of the photos at `rows`; the rater is asked
        about them, and about those of their labels that it has not seen. An image that is not
        finite, or that gets no rating, changes nothing. `rivals` (M, 3, H, W) are images that they
        have to beat besides.
        """
        known = {key: self._label(key, image) for key, image in zip(keys, to_arrays(photos))}
        questions = self._questions([known[keys[row]] for row in rows], restored, rivals, iteration)
        for question in self.asker.ask(questions):
            self._learn(question, known, iteration)
        best = [known[key] for key in keys]
        images = torch.stack([from_array(label.image) for label in best]).to(photos.device)
        ratings = [label.trust if label.rating is None else label.rating for label in best]
        return Labels(
            images,
            torch.tensor(ratings, device=photos.device),
            [content_hash(x.image) for x in best],
        )

    def discard(self) -> None:
        """Forget what waits for `write`."""
        self._better: dict[str, Candidate] = {}
        self._news_asked: dict[str, int] = {}
        self._lessons: list[Lesson] = []

    def write(self, iteration: int) -> None:
        """Store, as of `iteration`, what waits on all ranks and is still better.

        Every rank has to call it.

        Raises RatingMemoryError, on every rank, if the rater of any of them ran out of memory.
        """
        news = gathered(self._news())
        self.discard()
        check_memory([line for part in news for line in part.out_of_memory], iteration)
        for part in news:
            self._asked |= part.asked
            self.rated += part.rated
            self.failures.add(part.failures)
        if self.proxy:
            self.proxy.learn([lesson for part in news for lesson in part.lessons])
        if self.is_writer:
            self._store_better([candidate for part in news for candidate in part.better], iteration)
        _wait_for_all()

    def commit(self, iteration: int, keep: int) -> None:
        """A checkpoint of `iteration` is on the disk; drop what only those before the last `keep` need."""
        if self.is_writer:
            self.store.commit_pseudo(iteration, keep)

    def close(self) -> None:
        """Nothing will be asked any more."""
        self.asker.close()

    def state(self) -> dict[str, Any]:
        """What a training state needs besides the store; plain types and tensors."""
        counts = {"accepted": self.accepted, "rated": self.rated, "failures": self.failures.count}
        proxy = self.proxy.state() if self.proxy else None
        return {**counts, "ratings": dict(self.ratings), "asked": dict(self._asked), "proxy": proxy}

    def resume(self, state: dict[str, Any], iteration: int) -> None:
        """Go back to the pseudo-labels that the checkpoint of `iteration` knew.

        Every rank has to call it.
        """
        self.accepted, self.ratings = state["accepted"], dict(state["ratings"])
        self.rated, self.failures.count = state.get("rated", 0), state.get("failures", 0)
        self._asked = dict(state.get("asked", {}))
        if self.proxy and state.get("proxy"):
            self.proxy.load_state(state["proxy"])
        if self.is_writer:
            self.store.rollback_pseudo(iteration)
        _wait_for_all()

    def _news(self) -> News:
        """What this process has to tell, of which what the asker counted is told once."""
        failures, self.asker.failures = self.asker.failures, []
        out_of_memory, self.asker.out_of_memory = self.asker.out_of_memory, []
        rated, self.asker.rated = self.asker.rated, 0
        return News(
            list(self._better.values()),
            self._news_asked,
            self._lessons,
            failures,
            out_of_memory,
            rated,
        )

    def _label(self, key: str, photo: Any) -> Candidate:
        stored = self._better.get(key) or self.stored.of(key, photo.shape[:2])
        return stored or Candidate(key, photo, "input")

    def _questions(
        self,
        labels: list[Candidate],
        restored: Tensor | None,
        rivals: Tensor | None,
        iteration: int,
    ) -> list[Question]:
        if not labels:
            return []
        finite = restored.isfinite().flatten(1).all(1).tolist()
        images = [image if fine else None for image, fine in zip(to_arrays(restored), finite)]
        features = self.proxy.features(restored) if self.proxy else [None] * len(labels)
        others = to_arrays(rivals) if rivals is not None else [None] * len(labels)
        made = [
            self._question(*parts, iteration) for parts in zip(labels, images, others, features)
        ]
        return sorted(
            (each for each in made if each and each.unrated()), key=lambda each: -each.chance
        )

    def _question(
        self, label: Candidate, image: Any, other: Any, features: Any, iteration: int
    ) -> Question | None:
        if image is None:
            return Question(label, None)
        offered = Candidate(label.key, image, f"{TEACHER}{iteration}")
        rival = Candidate(label.key, other, "student") if other is not None else None
        chance = 1.0
        if self.proxy and label.rating is not None:
            chance = self.proxy.chance(label.key, features, label.rating + self.margin)
            if not self.proxy.is_worth_it(chance):
                return None
        return Question(label, offered, rival, features, chance)

    def _learn(self, question: Question, known: dict[str, Candidate], iteration: int) -> None:
        key, offered = question.key, question.offered
        self._news_asked |= {key: iteration} if self.every > 1 else {}
        for candidate in question.valid():
            stored = known.get(key) or self._better.get(key) or self.stored.own(key)
            if is_better(candidate, stored, self.margin if candidate is offered else inf):
                known[key] = self._better[key] = candidate
        if (
            self.proxy
            and question.label.rating is not None
            and offered is not None
            and offered.rating is not None
        ):
            self._lessons.append(
                Lesson(key, question.features, offered.rating, question.label.rating)
            )

    def _store_better(self, candidates: list[Candidate], iteration: int) -> None:
        better: dict[str, Candidate] = {}
        for candidate in candidates:
            if is_better(
                candidate, better.get(candidate.key) or self.stored.own(candidate.key), self.margin
            ):
                better[candidate.key] = candidate
        with self.store.batch():
            for key, image, source, rating, _ in better.values():
                self.store.put_pseudo(key, image, rating, source, iteration, self.rater_hash)
        self.ratings |= {key: candidate.rating for key, candidate in better.items()}
        self.accepted += sum(candidate.source.startswith(TEACHER) for candidate in better.values())

    def _take_back(self, newest: int) -> None:
        try:
            count = self.store.rollback_pseudo(0)
        except LabelStoreError as error:
            raise WxrError(
                f"{self.store.path} holds pseudo-labels of a run that came to iteration {newest}: "
                f"resume that run, or "
                "give this one another train.labels, say one made with `wxr label init --from` "
                "this one"
            ) from error
        get_root_logger().warning(
            f"{self.store.path}: {count} pseudo-labels of a run that ended at iteration {newest} "
            f"without a checkpoint "
            "were taken back; this run begins from those before it"
        )

    def _compare_nodes(self, labels: list[tuple]) -> None:
        digests = gathered(content_hash(repr(labels).encode()))
        if any(digest != digests[0] for digest in digests):
            raise WxrError(
                f"{self.store.path}: the label stores of the nodes differ: copy that of the first "
                f"node to the others"
            )


def _open(path: Path, is_writer: bool) -> LabelStore:
    try:
        writable = LabelStore(path) if is_writer else None
    except LabelStoreError as error:
        if get_dist_info()[0] == 0:
            raise
        raise WxrError(
            f"{error}. The label store is written once on each node: set train.labels to a folder "
            f"on each node's own "
            "disk, with the same content everywhere"
        ) from error
    _wait_for_all()
    return writable or LabelStore(path, readonly=True)


def _wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()
