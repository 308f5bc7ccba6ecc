"""The pseudo-labels of a training: the best-rated restoration of each real photo, in a store."""

from collections.abc import Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, LabelStoreError, content_hash, provenance_hash
from wxr_plugin.pseudo_labelling.gate import (
    TEACHER,
    Candidate,
    RatingRequest,
    from_array,
    is_better,
    is_from_teacher,
    to_arrays,
)
from wxr_plugin.pseudo_labelling.gate_counts import GateCounts
from wxr_plugin.pseudo_labelling.gate_examples import GateExamples
from wxr_plugin.pseudo_labelling.label_reader import LabelReader
from wxr_plugin.pseudo_labelling.rating_client import FailureLog, RatingClient, check_memory
from wxr_plugin.pseudo_labelling.rating_proxy import ProxySample, RatingProxy
from wxr_plugin.pseudo_labelling.rating_view import (
    PLAIN,
    Surroundings,
    View,
    ViewSettings,
    rater_hash,
    rater_name,
)
from wxr_plugin.utils.gpus import local_rank
from wxr_plugin.utils.ranks import gathered


class Labels(NamedTuple):
    """Pseudo-labels of a batch."""

    images: Tensor
    """(N, 3, H, W) in [0, 1]."""
    ratings: Tensor
    """(N,) in [1, 5]."""
    versions: list[str] | None
    """Content hash of each label, the key of cached features; None for images that never recur."""


class LabelRating(NamedTuple):
    """A rating for the ratings table of the label store."""

    key: str
    content: str
    """`content_hash` of the image."""
    rating: float
    logits: tuple[float, ...]


class RankUpdate(NamedTuple):
    """Contribution of one rank to the next `write`."""

    better: list[Candidate]
    """Images that beat the label of their key."""
    ratings: list[LabelRating]
    """Ratings of labels that this rater had not seen."""
    visited: dict[str, int]
    """Key -> iteration in which its images were rated, where `every` is above 1."""
    samples: list[ProxySample]
    failures: list[str]
    out_of_memory: list[str]
    rated: int
    compared: int


