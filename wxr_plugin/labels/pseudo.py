"""Pseudo-labels with versions, so that a training resumes with exactly those of its checkpoint."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import lmdb
import msgspec
import numpy as np

from wxr_plugin.labels.base import StoreBase
from wxr_plugin.labels.environment import Change, LabelStoreError
from wxr_plugin.labels.rows import (
    TEACHER,
    PseudoInfo,
    PseudoLabel,
    answer_key,
    content_hash,
    encode_png,
    pseudo_prefix,
    pseudo_row,
)

COMMITS = b"pseudo-commits"
PSEUDO = b"pseudo/"
RATINGS = b"rating/"


class PseudoLabelStore(StoreBase):
    """The part of the label store that training reads and updates.

    Every put stores a version under its training iteration. A checkpoint calls `commit_pseudo`, a
    resumed run `rollback_pseudo`, both with the checkpoint's iteration; versions that no kept
    checkpoint needs are dropped. Ratings that a training made are treated alike: a rollback removes
    those of later iterations, and a commit those of dropped images of the teacher.
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
        """Store the uint8 RGB `image` (H, W, 3) as pseudo-label of `key` from `iteration` on.

        `rater` is the `provenance_hash` of the rater that rated it.
        """
        row = PseudoLabel(
            key,
            float(rating),
            source,
            iteration,
            rater,
            content=content_hash(image),
            png=encode_png(image),
        )
        self._write([pseudo_row(row)])

    def get_pseudo(self, key: str) -> PseudoLabel | None:
        """Return the newest pseudo-label of `key`, None if it has none."""
        row = self._last(pseudo_prefix(key))
        return None if row is None else self._decoded(row, PseudoLabel)

    def pseudo_history(self, key: str) -> list[PseudoLabel]:
        """Return every version of the pseudo-label of `key` that is kept, oldest first."""
        rows = self._items(pseudo_prefix(key))
        return [self._decoded(row, PseudoLabel) for _, row in rows]

    def pseudo_labels(self) -> list[PseudoLabel]:
        """Return the newest pseudo-label of every image, sorted by name, from one state."""
        # Versions come in the order of their iterations, so the newest is set last.
        newest = {}
        for key, row in self._items(PSEUDO):
            newest[_image(key)] = row
        labels = [self._decoded(row, PseudoLabel) for row in newest.values()]
        return sorted(labels, key=lambda label: label.key)

    def pseudo_index(self) -> dict[str, PseudoInfo]:
        """Return the newest pseudo-label of every image without its image, keyed by name."""
        labels = sorted(self.each_pseudo(), key=lambda label: label.key)
        return {label.key: label for label in labels}

    def each_pseudo(self) -> Iterator[PseudoInfo]:
        """Yield the newest pseudo-label of every image without its image, from one state."""
        # Versions of one image are adjacent, in the order of their iterations.
        image, newest = b"", None
        for key, value in self.rows(PSEUDO):
            if newest and _image(key) != image:
                yield newest
            image = _image(key)
            newest = self._decoded(value, PseudoInfo)
        if newest:
            yield newest

    def commit_pseudo(self, iteration: int, keep: int = 3) -> None:
        """Drop rows that none of the last `keep` checkpoints needs, that of `iteration` included.

        The checkpoint has to be on the disk.
        """
        # A run that was resumed at an older checkpoint comes to the later ones again.
        earlier = [commit for commit in self._commits() if commit < iteration]
        commits = sorted({*earlier, iteration})
        commits = commits[-keep:]
        keys = self._keys(PSEUDO)
        old = _superseded(keys, commits[0])
        ratings = self._ratings_of_dropped(keys, old)
        self._drop([*old, *ratings], commits)

    def rollback_pseudo(self, iteration: int) -> int:
        """Remove every version newer than the checkpoint of `iteration`, and return their number.

        Ratings that a training stored later are removed as well.

        Raises:
            LabelStoreError: that checkpoint is so old that versions it needs were dropped.
        """
        commits = self._commits()
        if commits and iteration < commits[0]:
            raise LabelStoreError(
                f"{self.path}: cannot return to iteration {iteration}, the pseudo-labels before "
                f"{commits[0]} were dropped; resume from a newer checkpoint, or start with a new "
                "store"
            )
        newer = [key for key in self._keys(PSEUDO) if _iteration(key) > iteration]
        ratings = self._ratings_after(iteration)
        remaining = [commit for commit in commits if commit <= iteration]
        self._drop([*newer, *ratings], remaining)
        return len(newer)

    def clear_pseudo(self) -> int:
        """Remove every pseudo-label, for a run that starts over, and return their number."""
        keys = self._keys(PSEUDO)
        self._write([(key, None) for key in [*keys, COMMITS]])
        return len(keys)

    def _drop(self, keys: Iterable[bytes], commits: list[int]) -> None:
        """Remove rows and store the checkpoints that can be resumed, in one transaction."""
        changes: list[Change] = [(key, None) for key in keys]
        row = msgspec.msgpack.encode(commits)
        changes.append((COMMITS, row))
        self._write(changes)

    def _commits(self) -> list[int]:
        """Return the iterations of the checkpoints that can be resumed."""
        row = self._get(COMMITS)
        return [] if row is None else self._decoded(row, list[int])

    def _ratings_after(self, iteration: int) -> list[bytes]:
        """Return the rows of ratings that a training stored after `iteration`."""
        later = []
        for key, row in self._items(RATINGS):
            stored = self._decoded(row, _Made).iteration
            if stored is not None and stored > iteration:  # None: made by a command
                later.append(key)
        return later

    def _ratings_of_dropped(self, keys: list[bytes], dropped: list[bytes]) -> list[bytes]:
        """Return the rows of ratings that go with the pseudo-labels `dropped`, of all `keys`.

        An image of the teacher exists nowhere else. Any other image may be a panel's candidate
        again, so its ratings stay.
        """
        images = {_image(key) for key in dropped}
        versions = {key for key in keys if _image(key) in images}
        staying = versions.difference(dropped)
        lost = set()
        for label in self._infos(dropped):
            if _is_teachers(label):
                lost.add(_rating_key(label))
        # An image may come back, below a margin of 0, and then has two versions with one rating.
        needed = {_rating_key(label) for label in self._infos(staying)}
        return sorted(lost - needed)

    def _infos(self, keys: Iterable[bytes]) -> list[PseudoInfo]:
        """Return the pseudo-labels of the rows `keys`, without reading their images."""

        # The PNG comes last in a row, so its pages of the memory map are not touched.
        def look(transaction: lmdb.Transaction) -> list[PseudoInfo]:
            return [self._decoded(transaction.get(key), PseudoInfo) for key in keys]

        return self._own().read(look, buffers=True)


class _Made(msgspec.Struct):
    """The field of a Rating that says whether a training made it."""

    iteration: int | None = None


def _is_teachers(label: PseudoInfo) -> bool:
    return label.source.startswith(TEACHER) and bool(label.content)


def _rating_key(label: PseudoInfo) -> bytes:
    return answer_key("rating", label.key, label.content, label.rater)


def _image(key: bytes) -> bytes:
    """Return the part of a version's key that all versions of the image share."""
    end = key.rindex(b"/")
    return key[:end]


def _iteration(key: bytes) -> int:
    # The key of a version ends with its iteration.
    digits = key.rpartition(b"/")[2]
    return int(digits)


def _superseded(keys: list[bytes], iteration: int) -> list[bytes]:
    """Return the versions that a newer one, also at or before `iteration`, replaces."""
    # Keys are sorted by image, then by iteration.
    seen = [key for key in keys if _iteration(key) <= iteration]
    superseded = []
    for key, following in pairwise(seen):
        if _image(key) == _image(following):
            superseded.append(key)
    return superseded
