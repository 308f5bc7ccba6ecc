"""The label store: everything that vision-language models said about photos, and the pseudo-labels, in one LMDB."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from wxr_plugin.labels.environment import LabelStoreError, damaged
from wxr_plugin.labels.pseudo import PseudoLabels
from wxr_plugin.labels.rows import (
    Answer,
    Description,
    Failure,
    PseudoInfo,
    PseudoLabel,
    Rating,
    Rewrite,
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
    "PseudoInfo",
    "PseudoLabel",
    "Rating",
    "Rewrite",
    "content_hash",
    "provenance_hash",
]

KINDS = ("rating", "description", "rewrite")
TEXT_ROWS = (b"description/", b"rewrite/", b"provenance/")
"""Prefixes of the keys of texts, and of the provenances that they refer to."""
_Kind = TypeVar("_Kind", Rating, Description, Rewrite, Failure)


class LabelStore(PseudoLabels):
    """Ratings, descriptions and their rewrites, failures and pseudo-labels of photos and crops.

    An answer is kept under the image's name, the hash of its content (for a rewrite, that of the
    description) and the hash of the asker's provenance (model, weights, prompt, preprocessing, …):
    when any of them changes, the old answer is not found. What was put is on the
    disk when the call, or the `batch()` around it, returns. One process writes at a time; any
    number read.

    Raises:
        LabelStoreError: nothing to read at `path`, not a label store, one of another schema
            version, or one that another process is writing.
    """

    def get_rating(self, key: str, content: str, provenance: Mapping[str, Any]) -> Rating | None:
        """The rating of image `key` with that `content_hash`; None if there is none or it failed."""
        return self._answer("rating", key, content, provenance, Rating)

    def put_rating(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        rating: float,
        logits: tuple[float, ...],
    ) -> None:
        """Store a rating in [1, 5] and the five logits behind it, in place of what was there."""
        row = Rating(
            key, content, provenance_hash(provenance), float(rating), tuple(map(float, logits))
        )
        self._put("rating", row, provenance)

    def get_description(
        self, key: str, content: str, provenance: Mapping[str, Any]
    ) -> Description | None:
        """The description of image `key` with that `content_hash`; None if there is none or it failed."""
        return self._answer("description", key, content, provenance, Description)

    def put_description(
        self, key: str, content: str, provenance: Mapping[str, Any], text: str
    ) -> None:
        """Store a description in place of what was there."""
        self._put(
            "description", Description(key, content, provenance_hash(provenance), text), provenance
        )

    def get_rewrite(self, key: str, source: str, provenance: Mapping[str, Any]) -> Rewrite | None:
        """The rewrite of image `key`'s description `source`; None if there is none or it failed."""
        return self._answer("rewrite", key, content_hash(source.encode()), provenance, Rewrite)

    def put_rewrite(self, key: str, source: str, provenance: Mapping[str, Any], text: str) -> None:
        """Store the rewrite of a description in place of what was there."""
        row = Rewrite(key, content_hash(source.encode()), provenance_hash(provenance), source, text)
        self._put("rewrite", row, provenance)

    def descriptions(self) -> dict[str, Description]:
        """By name the newest description of every image that has one, whoever made it."""
        rows = self.answers("description")  # by name and time
        return {row.key: row for row in rows if isinstance(row, Description)}

    def texts(self) -> dict[str, tuple[str, str]]:
        """By name the newest description that has a rewrite, with its newest rewrite: (d_neg, d_pos).

        A description whose rewrite failed, or was not made yet, leaves the pair before it in force.
        """
        rewrites = {
            (row.key, row.source): row
            for row in self.answers("rewrite")
            if isinstance(row, Rewrite)
        }
        described = [row for row in self.answers("description") if isinstance(row, Description)]
        pairs = ((row.key, rewrites.get((row.key, row.text))) for row in described)
        return {key: (pair.source, pair.text) for key, pair in pairs if pair}

    def text_rows(self) -> list[tuple[bytes, bytes]]:
        """Return the rows of descriptions, rewrites and provenances, for `put_rows` of another store."""
        rows: list[tuple[bytes, bytes]] = []

        def take(key: bytes, value: memoryview) -> None:
            if key.startswith(TEXT_ROWS):
                rows.append((key, bytes(value)))

        self.each_row(take)
        return rows

    def get_failure(
        self, key: str, content: str, provenance: Mapping[str, Any], kind: str = "rating"
    ) -> Failure | None:
        """Why image `key` has no answer of `kind`, one of KINDS; None if it did not fail."""
        return self._answer(kind, key, content, provenance, Failure)

    def put_failure(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        reason: str,
        kind: str = "rating",
    ) -> None:
        """Note that image `key` got no answer of `kind`, one of KINDS, and that it was tried once more."""
        before = self.get_failure(key, content, provenance, kind)
        attempts = before.attempts + 1 if before else 1
        self._put(
            kind, Failure(key, content, provenance_hash(provenance), reason, attempts), provenance
        )

    def answers(self, kind: str | None = None) -> list[Answer]:
        """Every answer of `kind`, or of all KINDS, by name and time; each kind from one consistent state."""
        kinds = KINDS if kind is None else (kind,)
        rows = [
            self._decoded(row, Answer)
            for each in kinds
            for _, row in self._items(f"{each}/".encode())
        ]
        return sorted(rows, key=lambda row: (row.key, row.time))

    def put_provenance(self, provenance: Mapping[str, Any]) -> str:
        """Store what ratings under `provenance_hash(provenance)` depend on, for `provenances`; returns that hash."""
        found = provenance_hash(provenance)
        self._write([(f"provenance/{found}".encode(), provenance_json(provenance))])
        return found

    def provenances(self) -> dict[str, dict[str, Any]]:
        """What the answers depend on, by `provenance_hash`."""
        rows = self._items(b"provenance/")
        try:
            return {
                key.removeprefix(b"provenance/").decode(): msgspec.json.decode(row)
                for key, row in rows
            }
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(self.path, error) from error

    def _answer(
        self, kind: str, key: str, content: str, provenance: Mapping[str, Any], wanted: type[_Kind]
    ) -> _Kind | None:
        row = self._get(answer_key(kind, key, content, provenance_hash(provenance)))
        answer = None if row is None else self._decoded(row, Answer)
        return answer if isinstance(answer, wanted) else None

    def _put(self, kind: str, row: Answer, provenance: Mapping[str, Any]) -> None:
        where = answer_key(kind, row.key, row.content, row.provenance)
        known = (f"provenance/{row.provenance}".encode(), provenance_json(provenance))
        self._write([known, (where, msgspec.msgpack.encode(row))])
