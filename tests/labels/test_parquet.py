"""Label stores to Parquet files and back, without loss."""

import math

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from wxr_plugin.cli.main import main
from wxr_plugin.labels import parquet as label_files
from wxr_plugin.labels.merging import MergeConflictError
from wxr_plugin.labels.parquet import (
    COLUMNS,
    ParquetError,
    arrow_schema,
    export_store,
    import_files,
)
from wxr_plugin.labels.store import LabelStore

MODEL = {"model": "a", "chat": "Ä\n{'x'}", "temperature": 0.1, "raters": [{"metric": "m"}]}


def rows(path):
    with LabelStore(path, readonly=True) as store:
        return [(key, bytes(value)) for key, value in store.rows()]


@pytest.fixture
def store(tmp_path):
    """Make a store with every kind of row."""
    rng = np.random.default_rng(0)
    with LabelStore(tmp_path / "old.lmdb") as store:
        for number in range(40):
            name = f"rain/ö{number}\t'\"@1,2,3,4"
            logits = tuple(rng.normal(size=5).tolist())
            store.put_rating(name, "c", MODEL, 1 + 4 * rng.random(), logits)
            store.put_rating(name, "d", {"metric": "m"}, 2.5, (math.nan,) * 5, iteration=number)
            store.put_description(name, "c", MODEL, "Regen,\n☔" if number else "")
            store.put_rewrite(name, "Regen", MODEL, "Sonne")
            for kind in ("rating", "description", "rewrite"):
                store.put_failure(f"{name}f", "c", MODEL, "cut\nshort", kind)
        store.put_failure(f"{name}f", "c", MODEL, "again")
        for iteration in (0, 10, 250):
            image = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
            store.put_pseudo("p", image, 3.1, f"teacher@{iteration}", iteration, "hash@around")
        store.commit_pseudo(10)
    return tmp_path / "old.lmdb"


@pytest.mark.parametrize(("group", "size"), [(4096, 32 << 20), (7, 1)])
def test_there_and_back_every_byte_is_the_same(store, tmp_path, monkeypatch, group, size):
    monkeypatch.setattr(label_files, "ROWS", group)
    monkeypatch.setattr(label_files, "BYTES", size)
    count = export_store(store, tmp_path / "labels.parquet")
    merged = import_files([tmp_path / "labels.parquet"], tmp_path / "new.lmdb")
    assert rows(tmp_path / "new.lmdb") == rows(store)
    assert count == sum(merged.rows.values()) - merged.rows["provenance"] - 1  # the checkpoints
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "labels.parquet",
        "new.lmdb",
        "old.lmdb",
    ]


def test_an_empty_store(tmp_path):
    LabelStore(tmp_path / "old.lmdb").close()
    assert export_store(tmp_path / "old.lmdb", tmp_path / "labels.parquet") == 0
    import_files([tmp_path / "labels.parquet"], tmp_path / "new.lmdb")
    assert rows(tmp_path / "new.lmdb") == rows(tmp_path / "old.lmdb")


def test_another_program_reads_the_documented_columns(store, tmp_path):
    export_store(store, tmp_path / "labels.parquet")
    table = parquet.read_table(tmp_path / "labels.parquet")
    assert table.schema.names == list(COLUMNS) and table.schema.equals(arrow_schema())
    frame = table.filter(pyarrow.compute.field("kind") == "rating").to_pylist()
    assert len(frame) == 120 and sum(row["rating"] is not None for row in frame) == 80


def test_importing_again_changes_nothing_and_conflicts_are_reported(store, tmp_path):
    export_store(store, tmp_path / "labels.parquet")
    assert import_files([tmp_path / "labels.parquet"] * 2, store).new == 0
    with LabelStore(store) as changed:
        changed.put_rating("rain/ö1\t'\"@1,2,3,4", "d", {"metric": "m"}, 4.5, (math.nan,) * 5)
    before = rows(store)
    with pytest.raises(MergeConflictError, match=r"0-labels\.parquet: 2\.5"):
        import_files([tmp_path / "labels.parquet"], store)
    assert rows(store) == before
    assert import_files([tmp_path / "labels.parquet"], store, "last").conflicts == 1


