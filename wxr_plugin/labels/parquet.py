"""Label stores as Parquet files, without loss; docs/scale.md documents the columns.

A row of the file is a row of the store. Provenances and the checkpoints of a training are in the
metadata of the file. pyarrow belongs to the extra `parquet`.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from wxr_plugin.errors import WxrError
from wxr_plugin.labels.base import decoded
from wxr_plugin.labels.merging import Merged, Prefer, merge_stores
from wxr_plugin.labels.pseudo import COMMITS, PSEUDO
from wxr_plugin.labels.rows import (
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    Answer,
    Description,
    Failure,
    PseudoLabel,
    Rating,
    Rewrite,
    answer_key,
    provenance_json,
    pseudo_row,
)
from wxr_plugin.labels.store import KINDS, LabelStore
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.files import replacing

ROWS = 4096
"""Rows of a row group."""
BYTES = 32 << 20
"""Bytes of images after which a row group ends earlier."""
PSEUDO_KIND = "pseudo"
VERSION = b"wxr_labels"
PROVENANCES = b"wxr_provenances"
CHECKPOINTS = b"wxr_checkpoints"

COLUMNS = {
    "kind": "string",
    "image": "string",
    "content": "string",
    "provenance": "string",
    "time": "float64",
    "rating": "float64",
    "logits": "list<double>",
    "text": "string",
    "source": "string",
    "reason": "string",
    "attempts": "int64",
    "iteration": "int64",
    "png": "binary",
}
"""Name -> Arrow type. A row has null in columns that its kind does not have."""
ALWAYS = ("kind", "image", "content", "provenance", "time")
"""Columns without null."""


class ParquetError(WxrError):
    """A file that is not one of `wxr label export`, or is damaged."""


def export_store(path: str | os.PathLike, output: str | os.PathLike) -> int:
    """Write the label store `path` to the Parquet file `output`, and return its number of rows.

    The file appears when it is complete.
    """
    schema = arrow_schema()
    count = 0
    with (
        LabelStore(path, readonly=True) as store,
        replacing(output) as file,
        _writer(file, schema) as writer,
    ):
        for batch in _batches(_records(store)):
            writer.write_table(_table(batch, schema))
            count += len(batch)
        # Read last: every row's provenance was stored with it.
        writer.add_key_value_metadata(_metadata(store))
    return count


def import_files(
    paths: Sequence[str | os.PathLike],
    target: str | os.PathLike,
    prefer: Prefer | None = None,
) -> Merged:
    """Add the rows of Parquet files of `export_store` to the label store `target`.

    Each file becomes a store in .NAME.import, next to `target`, and these are merged: see
    `merge_stores` for conflicts, an existing `target`, and kills.

    Raises:
        ParquetError: a file is damaged or was not written by `export_store`.
        MergeConflictError: answers differ, and `prefer` is None; nothing was written.
    """
    target = Path(target)
    folder = target.with_name(f".{target.name}.import")
    _remove(folder)
    try:
        stores = []
        for number, path in enumerate(paths):
            # The name of the file is that of its store in the lines about conflicts.
            store = folder / f"{number}-{Path(path).name}"
            _read_into(Path(path), store)
            stores.append(store)
        return merge_stores(stores, target, prefer)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove(folder: Path) -> None:
    """Delete what a killed import left, unless another process is importing."""
    if folder.is_dir():
        for store in folder.iterdir():
            LabelStore(store).close()  # refuses a store that another process is writing
        shutil.rmtree(folder)


def arrow_schema() -> Any:
    """Return the Arrow schema of the files."""
    arrow = imported("pyarrow")
    types = {"list<double>": arrow.list_(arrow.float64())}
    fields = []
    for name, kind in COLUMNS.items():
        of_kind = types[kind] if kind in types else arrow.type_for_alias(kind)
        fields.append(arrow.field(name, of_kind, nullable=name not in ALWAYS))
    return arrow.schema(fields)


def _writer(file: BinaryIO, schema: Any) -> Any:
    parquet = imported("pyarrow.parquet")
    # Checksums detect changed bits. Hashes and texts repeat within a group, so zstd pays.
    return parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True)


def _metadata(store: LabelStore) -> dict[str, str]:
    commits = dict(store.rows(COMMITS)).get(COMMITS)
    checkpoints = [] if commits is None else decoded(bytes(commits), list[int], store.path)
    return {
        VERSION.decode(): str(SCHEMA_VERSION),
        PROVENANCES.decode(): provenance_json(store.provenances()).decode(),
        CHECKPOINTS.decode(): msgspec.json.encode(checkpoints).decode(),
    }


def _records(store: LabelStore) -> Iterator[dict[str, Any]]:
    """Yield the rows of the store as records of COLUMNS, in order of their keys."""
    for kind in KINDS:
        for _, value in store.rows(f"{kind}/".encode()):
            answer = decoded(value, Answer, store.path)
            yield _record(kind, answer)
    for _, value in store.rows(PSEUDO):
        yield _record(PSEUDO_KIND, decoded(value, PseudoLabel, store.path))


def _record(kind: str, row: Answer | PseudoLabel) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": kind, "image": row.key}
    for name in row.__struct_fields__:
        # The image's name and, of a pseudo-label, its rater are columns of all rows.
        column = {"key": "image", "rater": "provenance"}.get(name, name)
        record[column] = getattr(row, name)
    return record


def _batches(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.get("png") or b"")
        if len(batch) == ROWS or size > BYTES:
            yield batch
            batch = []
            size = 0
    if batch:
        yield batch


def _table(batch: list[dict[str, Any]], schema: Any) -> Any:
    arrow = imported("pyarrow")
    columns = {name: [record.get(name) for record in batch] for name in COLUMNS}
    return arrow.table(columns, schema=schema)


def _read_into(path: Path, target: Path) -> None:
    """Write the rows of a Parquet file to the new store `target`."""
    with _opened(path) as file, LabelStore(target) as store:
        metadata = _own_metadata(path, file)
        provenances = _parsed(path, metadata, PROVENANCES, dict[str, dict[str, Any]])
        checkpoints = _parsed(path, metadata, CHECKPOINTS, list[int])
        for digest, provenance in provenances.items():
            if store.put_provenance(provenance) != digest:
                raise ParquetError(f"{path}: the provenance {digest} is damaged; export it again")
        if checkpoints:
            store.put_rows([(COMMITS, msgspec.msgpack.encode(checkpoints))])
        store.put_rows(_stored_rows(path, file, provenances))


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield the ParquetFile at `path`; errors of pyarrow within the block become ParquetError."""
    arrow, parquet = imported("pyarrow"), imported("pyarrow.parquet")
    if not path.is_file():
        raise ParquetError(f"{path}: no such file; `wxr label export STORE -o {path}` writes one")
    try:
        # pyarrow reports a wrong checksum as an OSError.
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (arrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the system, such as a full disk
        reason = " ".join(str(error).split())[:200]
        raise ParquetError(
            f"{path}: damaged, or not a Parquet file ({reason}); copy or export it again"
        ) from error


def _own_metadata(path: Path, file: Any) -> dict[bytes, bytes]:
    """Return the metadata of a file that `export_store` wrote; refuse others."""
    metadata = file.metadata.metadata or {}
    version = metadata.get(VERSION, b"").decode(errors="replace")
    if not version:
        raise ParquetError(
            f"{path}: a Parquet file, but not of `wxr label export` (no {VERSION.decode()} in its "
            "metadata); docs/scale.md has the schema"
        )
    if version not in map(str, READABLE_VERSIONS):
        raise ParquetError(
            f"{path}: labels of schema version {version}, which this wxr_plugin cannot read; use "
            "the wxr_plugin that wrote it"
        )
    expected = arrow_schema()
    names = [name for name in COLUMNS if name not in file.schema_arrow.names]
    if names:
        raise ParquetError(f"{path}: lacks the columns {', '.join(names)}; export it again")
    for name in COLUMNS:
        of_file = file.schema_arrow.field(name).type
        if not of_file.equals(expected.field(name).type):
            raise ParquetError(
                f"{path}: column {name} is {of_file}, not {COLUMNS[name]}; docs/scale.md has the "
                "schema"
            )
    return metadata


def _parsed(path: Path, metadata: dict[bytes, bytes], name: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(metadata[name], type=kind)
    except (KeyError, msgspec.DecodeError) as error:
        raise ParquetError(
            f"{path}: no usable {name.decode()} in its metadata; export it again"
        ) from error


def _stored_rows(
    path: Path, file: Any, provenances: dict[str, dict[str, Any]]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows of the store that a Parquet file stands for."""
    number = 0
    for batch in file.iter_batches(ROWS, columns=list(COLUMNS)):
        for record in batch.to_pylist():
            number += 1
            try:
                yield _stored_row(record, provenances)
            except (KeyError, TypeError, ValueError) as error:
                reason = " ".join(str(error).split())
                raise ParquetError(f"{path}: row {number} is not a label ({reason})") from error


def _stored_row(record: dict[str, Any], provenances: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return key and value of a record. Raises ValueError if it is not one of a store."""
    kind = record["kind"]
    if kind == PSEUDO_KIND:
        row = _struct(PseudoLabel, record, key=record["image"], rater=record["provenance"])
        return pseudo_row(row)
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}")
    if record["provenance"] not in provenances:
        raise ValueError(f"its provenance {record['provenance']} is not in the metadata")
    of_kind = dict(zip(KINDS, (Rating, Description, Rewrite)))[kind]
    if record["reason"] is not None:
        of_kind = Failure
    row = _struct(of_kind, record, key=record["image"])
    return answer_key(kind, row.key, row.content, row.provenance), msgspec.msgpack.encode(row)


def _struct(kind: type[msgspec.Struct], record: dict[str, Any], **renamed: Any) -> Any:
    """Return the row of a record, with the types of its fields checked."""
    values = {**record, **renamed}
    fields = {name: values[name] for name in kind.__struct_fields__}
    # Fields of Arrow are Python's own types, bytes included, so nothing is converted.
    return msgspec.convert(fields, kind, builtin_types=(bytes,))
