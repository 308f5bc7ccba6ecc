"""Merging of label stores: exact, idempotent, atomic, with conflicts reported."""

import math
import multiprocessing
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from wxr_plugin.cli.main import main
from wxr_plugin.labels import merging
from wxr_plugin.labels.merging import MergeConflictError, merge_stores, planned_merge
from wxr_plugin.labels.store import LabelStore, LabelStoreError

MODEL = {"model": "a"}
LOGITS = (1.0, 2.0, 3.0, 4.0, 5.0)
NONE = (math.nan,) * 5


def image(seed):
    return np.random.default_rng(seed).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def rows(path):
    """Every row of a store, as bytes."""
    with LabelStore(path, readonly=True) as store:
        return [(key, bytes(value)) for key, value in store.rows()]


def fill(path, names):
    with LabelStore(path) as store:
        for name in names:
            number = ord(name)
            store.put_rating(name, "c", MODEL, 1 + number % 5, LOGITS)
            store.put_rating(name, "c", {"metric": "m"}, 2.5, NONE)
            store.put_description(name, "c", MODEL, f"Rain on {name}.")
            store.put_rewrite(name, f"Rain on {name}.", MODEL, f"Sun on {name}.")
            store.put_failure(f"{name}{name}", "c", MODEL, "cut short")
            store.put_pseudo(name, image(number), 3.5, "mine", 0, "r")
    return path


@pytest.fixture
def stores(tmp_path):
    """One store of all photos and two that share c; equal rows have different times."""
    return [
        fill(tmp_path / f"{name}.lmdb", names)
        for name, names in (("all", "abcde"), ("x", "abc"), ("y", "cde"))
    ]


def without_time(path):
    result = {}
    with LabelStore(path, readonly=True) as store:
        for row in [*store.answers(), *store.pseudo_labels()]:
            kind = type(row).__name__
            result[kind, row.key, getattr(row, "provenance", "")] = msgspec.structs.replace(
                row, time=0.0
            )
        return {key: msgspec.msgpack.encode(row) for key, row in result.items()} | {
            "provenances": store.provenances()
        }


def test_the_union_of_two_stores_is_the_store_of_one_call(stores, tmp_path):
    whole, *parts = stores
    merged = merge_stores(parts, tmp_path / "new.lmdb")
    assert without_time(tmp_path / "new.lmdb") == without_time(whole)
    assert merged.rows == {
        **{"description": 5, "provenance": 2, "pseudo": 5, "rating": 15, "rewrite": 5}
    }
    assert merged.new == 32 and merged.conflicts == 0
    merge_stores(parts[::-1], tmp_path / "other.lmdb")
    assert rows(tmp_path / "other.lmdb") == rows(tmp_path / "new.lmdb")


def test_the_newest_time_is_kept_and_the_sources_stay(stores, tmp_path):
    _, first, last = stores
    before = rows(first), rows(last)
    merge_stores([first, last], tmp_path / "new.lmdb")
    assert (rows(first), rows(last)) == before
    with LabelStore(last) as store, LabelStore(tmp_path / "new.lmdb") as new:
        assert new.get_rating("c", "c", MODEL) == store.get_rating("c", "c", MODEL)


def test_merging_again_and_with_parts_of_the_result_changes_nothing(stores, tmp_path):
    _, *parts = stores
    new = tmp_path / "new.lmdb"
    merge_stores(parts, new)
    before = rows(new)
    assert merge_stores(parts, new).new == 0
    assert merge_stores([*parts, new, *parts], new).new == 0
    assert rows(new) == before
    merge_stores([new, *parts], tmp_path / "third.lmdb")
    assert rows(tmp_path / "third.lmdb") == before


def test_an_existing_store_is_extended(stores, tmp_path):
    whole, first, last = stores
    assert merge_stores([last], first).new > 0
    assert without_time(first) == without_time(whole)


def test_an_answer_replaces_a_failure_whatever_the_order(tmp_path):
    a, b = tmp_path / "a.lmdb", tmp_path / "b.lmdb"
    with LabelStore(a) as store:
        store.put_rating("p", "c", MODEL, 4, LOGITS)
    with LabelStore(b) as store:
        store.put_failure("p", "c", MODEL, "cut short")
        store.put_failure("p", "c", MODEL, "cut short")
    for order in ([a, b], [b, a]):
        merge_stores(order, tmp_path / "new.lmdb")
        with LabelStore(tmp_path / "new.lmdb") as store:
            assert store.get_rating("p", "c", MODEL).rating == 4
    merge_stores([b, b], tmp_path / "c.lmdb")
    with LabelStore(tmp_path / "c.lmdb") as store:
        assert store.get_failure("p", "c", MODEL).attempts == 2


@pytest.fixture
def differing(tmp_path):
    for name, rating, text in (("a", 4, "Rain."), ("b", 2, "Fog.")):
        with LabelStore(tmp_path / f"{name}.lmdb") as store:
            store.put_rating("p", "c", MODEL, rating, LOGITS)
            store.put_description("p", "c", MODEL, text)
            store.put_rating("same", "c", MODEL, 3, LOGITS)
            store.put_rating(name, "c", MODEL, 3, LOGITS)
    return [tmp_path / "a.lmdb", tmp_path / "b.lmdb"]