def write(path, columns=None, metadata=True, **changes):
    """Write a file of one rating, with changes."""
    record = {"kind": "rating", "image": "p", "content": "c", "provenance": "h", "time": 1.0}
    record |= {"rating": 3.0, "logits": [1.0] * 5} | changes
    table = {name: [record.get(name)] for name in columns or COLUMNS}
    schema = pyarrow.schema([arrow_schema().field(name) for name in columns or COLUMNS])
    notes = {"wxr_labels": "2", "wxr_provenances": '{"h": {}}', "wxr_checkpoints": "[]"}
    if metadata is not True:
        notes |= metadata
    digest = "h"
    with LabelStore(path.with_name("any.lmdb")) as store:
        digest = store.put_provenance({})
    notes["wxr_provenances"] = notes["wxr_provenances"].replace('"h"', f'"{digest}"')
    if record["provenance"] == "h":
        table["provenance"] = [digest]
    written = pyarrow.table(table, schema=schema).replace_schema_metadata(notes)
    parquet.write_table(written, path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": {"wxr_labels": ""}}, "but not of `wxr label export`"),
        ({"metadata": {"wxr_labels": "99"}}, "schema version 99"),
        ({"metadata": {"wxr_provenances": "x"}}, "no usable wxr_provenances"),
        ({"columns": list(COLUMNS)[:6]}, "lacks the columns logits, text"),
        ({"kind": "poem"}, r"row 1 is not a label \(kind 'poem'\)"),
        ({"logits": [1.0]}, "row 1 is not a label"),
        ({"rating": None}, "row 1 is not a label"),
        ({"provenance": "no"}, "its provenance no is not in the metadata"),
    ],
)
def test_a_foreign_file_is_one_line(tmp_path, options, message):
    write(tmp_path / "labels.parquet", **options)
    with pytest.raises(ParquetError, match=message) as error:
        import_files([tmp_path / "labels.parquet"], tmp_path / "new.lmdb")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*new*"))


def test_a_column_of_another_type_is_one_line(tmp_path):
    table = {name: pyarrow.array(["x"]) for name in COLUMNS}
    notes = {"wxr_labels": "2", "wxr_provenances": "{}", "wxr_checkpoints": "[]"}
    parquet.write_table(pyarrow.table(table).replace_schema_metadata(notes), tmp_path / "a.parquet")
    with pytest.raises(ParquetError, match="column time is string, not float64"):
        import_files([tmp_path / "a.parquet"], tmp_path / "new.lmdb")


@pytest.mark.parametrize("place", [0.01, 0.3, 0.6, 0.999])
def test_a_changed_byte_or_a_cut_is_one_line(store, tmp_path, place):
    export_store(store, tmp_path / "labels.parquet")
    data = bytearray((tmp_path / "labels.parquet").read_bytes())
    (tmp_path / "cut.parquet").write_bytes(data[: int(place * len(data))])
    with pytest.raises(ParquetError, match="damaged, or not a Parquet file"):
        import_files([tmp_path / "cut.parquet"], tmp_path / "new.lmdb")
    assert not list(tmp_path.glob("*new*"))


def test_changed_bits_of_a_page_are_detected(store, tmp_path):
    export_store(store, tmp_path / "labels.parquet")
    data = bytearray((tmp_path / "labels.parquet").read_bytes())
    group = parquet.ParquetFile(tmp_path / "labels.parquet").metadata.row_group(0)
    column = group.column(list(COLUMNS).index("rating"))
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    (tmp_path / "labels.parquet").write_bytes(data)
    with pytest.raises(ParquetError, match="damaged"):
        import_files([tmp_path / "labels.parquet"], tmp_path / "new.lmdb")


def test_the_commands(store, tmp_path, capsys):
    file, new = str(tmp_path / "labels.parquet"), str(tmp_path / "new.lmdb")
    assert main(["label", "export", str(store), "-o", file, "--json"]) == 0
    assert '"rows": 282' in capsys.readouterr().out
    assert main(["label", "import", file, "-o", new]) == 0
    assert "80 description" in capsys.readouterr().out
    assert main(["label", "import", str(tmp_path / "no.parquet"), "-o", new]) == 2
    assert "no such file; `wxr label export" in capsys.readouterr().err
    assert main(["label", "export", str(tmp_path / "no.lmdb"), "-o", file]) == 2
    assert rows(new) == rows(store)
