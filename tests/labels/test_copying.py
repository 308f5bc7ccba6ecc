import multiprocessing
import os
import signal

import numpy as np
import pytest

from wxr_plugin.labels import base, copying
from wxr_plugin.labels.copying import copy_store
from wxr_plugin.labels.store import LabelStore, LabelStoreError

MODEL = {"model": "a"}


def image(seed, size=(12, 10)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.fixture
def old(tmp_path):
    with LabelStore(tmp_path / "old.lmdb") as store:
        store.put_rating("a", "c", MODEL, 3.0, (1, 2, 3, 4, 5))
        store.put_description("a", "c", MODEL, "Rain falls.")
        store.put_rewrite("a", "Rain falls.", MODEL, "The weather looks good.")
        store.put_failure("b", "c", MODEL, "cut short")
        for name in "abc":
            for iteration in (0, 10, 250):
                store.put_pseudo(
                    name,
                    image(iteration),
                    1 + iteration / 100,
                    f"teacher@{iteration}",
                    iteration,
                    "r",
                )
        store.commit_pseudo(10)
    return tmp_path / "old.lmdb"


def test_a_copy_has_all_answers_and_the_newest_labels_as_iteration_0(old, tmp_path):
    copy_store(old, tmp_path / "new.lmdb")
    with LabelStore(tmp_path / "new.lmdb") as new, LabelStore(old) as store:
        assert new.answers() == store.answers() and new.provenances() == store.provenances()
        assert new.texts() == {"a": ("Rain falls.", "The weather looks good.")}
        for name in "abc":
            (label,) = new.pseudo_history(name)
            assert (label.iteration, label.source, label.rating, label.rater) == (
                0,
                "teacher@250",
                3.5,
                "r",
            )
            assert np.array_equal(label.image, image(250))
            assert [row.iteration for row in store.pseudo_history(name)] == [10, 250]
        assert new.rollback_pseudo(0) == 0  # no commit of the old training is left to forbid it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.lmdb", "old.lmdb"]


def test_a_copy_keeps_the_ratings_of_the_old_training_when_the_new_one_is_rolled_back(tmp_path):
    with LabelStore(tmp_path / "old.lmdb") as store:
        store.put_rating("a", "c", MODEL, 3.0, (1, 2, 3, 4, 5), iteration=7)
    copy_store(tmp_path / "old.lmdb", tmp_path / "new.lmdb")
    with LabelStore(tmp_path / "new.lmdb") as new:
        new.rollback_pseudo(0)
        row = new.get_rating("a", "c", MODEL)
    assert (row.rating, row.iteration) == (3.0, None)


def test_a_copy_goes_through_in_small_steps_and_while_the_old_store_is_written(
    old, tmp_path, monkeypatch
):
    monkeypatch.setattr(copying, "CHUNK", 100)
    monkeypatch.setattr(base, "CHUNK", 100)
    with LabelStore(old):
        copy_store(old, tmp_path / "new.lmdb")
    with LabelStore(tmp_path / "new.lmdb", readonly=True) as new:
        assert len(new.pseudo_labels()) == 3 and len(new.answers()) == 4


def test_a_copy_that_was_killed_leaves_no_store_and_the_next_one_is_whole(
    old, tmp_path, monkeypatch
):
    with LabelStore(old) as store:
        for number in range(40):
            store.put_pseudo(f"x{number}", image(number, (100, 100)), 3.0, "input", 0)
    monkeypatch.setattr(copying, "CHUNK", 1000)

    def copy(connection):
        put = LabelStore.put_rows

        def slowly(store, rows):
            put(store, rows)
            connection.send("chunk")
            connection.recv()

        LabelStore.put_rows = slowly
        copy_store(old, tmp_path / "new.lmdb")

    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=copy, args=(theirs,))
    child.start()
    for _ in range(10):
        assert ours.recv() == "chunk"
        ours.send("continue")
    ours.recv()
    with pytest.raises(LabelStoreError, match=f"process {child.pid} on .* is writing"):
        copy_store(old, tmp_path / "new.lmdb")
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert not (tmp_path / "new.lmdb").exists()
    copy_store(old, tmp_path / "new.lmdb")
    with LabelStore(tmp_path / "new.lmdb", readonly=True) as new:
        assert len(new.pseudo_labels()) == 43
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.lmdb", "old.lmdb"]


def test_what_exists_is_not_copied_over_and_what_is_missing_is_named(old, tmp_path):
    with pytest.raises(LabelStoreError, match=r"old\.lmdb: exists already"):
        copy_store(old, old)
    with pytest.raises(LabelStoreError, match=r"none\.lmdb: no label store here"):
        copy_store(tmp_path / "none.lmdb", tmp_path / "new.lmdb")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old.lmdb"]
