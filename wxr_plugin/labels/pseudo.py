"""Pseudo-labels with versions, so that a training run resumes with exactly those that its checkpoint knew."""

from itertools import pairwise

import msgspec
import numpy as np

from wxr_plugin.labels.base import StoreBase
from wxr_plugin.labels.environment import Change, LabelStoreError
from wxr_plugin.labels.rows import PseudoInfo, PseudoLabel, encode_png, pseudo_prefix, pseudo_row

COMMITS = b"pseudo-commits"
PSEUDO = b"pseudo/"


class PseudoLabels(StoreBase):
    """The part of the label store that training reads and updates.

    Every put stores a version under its training iteration. A checkpoint calls `commit_pseudo`, a
    resumed run `rollback_pseudo`, both with the checkpoint's iteration; versions that no kept
    checkpoint needs are dropped.
    """

    def put_pseudo(
        self,
        key: str,
        image: np.ndarray,
        rating: float,
        source: str,
        iteration: int,
        rater: str = "",
    ) -> None:
        """Make the uint8 RGB `image` (H, W, 3) the pseudo-label of `key` from training iteration `iteration` on.

        `rater` is the `provenance_hash` of what rated it.
        """
        row = PseudoLabel(key, float(rating), source, iteration, rater, png=encode_png(image))
        self._write([pseudo_row(row)])

    def get_pseudo(self, key: str) -> PseudoLabel | None:
        """The newest pseudo-label of `key`, None if it has none."""
        row = self._last(pseudo_prefix(key))
        return None if row is None else self._decoded(row, PseudoLabel)

    def pseudo_history(self, key: str) -> list[PseudoLabel]:
        """Every version of the pseudo-label of `key` that is still kept, oldest first."""
        return [self._decoded(row, PseudoLabel) for _, row in self._items(pseudo_prefix(key))]

    def pseudo_labels(self) -> list[PseudoLabel]:
        """The newest pseudo-label of every image, by name, from one consistent state of the store."""
        newest = {_image(key): row for key, row in self._items(PSEUDO)}
        rows = [self._decoded(row, PseudoLabel) for row in newest.values()]
        return sorted(rows, key=lambda row: row.key)

    def pseudo_index(self) -> dict[str, PseudoInfo]:
        """By name what is known of the newest pseudo-label of every image; the images stay on the disk."""
        found: dict[bytes, PseudoInfo] = {}

        def take(key: bytes, value: memoryview) -> None:
            if key.startswith(PSEUDO):
                found[_image(key)] = self._decoded(value, PseudoInfo)

        self.each_row(take)
        return {row.key: row for row in sorted(found.values(), key=lambda row: row.key)}

    def commit_pseudo(self, iteration: int, keep: int = 3) -> None:
        """A checkpoint of `iteration` is on the disk: drop what only checkpoints before the last `keep` need."""
        commits = sorted({*(old for old in self._commits() if old < iteration), iteration})[-keep:]
        drop = [(key, None) for key in _older(self._keys(PSEUDO), commits[0])]
        self._write([*drop, (COMMITS, msgspec.msgpack.encode(commits))])

    def rollback_pseudo(self, iteration: int) -> int:
        """Forget every version newer than the checkpoint of `iteration`, and return how many there were.

        Raises:
            LabelStoreError: that checkpoint is so old that versions it needs were dropped.
        """
        commits = self._commits()
        if commits and iteration < commits[0]:
            raise LabelStoreError(
                f"{self.path}: cannot go back to iteration {iteration}, the pseudo-labels before "
                f"{commits[0]} were "
                "dropped; resume from a newer checkpoint, or start with a new store"
            )
        drop: list[Change] = [
            (key, None) for key in self._keys(PSEUDO) if _iteration(key) > iteration
        ]
        kept = [old for old in commits if old <= iteration]
        self._write([*drop, (COMMITS, msgspec.msgpack.encode(kept))])
        return len(drop)

    def clear_pseudo(self) -> int:
        """Forget every pseudo-label, for a run that starts anew, and return how many versions there were."""
        keys = self._keys(PSEUDO)
        self._write([(key, None) for key in [*keys, COMMITS]])
        return len(keys)

    def _commits(self) -> list[int]:
        row = self._get(COMMITS)
        return [] if row is None else self._decoded(row, list[int])


def _image(key: bytes) -> bytes:
    return key[: key.rindex(b"/")]


def _iteration(key: bytes) -> int:
    return int(key[key.rindex(b"/") + 1 :])


def _older(keys: list[bytes], iteration: int) -> list[bytes]:
    """Versions that a run at `iteration` no longer sees, because a newer one of the same image is not after it."""
    old = [key for key in keys if _iteration(key) <= iteration]
    return [key for key, after in pairwise(old) if _image(key) == _image(after)]