class PseudoLabels:
    """Reads, compares and, at `write`, stores pseudo-labels.

    Nothing reaches the store before `write`, so that an update that is dropped leaves no trace.
    With several ranks each rates the photos of its own batch, and `write` shares the results; then
    the first rank of each node writes, the same everywhere, and the others on its node read.

    `write` also puts ratings into the store's ratings table, so that a later panel with the same
    rater need not rate these images again: those of new labels, and those of labels and photos
    that the training began with. Images that lost are never seen again, so their ratings are not
    stored. The training itself does not read the table: a resumed run decides by the same ratings
    as one that was never stopped.

    Args:
        path: the label store; with several nodes, a folder on each node's own disk.
        client: sends images to the rater.
        every: a crop is rated at most once every `every` iterations.
        proxy: decides which images are worth rating; all of them when None.
        margin: how much higher a new image has to be rated than the label that it replaces; below
            0, how much lower it may be rated.
        view: how crops are shown to the rater.
        examples: number of accepted, and of refused, images that are kept for reports.

    Attributes:
        ratings: on writers, key -> rating of the pseudo-label.
        accepted: on writers, number of images of the teacher that have become pseudo-labels.
        rated: number of images that were rated, by all ranks.
        compared: number of images of the teacher that were compared with a label, by all ranks.
        examples: decisions of this rank's gate.
        failures: counts and logs images without a rating.
    """

    def __init__(
        self,
        path: Path,
        client: RatingClient,
        every: int = 1,
        proxy: RatingProxy | None = None,
        margin: float = 0.0,
        view: ViewSettings = PLAIN,
        examples: int = 0,
    ):
        self.client = client
        self.every = every
        self.proxy = proxy
        self.margin = margin
        self.view = view
        self.provenance = view.provenance(client.provenance)
        self.rater_hash = provenance_hash(self.provenance)
        self.is_writer = local_rank() == 0
        self.store = _open(path, self.is_writer)
        self.stored = LabelReader(self.store)
        self.failures = FailureLog(client.provenance)
        self.ratings: dict[str, float] = {}
        self.accepted = self.rated = self.compared = 0
        self.examples = GateExamples(examples)
        self._visited: dict[str, int] = {}
        self.discard()

    def start(self) -> None:
        """Begin a new run from the labels in the store.

        Rows of a run that was killed before its first checkpoint are removed.

        Raises:
            WxrError: the store is that of a run with checkpoints, or the stores of several nodes
                differ.
        """
        labels = self.store.pseudo_labels()
        # Labels that a panel made are of iteration 0; later ones are of a training.
        newest = max((label.iteration for label in labels), default=0)
        if newest > 0 and self.is_writer:
            self._remove_added(newest)
        if self.is_writer and not self.view.is_plain:
            self.store.put_provenance(self.provenance)  # for `wxr label show`
        _wait_for_all()
        labels = self.store.pseudo_labels()
        own = [label for label in labels if rater_hash(label.rater) == self.rater_hash]
        self.ratings = {label.key: label.rating for label in own}
        self._compare_nodes(
            [(label.key, label.rating, label.rater, content_hash(label.png)) for label in labels]
        )

    def due(self, keys: Sequence[str], iteration: int) -> list[int]:
        """Return the positions in `keys` of the crops that may be rated now."""
        visited = self._visited | self._new_visits if self.every > 1 else {}
        waited = [iteration - visited.get(key, -self.every) for key in keys]
        return [
            row
            for row, key in enumerate(keys)
            if waited[row] >= self.every and not self.client.is_busy(key)
        ]

    def best(
        self,
        keys: Sequence[str],
        photos: Tensor,
        iteration: int,
        rows: Sequence[int] = (),
        restored: Tensor | None = None,
        rivals: Tensor | None = None,
        surroundings: Sequence[Surroundings] | None = None,
    ) -> Labels:
        """Return the best-rated images for `photos` (N, 3, H, W) in [0, 1], by the ratings so far.

        The label of a photo is the stored one, the crop of its whole photo's, or the photo itself.
        `restored` (M, 3, H, W) are the teacher's images of the photos at `rows`; they are rated,
        and so are those of their labels that the rater has not seen. An image that is not finite,
        or that gets no rating, changes nothing. `rivals` (M, 3, H, W) are further images that they
        have to beat. `surroundings` are those of all N photos, for a view with context.
        """
        views = dict(zip(keys, self._views(surroundings or [None] * len(keys))))
        labels = {
            key: self._label(key, image, views[key]) for key, image in zip(keys, to_arrays(photos))
        }
        visited = [labels[keys[row]] for row in rows]
        requests = [
            request._replace(view=views[request.key])
            for request in self._requests(visited, restored, rivals, iteration)
        ]
        # An asynchronous client returns requests of earlier batches too, and perhaps none of these.
        for request in self.client.rate(requests):
            self._learn(request, labels, iteration)
        chosen = [labels[key] for key in keys]
        # An unrated label counts by the rating of whoever stored it.
        images = torch.stack([from_array(label.image) for label in chosen])
        ratings = [label.trust if label.rating is None else label.rating for label in chosen]
        return Labels(
            images.to(photos.device),
            torch.tensor(ratings, device=photos.device),
            [content_hash(label.image) for label in chosen],
        )

    def discard(self) -> None:
        """Drop everything that waits for `write`."""
        self._better: dict[str, Candidate] = {}
        self._new_ratings: dict[str, LabelRating] = {}
        self._new_visits: dict[str, int] = {}
        self._samples: list[ProxySample] = []
        self._new_compared = 0
        self.examples.discard()

    def write(self, iteration: int) -> None:
        """Store, as of `iteration`, candidates of all ranks that are still better.

        Every rank has to call it.

        Raises RatingMemoryError, on every rank, if the rater of any of them ran out of memory.
        """
        self.examples.keep()
        updates = gathered(self._rank_update())
        self.discard()
        check_memory([line for update in updates for line in update.out_of_memory], iteration)
        for update in updates:
            self._visited |= update.visited
            self.rated += update.rated
            self.compared += update.compared
            self.failures.add(update.failures)
        if self.proxy:
            self.proxy.learn([sample for update in updates for sample in update.samples])
        if self.is_writer:
            self._store(updates, iteration)
        _wait_for_all()

    def commit(self, iteration: int, keep: int) -> None:
        """Drop rows that none of the last `keep` checkpoints, up to `iteration`, needs."""
        if self.is_writer:
            self.store.commit_pseudo(iteration, keep)

    def close(self) -> None:
        """Release the rater; no rating follows."""
        self.client.close()

    def counts(self, iteration: int) -> GateCounts:
        """Return the counts up to `iteration`; complete on writers."""
        ratings = self.ratings.values()
        mean = sum(ratings) / len(ratings) if ratings else None
        return GateCounts(
            iteration,
            self.rated,
            self.accepted,
            self.failures.count,
            len(ratings),
            mean,
            self.compared,
        )

    def state(self) -> dict[str, Any]:
        """Return what a training state needs in addition to the store; plain types and tensors."""
        return {
            "accepted": self.accepted,
            "rated": self.rated,
            "compared": self.compared,
            "failures": self.failures.count,
            "ratings": dict(self.ratings),
            "asked": dict(self._visited),
            "proxy": self.proxy.state() if self.proxy else None,
        }

    def resume(self, state: dict[str, Any], iteration: int) -> None:
        """Return to the pseudo-labels that the checkpoint of `iteration` knew.

        Every rank has to call it.
        """
        self.accepted = state["accepted"]
        self.ratings = dict(state["ratings"])
        self.rated = state.get("rated", 0)
        self.compared = state.get("compared", 0)
        self.failures.count = state.get("failures", 0)
        self._visited = dict(state.get("asked", {}))
        if self.proxy and state.get("proxy"):
            self.proxy.load_state(state["proxy"])
        if self.is_writer:
            self.store.rollback_pseudo(iteration)
        _wait_for_all()

    def _rank_update(self) -> RankUpdate:
        """Return this rank's contribution, and reset the counts of the client."""
        client = self.client
        update = RankUpdate(
            list(self._better.values()),
            list(self._new_ratings.values()),
            self._new_visits,
            self._samples,
            client.failures,
            client.out_of_memory,
            client.rated,
            self._new_compared,
        )
        # Every count enters one update only.
        client.failures = []
        client.out_of_memory = []
        client.rated = 0
        return update

    def _views(self, surroundings: Sequence[Surroundings | None]) -> list[View]:
        """Return how each crop is shown: in the label of its photo if there is one."""
        chosen = [part and self.stored.surroundings(part) for part in surroundings]
        return [self.view.view(part) for part in chosen]

    def _label(self, key: str, photo: np.ndarray, view: View) -> Candidate:
        waiting = self._better.get(key)  # of this update, which is not written yet
        rater = rater_name(self.rater_hash, view)
        stored = waiting or self.stored.of(key, photo.shape[:2], rater)
        return stored or Candidate(key, photo, "input", rater=rater)

    def _requests(
        self,
        labels: list[Candidate],
        restored: Tensor | None,
        rivals: Tensor | None,
        iteration: int,
    ) -> list[RatingRequest]:
        """Return requests for `labels` with the teacher's and the student's images of each.

        The most promising come first.
        """
        if not labels:
            return []
        nothing = [None] * len(labels)
        # NaN would become some 8-bit value, so images that have one are left out.
        is_finite = restored.isfinite().flatten(1).all(1).tolist()
        images = [
            image if finite else None for image, finite in zip(to_arrays(restored), is_finite)
        ]
        students = nothing if rivals is None else to_arrays(rivals)
        features = self.proxy.features(restored) if self.proxy else nothing
        requests = [
            self._request(*parts, iteration) for parts in zip(labels, images, students, features)
        ]
        useful = [request for request in requests if request and request.unrated()]
        return sorted(useful, key=lambda request: -request.chance)

    def _request(
        self,
        label: Candidate,
        teacher: np.ndarray | None,
        student: np.ndarray | None,
        features: Tensor | None,
        iteration: int,
    ) -> RatingRequest | None:
        """Return a request for one crop; None if the proxy finds the teacher's image hopeless."""
        if teacher is None:
            return RatingRequest(label, None)
        offered = Candidate(label.key, teacher, f"{TEACHER}{iteration}", rater=label.rater)
        rival = None if student is None else Candidate(label.key, student, "student")
        chance = 1.0
        if self.proxy and label.rating is not None:
            chance = self.proxy.chance(label.key, features, label.rating + self.margin)
            if not self.proxy.is_worth_it(chance):
                return None
        return RatingRequest(label, offered, rival, features, chance)

    def _learn(self, request: RatingRequest, labels: dict[str, Candidate], iteration: int) -> None:
        """Update `labels` and what waits for `write` by a rated request."""
        key = request.key
        label = request.label
        offered = request.offered
        if self.every > 1:
            self._new_visits[key] = iteration
        # Rated by this run, and an image that a later panel sees again even if it loses now.
        if self.view.is_plain and label.logits and not is_from_teacher(label):
            self._new_ratings.setdefault(key, _label_rating(label))
        is_accepted = False
        for candidate in request.valid():
            # A late answer may be about a crop that is not in this batch.
            waiting = labels.get(key) or self._better.get(key)
            current = waiting or self.stored.own(key, candidate.rater)
            # A label wins only over an unrated one, which it was itself until now.
            margin = self.margin if candidate is offered else inf
            if is_better(candidate, current, margin):
                labels[key] = self._better[key] = candidate
                is_accepted = candidate is offered
        has_ratings = (
            label.rating is not None and offered is not None and offered.rating is not None
        )
        if has_ratings:
            self._new_compared += 1
            self.examples.add(iteration, request, is_accepted)
        if self.proxy and has_ratings:
            self._samples.append(ProxySample(key, request.features, offered.rating, label.rating))

    def _store(self, updates: list[RankUpdate], iteration: int) -> None:
        """Store the best candidate of each key, and the ratings, in one transaction."""
        better: dict[str, Candidate] = {}
        candidates = [candidate for update in updates for candidate in update.better]
        # Several ranks may have visited one crop.
        for candidate in candidates:
            waiting = better.get(candidate.key)
            current = waiting or self.stored.own(candidate.key, candidate.rater)
            if is_better(candidate, current, self.margin):
                better[candidate.key] = candidate
        new_ratings = self._new_rows(updates, better.values())
        with self.store.batch():
            for label in better.values():
                self.store.put_pseudo(
                    label.key, label.image, label.rating, label.source, iteration, label.rater
                )
            for key, content, rating, logits in new_ratings:
                self.store.put_rating(
                    key, content, self.client.provenance, rating, logits, iteration
                )
        self.ratings |= {key: candidate.rating for key, candidate in better.items()}
        self.accepted += sum(is_from_teacher(candidate) for candidate in better.values())

    def _new_rows(
        self, updates: list[RankUpdate], better: Iterable[Candidate]
    ) -> list[LabelRating]:
        """Return one rating for each image that the store has no rating of by this rater.

        None for a view that is not plain: a panel rates bare images, so it cannot use them. An
        older row stays as it is, since it may be a panel's and must outlive a rollback.
        """
        if not self.view.is_plain:
            return []
        ratings = [rating for update in updates for rating in update.ratings]
        ratings += [_label_rating(candidate) for candidate in better]
        first: dict[tuple[str, str], LabelRating] = {}
        for rating in ratings:
            first.setdefault((rating.key, rating.content), rating)
        provenance = self.client.provenance
        return [
            rating
            for (key, content), rating in first.items()
            if self.store.get_rating(key, content, provenance) is None
        ]

    def _remove_added(self, newest: int) -> None:
        try:
            count = self.store.rollback_pseudo(0)
        except LabelStoreError as error:
            raise WxrError(
                f"{self.store.path} holds pseudo-labels of a run that came to iteration {newest}: "
                "resume that run, or give this one another train.labels, for example one made "
                "with `wxr label init --from` this one"
            ) from error
        get_root_logger().warning(
            f"{self.store.path}: {count} pseudo-labels of a run that ended at iteration {newest} "
            "without a checkpoint were removed; this run begins from those before it"
        )

    def _compare_nodes(self, labels: list[tuple]) -> None:
        digests = gathered(content_hash(repr(labels).encode()))
        if any(digest != digests[0] for digest in digests):
            raise WxrError(
                f"{self.store.path}: the label stores of the nodes differ: copy that of the first "
                "node to the others"
            )


def _label_rating(candidate: Candidate) -> LabelRating:
    content = content_hash(candidate.image)
    return LabelRating(candidate.key, content, candidate.rating, candidate.logits)


def _open(path: Path, is_writer: bool) -> LabelStore:
    """Open the store for writing on writers, for reading elsewhere, once the writers have it."""
    try:
        writable = LabelStore(path) if is_writer else None
    except LabelStoreError as error:
        if get_dist_info()[0] == 0:
            raise
        raise WxrError(
            f"{error}. The label store is written once on each node: set train.labels to a folder "
            "on each node's own disk, with the same content everywhere"
        ) from error
    # Readers need the store that their node's writer has created.
    _wait_for_all()
    return writable or LabelStore(path, readonly=True)


def _wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()
