"""The label store: everything that vision-language models said about photos, and the pseudo-labels, in one LMDB."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from wxr_plugin.labels.environment import LabelStoreError
from wxr_plugin.labels.pseudo import PseudoLabels
from wxr_plugin.labels.rows import (
    Answer,
    Description,
    Failure,
    PseudoLabel,
    Rating,
    answer_key,
    content_hash,
    provenance_hash,
    provenance_json,
)

__all__ = [
    "Answer",
    "Description",
    "Failure",
    "LabelStore",
    "LabelStoreError",
    "PseudoLabel",
    "Rating",
    "content_hash",
    "provenance_hash",
]

KINDS = ("rating", "description")
_Kind = TypeVar("_Kind", Rating, Description, Failure)


class LabelStore(PseudoLabels):
    """Ratings, descriptions, failures and pseudo-labels of photos and crops.

    An answer is kept under the image's name, the hash of its content and the hash of the asker's provenance (model,
    weights, prompt, preprocessing, …): when any of them changes, the old answer is not found. What was put is on the
    disk when the call, or the `batch()` around it, returns. One process writes at a time; any number read.

    Raises:
        LabelStoreError: nothing to read at `path`, not a label store, one of another schema version, or one that
            another process is writing.
    """

    def get_rating(self, key: str, content: str, provenance: Mapping[str, Any]) -> Rating | None:
        """The rating of image `key` with that `content_hash`; None if there is none or it failed."""
        return self._answer("rating", key, content, provenance, Rating)

    def put_rating(
        self, key: str, content: str, provenance: Mapping[str, Any], rating: float, logits: tuple[float, ...]
    ) -> None:
        """Store a rating in [1, 5] and the five logits behind it, in place of what was there."""
        row = Rating(key, content, provenance_hash(provenance), float(rating), tuple(map(float, logits)))
        self._put("rating", row, provenance)

    def get_description(self, key: str, content: str, provenance: Mapping[str, Any]) -> Description | None:
        """The description of image `key` with that `content_hash`; None if there is none or it failed."""
        return self._answer("description", key, content, provenance, Description)

    def put_description(self, key: str, content: str, provenance: Mapping[str, Any], text: str) -> None:
        """Store a description in place of what was there."""
        self._put("description", Description(key, content, provenance_hash(provenance), text), provenance)

    def get_failure(
        self, key: str, content: str, provenance: Mapping[str, Any], kind: str = "rating"
    ) -> Failure | None:
        """Why image `key` has no answer of `kind` ("rating" or "description"); None if it did not fail."""
        return self._answer(kind, key, content, provenance, Failure)

    def put_failure(
        self, key: str, content: str, provenance: Mapping[str, Any], reason: str, kind: str = "rating"
    ) -> None:
        """Note that image `key` could not be rated or described, and that it was tried once more."""
        before = self.get_failure(key, content, provenance, kind)
        attempts = before.attempts + 1 if before else 1
        self._put(kind, Failure(key, content, provenance_hash(provenance), reason, attempts), provenance)

    def answers(self, kind: str | None = None) -> list[Answer]:
        """Every answer of `kind`, or of both, by name and time, from one consistent state of the store."""
        kinds = KINDS if kind is None else (kind,)
        rows = [_decode(row) for each in kinds for _, row in self._items(f"{each}/".encode())]
        return sorted(rows, key=lambda row: (row.key, row.time))

    def provenances(self) -> dict[str, dict[str, Any]]:
        """What the answers depend on, by `provenance_hash`."""
        rows = self._items(b"provenance/")
        return {key.removeprefix(b"provenance/").decode(): msgspec.json.decode(row) for key, row in rows}

    def _answer(
        self, kind: str, key: str, content: str, provenance: Mapping[str, Any], wanted: type[_Kind]
    ) -> _Kind | None:
        row = self._get(answer_key(kind, key, content, provenance_hash(provenance)))
        answer = None if row is None else _decode(row)
        return answer if isinstance(answer, wanted) else None

    def _put(self, kind: str, row: Answer, provenance: Mapping[str, Any]) -> None:
        where = answer_key(kind, row.key, row.content, row.provenance)
        known = (f"provenance/{row.provenance}".encode(), provenance_json(provenance))
        self._write([known, (where, msgspec.msgpack.encode(row))])


def _decode(row: bytes) -> Answer:
    return msgspec.msgpack.decode(row, type=Answer)
