"""The label store: an LMDB of pseudo-labels and of models' answers about photos."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from wxr_plugin.labels.environment import LabelStoreError, damaged
from wxr_plugin.labels.pseudo import PseudoLabelStore
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
PROVENANCE = b"provenance/"
TEXT_ROWS = (b"description/", b"rewrite/", b"provenance/")
"""Prefixes of the keys of texts, and of the provenances that they refer to."""
_Kind = TypeVar("_Kind", Rating, Description, Rewrite, Failure)


class LabelStore(PseudoLabelStore):
    """Ratings, descriptions and their rewrites, failures and pseudo-labels of photos and crops.

    An answer is stored under the image's name, the hash of its content (for a rewrite, that of the
    description) and the hash of the model's provenance (model, weights, prompt, preprocessing, …):
    when any of them changes, the old answer is not found. A row is on the disk when the call that
    puts it, or the `batch()` around it, returns. One process writes at a time; any number read.

    Raises:
        LabelStoreError: nothing to read at `path`, not a label store, one of another schema
            version, or one that another process is writing.
    """

    def get_rating(self, key: str, content: str, provenance: Mapping[str, Any]) -> Rating | None:
        """Return the rating of image `key` with that `content_hash`; None without one."""
        return self._answer("rating", key, content, provenance, Rating)

    def put_rating(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        rating: float,
        logits: tuple[float, ...],
        iteration: int | None = None,
    ) -> None:
        """Store a rating in [1, 5] and its five logits, in place of an earlier answer.

        `iteration` is that of the training that made it, which `rollback_pseudo` can remove.
        """
        row = Rating(
            key,
            content,
            provenance_hash(provenance),
            float(rating),
            tuple(map(float, logits)),
            iteration=iteration,
        )
        self._put("rating", row, provenance)

    def get_description(
        self, key: str, content: str, provenance: Mapping[str, Any]
    ) -> Description | None:
        """Return the description of image `key` with that `content_hash`; None without one."""
        return self._answer("description", key, content, provenance, Description)

    def put_description(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        text: str,
    ) -> None:
        """Store a description in place of an earlier answer."""
        row = Description(key, content, provenance_hash(provenance), text)
        self._put("description", row, provenance)

    def get_rewrite(self, key: str, source: str, provenance: Mapping[str, Any]) -> Rewrite | None:
        """Return the rewrite of image `key`'s description `source`; None without one."""
        return self._answer("rewrite", key, content_hash(source.encode()), provenance, Rewrite)

    def put_rewrite(self, key: str, source: str, provenance: Mapping[str, Any], text: str) -> None:
        """Store the rewrite of a description in place of an earlier answer."""
        row = Rewrite(key, content_hash(source.encode()), provenance_hash(provenance), source, text)
        self._put("rewrite", row, provenance)

    def descriptions(self) -> dict[str, Description]:
        """Return the newest description of every image, by any model, keyed by name."""
        # Rows are sorted by name and time, so the newest is set last.
        rows = self.answers("description")
        return {row.key: row for row in rows if isinstance(row, Description)}

    def texts(self) -> dict[str, tuple[str, str]]:
        """Return (d_neg, d_pos), description and rewrite, of every image with both, keyed by name.

        They are the newest description that has a rewrite, and its newest rewrite: a description
        whose rewrite failed, or was not made yet, leaves the earlier pair in force.
        """
        # (name, description) -> its rewrite; rows are sorted by time, so the newest is set last.
        rewrites: dict[tuple[str, str], Rewrite] = {}
        for row in self.answers("rewrite"):
            if isinstance(row, Rewrite):
                rewrites[row.key, row.source] = row
        texts: dict[str, tuple[str, str]] = {}
        for row in self.answers("description"):
            rewrite = rewrites.get((row.key, row.text)) if isinstance(row, Description) else None
            if rewrite:
                texts[row.key] = rewrite.source, rewrite.text
        return texts

    def text_rows(self) -> list[tuple[bytes, bytes]]:
        """Return the rows of descriptions, rewrites and provenances, to `put_rows` elsewhere."""
        rows: list[tuple[bytes, bytes]] = []

        def take(key: bytes, value: memoryview) -> None:
            if key.startswith(TEXT_ROWS):
                rows.append((key, bytes(value)))

        self.each_row(take)
        return rows

    def get_failure(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        kind: str = "rating",
    ) -> Failure | None:
        """Return the failed answer of `kind`, one of KINDS, about image `key`; None without one."""
        return self._answer(kind, key, content, provenance, Failure)

    def put_failure(
        self,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        reason: str,
        kind: str = "rating",
    ) -> None:
        """Store that image `key` got no answer of `kind`, one of KINDS, and count the attempt."""
        # A failure has the key of the answer, so an answer that comes later replaces it.
        before = self.get_failure(key, content, provenance, kind)
        attempts = before.attempts + 1 if before else 1
        row = Failure(key, content, provenance_hash(provenance), reason, attempts)
        self._put(kind, row, provenance)

    def answers(self, kind: str | None = None) -> list[Answer]:
        """Return every answer of `kind`, or of all KINDS, sorted by name and time.

        Each kind is read from one consistent state of the store.
        """
        rows: list[Answer] = []
        for prefix in KINDS if kind is None else (kind,):
            items = self._items(f"{prefix}/".encode())
            rows += [self._decoded(row, Answer) for _, row in items]
        return sorted(rows, key=lambda row: (row.key, row.time))

    def each_answer(self) -> Iterator[Answer]:
        """Yield every answer in order of its row's key; all of them may not fit the memory.

        Each kind is read from one consistent state of the store.
        """
        for kind in KINDS:
            for _, value in self.rows(f"{kind}/".encode()):
                yield self._decoded(value, Answer)

    def put_provenance(self, provenance: Mapping[str, Any]) -> str:
        """Store the provenance of a rater, for `provenances`, and return its hash."""
        digest = provenance_hash(provenance)
        self._write([_provenance_row(digest, provenance)])
        return digest

    def provenances(self) -> dict[str, dict[str, Any]]:
        """Return the provenance of every model that answered, keyed by `provenance_hash`."""
        rows = self._items(PROVENANCE)
        try:
            return {
                key.removeprefix(PROVENANCE).decode(): msgspec.json.decode(row) for key, row in rows
            }
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise damaged(self.path, error) from error

    def _answer(
        self,
        kind: str,
        key: str,
        content: str,
        provenance: Mapping[str, Any],
        row: type[_Kind],
    ) -> _Kind | None:
        """Return the answer if it is a `row`: an answer and a failure share one key."""
        value = self._get(answer_key(kind, key, content, provenance_hash(provenance)))
        answer = None if value is None else self._decoded(value, Answer)
        return answer if isinstance(answer, row) else None

    def _put(self, kind: str, row: Answer, provenance: Mapping[str, Any]) -> None:
        key = answer_key(kind, row.key, row.content, row.provenance)
        value = msgspec.msgpack.encode(row)
        self._write([_provenance_row(row.provenance, provenance), (key, value)])


def _provenance_row(digest: str, provenance: Mapping[str, Any]) -> tuple[bytes, bytes]:
    return PROVENANCE + digest.encode(), provenance_json(provenance)
