"""The pseudo-labels of a training run: of each real photo the best-rated restoration so far, in a label store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from basicsr.utils.dist_util import get_dist_info
from torch import Tensor

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.store import LabelStore, provenance_hash
from wxr_plugin.models.guard import gathered
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import Rater

TEACHER = "teacher@"


class Candidate(NamedTuple):
    """An image that is, or may become, the pseudo-label of `key`."""

    key: str
    image: np.ndarray
    """uint8 RGB (H, W, 3)."""
    source: str
    """ "input", "teacher@<iteration>", or whatever the store was filled from."""
    rating: float | None = None
    """In [1, 5]; None until the rater of this run has seen the image."""


def is_better(candidate: Candidate, stored: Candidate | None) -> bool:
    """WResVLM's gate: a rated candidate replaces a stored one only if its rating is higher, or if there is none."""
    return stored is None or stored.rating is None or candidate.rating > stored.rating


class PseudoLabels:
    """Reads, compares and, at `write`, stores pseudo-labels.

    Nothing reaches the store before `write`, so that an update that is dropped leaves no trace. With several processes
    each rates the photos of its own batch, and rank 0 alone writes.

    Attributes:
        ratings: on rank 0, the rating of each pseudo-label by key.
        accepted: on rank 0, how many restorations of the teacher have become pseudo-labels.
    """

    def __init__(self, path: Path, rater: Rater):
        self.rater, self.rater_hash = rater, provenance_hash(rater.provenance)
        self.is_writer = get_dist_info()[0] == 0
        writable = LabelStore(path) if self.is_writer else None
        _wait_for_all()
        self.store = writable or LabelStore(path, readonly=True)
        self.ratings: dict[str, float] = {}
        self.accepted = 0
        self._pending: list[Candidate] = []

    def start(self) -> None:
        """Begin a new run from what the store holds; WxrError if that is of another run's iterations."""
        labels = self.store.pseudo_labels()
        newest = max((label.iteration for label in labels), default=0)
        if newest > 0:
            raise WxrError(
                f"{self.store.path} holds pseudo-labels of a run that came to iteration {newest}: resume that run, or "
                "give this one another train.labels"
            )
        self.ratings = {label.key: label.rating for label in labels if label.rater == self.rater_hash}

    def best(self, keys: Sequence[str], photos: Tensor, restored: Tensor | None, source: str) -> tuple[Tensor, Tensor]:
        """The best-rated images (N, 3, H, W) in [0, 1] for `photos` of that shape, and their ratings (N,).

        For each photo they compare the stored pseudo-label (the photo itself where there is none) and, unless None,
        `restored`, the teacher's image, which `source` names. What has no rating yet is rated in one call and waits for
        `write`; an image that cannot be rated counts as 1, one that is not finite is left out.
        """
        stored = [self._stored(key) or Candidate(key, image, "input") for key, image in zip(keys, _arrays(photos))]
        offered = [] if restored is None else _finite(keys, restored, source)
        best: dict[str, Candidate] = {}
        for candidate in self._rated([*stored, *offered]):
            if is_better(candidate, best.get(candidate.key)):
                best[candidate.key] = candidate
        images = torch.stack([_tensor(best[key].image) for key in keys])
        return images.to(photos.device), torch.tensor([best[key].rating for key in keys], device=photos.device)

    def discard(self) -> None:
        """Forget what waits for `write`."""
        self._pending = []

    def write(self, iteration: int) -> None:
        """Store, as of `iteration`, what waits on all ranks and is still better. Every rank has to call it."""
        waiting = [candidate for part in gathered(self._pending) for candidate in part]
        self.discard()
        if self.is_writer:
            self._store_better(waiting, iteration)
        _wait_for_all()

    def commit(self, iteration: int, keep: int) -> None:
        """A checkpoint of `iteration` is on the disk; drop what only those before the last `keep` need."""
        if self.is_writer:
            self.store.commit_pseudo(iteration, keep)

    def state(self) -> dict[str, Any]:
        """What a training state needs besides the store."""
        return {"accepted": self.accepted, "ratings": dict(self.ratings)}

    def resume(self, state: dict[str, Any], iteration: int) -> None:
        """Go back to the pseudo-labels that the checkpoint of `iteration` knew. Every rank has to call it."""
        self.accepted, self.ratings = state["accepted"], dict(state["ratings"])
        if self.is_writer:
            self.store.rollback_pseudo(iteration)
        _wait_for_all()

    def _stored(self, key: str) -> Candidate | None:
        label = self.store.get_pseudo(key)
        if label is None:
            return None
        rating = label.rating if label.rater == self.rater_hash else None  # other raters' ratings do not compare
        return Candidate(key, label.image, label.source, rating)

    def _rated(self, candidates: list[Candidate]) -> list[Candidate]:
        new = [candidate for candidate in candidates if candidate.rating is None]
        if new:
            ratings = self.rater.rate([candidate.image for candidate in new]).rating.nan_to_num(nan=1.0).tolist()
            new = [candidate._replace(rating=rating) for candidate, rating in zip(new, ratings)]
        self._pending += new
        return [candidate for candidate in candidates if candidate.rating is not None] + new

    def _store_better(self, candidates: list[Candidate], iteration: int) -> None:
        better: dict[str, Candidate] = {}
        for candidate in candidates:
            if is_better(candidate, better.get(candidate.key) or self._stored(candidate.key)):
                better[candidate.key] = candidate
        with self.store.batch():
            for key, image, source, rating in better.values():
                self.store.put_pseudo(key, image, rating, source, iteration, self.rater_hash)
        self.ratings |= {key: candidate.rating for key, candidate in better.items()}
        self.accepted += sum(candidate.source.startswith(TEACHER) for candidate in better.values())


def _finite(keys: Sequence[str], restored: Tensor, source: str) -> list[Candidate]:
    finite = restored.isfinite().flatten(1).all(1).tolist()
    return [Candidate(key, image, source) for key, image, ok in zip(keys, _arrays(restored), finite) if ok]


def _arrays(images: Tensor) -> list[np.ndarray]:
    return [image.permute(1, 2, 0).contiguous().numpy() for image in to_uint8(images)]


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def _wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()