def test_different_answers_are_reported_and_nothing_is_written(differing, tmp_path):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(MergeConflictError, match="2 answers differ between the stores") as error:
        merge_stores(differing, tmp_path / "new.lmdb")
    assert sorted(tmp_path.iterdir()) == before
    lines = sorted(map(str, error.value.merged.listed))
    assert lines[0].startswith("description of p: ") and "'Rain.'" in lines[0]
    assert lines[1].endswith(f"a.lmdb: 4; {differing[1]}: 2")
    stored = rows(differing[0])
    with pytest.raises(MergeConflictError):
        merge_stores(differing[1:], differing[0])
    assert rows(differing[0]) == stored


@pytest.mark.parametrize(("prefer", "rating", "text"), [("first", 4, "Rain."), ("last", 2, "Fog.")])
def test_a_preferred_store_decides(differing, tmp_path, prefer, rating, text):
    for _ in range(2):  # again into the existing store
        merged = merge_stores(differing, tmp_path / "new.lmdb", prefer)
        assert merged.conflicts == 2
        with LabelStore(tmp_path / "new.lmdb") as store:
            assert store.get_rating("p", "c", MODEL).rating == rating
            assert store.get_description("p", "c", MODEL).text == text
            assert {row.key for row in store.answers("rating")} == {"a", "b", "p", "same"}
    assert merged.new == 0


def test_equal_pseudo_labels_packed_otherwise_are_equal_and_others_are_not(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.lmdb" for number in range(3)]
    for number, path in enumerate(paths):
        with LabelStore(path) as store:
            store.put_pseudo("p", image(0), 3.5 + number // 2, "mine", 0, "r")
    merge_stores(paths[:2], tmp_path / "new.lmdb")
    with pytest.raises(MergeConflictError, match=r"pseudo of p: .*mine, rated 4\.5"):
        merge_stores(paths, tmp_path / "other.lmdb")


def test_stores_of_two_trainings_are_refused(tmp_path):
    for name, iteration in (("a", 10), ("b", 20)):
        with LabelStore(tmp_path / f"{name}.lmdb") as store:
            store.commit_pseudo(iteration)
    with pytest.raises(LabelStoreError, match="different trainings"):
        merge_stores([tmp_path / "a.lmdb", tmp_path / "b.lmdb"], tmp_path / "new.lmdb")
    assert not (tmp_path / "new.lmdb").exists()


def test_a_rating_that_a_command_made_too_stays_when_a_training_returns(tmp_path):
    for name, iteration in (("a", 7), ("b", None), ("c", 5)):
        with LabelStore(tmp_path / f"{name}.lmdb") as store:
            store.put_rating("p", "c", MODEL, 4, LOGITS, iteration)
    for names, expected in (("ab", None), ("ac", 5), ("abc", None)):
        target = tmp_path / f"of_{names}.lmdb"
        merge_stores([tmp_path / f"{name}.lmdb" for name in names], target)
        with LabelStore(target) as store:
            assert store.get_rating("p", "c", MODEL).iteration == expected


def test_a_damaged_row_names_its_store(stores, tmp_path):
    with LabelStore(stores[1]) as store:
        store.put_rows([(b"rating/x/y", b"\xc1")])
    with pytest.raises(LabelStoreError, match=r"x\.lmdb: a damaged label store"):
        merge_stores(stores[1:], tmp_path / "new.lmdb")
    assert not list(tmp_path.glob("*new*"))


def test_a_missing_store_is_one_line_and_makes_nothing(stores, tmp_path, capsys):
    words = ["label", "merge", str(stores[1]), str(tmp_path / "no.lmdb"), "-o"]
    assert main([*words, str(tmp_path / "new.lmdb")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.glob("*n[eo]*.lmdb"))


def killed_merge(sources, target):
    def yields_few(self, target):
        for number, row in enumerate(original(self, target)):
            if number == 20:
                os.kill(os.getpid(), signal.SIGKILL)
            yield row

    original = merging._Merge.changes
    merging._Merge.changes = yields_few
    merging.merge_stores(sources, target)


@pytest.mark.parametrize("existing", [False, True])
def test_a_killed_merge_leaves_nothing_and_can_be_repeated(stores, tmp_path, existing):
    whole, *parts = stores
    target = tmp_path / "new.lmdb"
    if existing:
        fill(target, "z")
    before = rows(target) if existing else None
    process = multiprocessing.get_context("spawn").Process(
        target=killed_merge, args=(parts, target)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (rows(target) if target.exists() else None) == before
    merge_stores(parts, target)
    if not existing:
        assert without_time(target) == without_time(whole)
    assert {path.name for path in tmp_path.iterdir()} == {
        "all.lmdb",
        "x.lmdb",
        "y.lmdb",
        "new.lmdb",
    }


def test_the_command_reports_conflicts_and_plans_without_writing(differing, tmp_path, capsys):
    words = ["label", "merge", *map(str, differing), "-o", str(tmp_path / "new.lmdb")]
    assert main([*words, "--dry-run"]) == 1
    assert "conflicts  2" in capsys.readouterr().out
    assert main(words) == 1
    out = capsys.readouterr().out
    assert out.count("conflict: ") == 2 and "not written" in out
    assert not (tmp_path / "new.lmdb").exists()
    assert main([*words, "--prefer", "first", "--json"]) == 0
    result = msgspec.json.decode(capsys.readouterr().out)
    assert result["rows"] == {"description": 1, "provenance": 1, "rating": 4}
    assert Path(result["store"]).exists()
    assert planned_merge(differing, tmp_path / "new.lmdb", "first").new == 0
