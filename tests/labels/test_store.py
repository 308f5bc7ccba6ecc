import multiprocessing
import os
import resource
import signal
import threading
import time
from contextlib import contextmanager, suppress

import lmdb
import msgspec
import numpy as np
import pytest

from wxr_plugin.labels.rows import SCHEMA_VERSION
from wxr_plugin.labels.store import LabelStore, LabelStoreError, content_hash, provenance_hash

MODEL = {
    "type": "TransformersRater",
    "model": "a",
    "weights": "sha256:1",
    "prompt": "Rate it.",
    "preprocessing": "p",
}
LOGITS = (1.5, -0.25, 3.0, 0.1, 1e-7)


@pytest.fixture
def store(tmp_path):
    with LabelStore(tmp_path / "labels.lmdb") as opened:
        yield opened


def image(seed, size=(12, 10)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


@contextmanager
def process(work, path):
    """Fork a process that calls `work(path, connection)`; yield it and our end, and kill it."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=work, args=(path, theirs))
    child.start()
    theirs.close()
    try:
        yield child, ours
    finally:
        child.kill()
        child.join()
        ours.close()


# Answers


def test_a_rating_comes_back_as_it_was_put_also_by_a_later_process(store):
    store.put_rating("rain/ä.jpg@0,0,64,64", "c1", MODEL, 3.0718, LOGITS)
    row = store.get_rating("rain/ä.jpg@0,0,64,64", "c1", MODEL)
    assert (row.rating, row.logits, row.key) == (3.0718, LOGITS, "rain/ä.jpg@0,0,64,64")
    path = store.path
    store.close()
    with LabelStore(path, readonly=True) as later:
        assert later.get_rating("rain/ä.jpg@0,0,64,64", "c1", MODEL) == row
        assert later.provenances() == {provenance_hash(MODEL): MODEL}


@pytest.mark.parametrize("changed", ["prompt", "model", "weights", "preprocessing", "type"])
def test_an_answer_is_not_reused_when_what_it_depends_on_changes(store, changed):
    store.put_rating("a", "c1", MODEL, 3.0, LOGITS)
    store.put_description("a", "c1", MODEL, "Rain.")
    other_model = {**MODEL, changed: "another"}
    assert (
        store.get_rating("a", "c1", other_model) is None
        and store.get_description("a", "c1", other_model) is None
    )
    store.put_rating("a", "c1", other_model, 4.0, LOGITS)
    assert store.get_rating("a", "c1", MODEL).rating == 3.0
    assert store.get_rating("a", "c1", dict(reversed(MODEL.items()))).rating == 3.0


def test_an_answer_is_not_reused_for_another_content_or_name(store):
    store.put_rating("a", content_hash(b"one"), MODEL, 3.0, LOGITS)
    assert store.get_rating("a", content_hash(b"two"), MODEL) is None
    assert store.get_rating("b", content_hash(b"one"), MODEL) is None


def test_content_hashes_tell_shape_and_values_apart():
    flat = np.arange(12, dtype=np.uint8)
    arrays = [
        flat.reshape(2, 2, 3),
        flat.reshape(4, 1, 3),
        flat[::-1].reshape(2, 2, 3),
        flat.reshape(2, 2, 3) * 1.0,
    ]
    assert len({content_hash(array) for array in arrays}) == 4
    assert content_hash(flat.reshape(2, 2, 3)[:, ::-1]) == content_hash(
        flat.reshape(2, 2, 3)[:, ::-1].copy()
    )


def test_failures_stay_count_their_attempts_and_give_way_to_an_answer(store):
    store.put_failure("a", "c1", MODEL, "cut short")
    store.put_failure("a", "c1", MODEL, "still cut short")
    store.put_failure("a", "c1", MODEL, "said nothing", "description")
    failure = store.get_failure("a", "c1", MODEL)
    assert (failure.reason, failure.attempts) == ("still cut short", 2)
    assert store.get_failure("a", "c1", MODEL, "description").attempts == 1
    assert store.get_rating("a", "c1", MODEL) is None
    store.put_rating("a", "c1", MODEL, 2.0, LOGITS)
    assert (
        store.get_failure("a", "c1", MODEL) is None
        and store.get_rating("a", "c1", MODEL).rating == 2.0
    )


def test_answers_are_listed_by_name(store):
    for name in ("b", "a", "c"):
        store.put_rating(name, "c", MODEL, 3.0, LOGITS)
    store.put_description("b", "c", MODEL, "Snow.")
    assert [(row.key, type(row).__name__) for row in store.answers()] == [
        ("a", "Rating"),
        ("b", "Rating"),
        ("b", "Description"),
        ("c", "Rating"),
    ]
    assert [row.key for row in store.answers("description")] == ["b"]


def test_names_longer_than_lmdbs_keys(store):
    names = ["x" * 2000 + end for end in "ab"]
    for i, name in enumerate(names):
        store.put_rating(name, "c", MODEL, 1.0 + i, LOGITS)
        store.put_pseudo(name, image(i), 1.0 + i, "input", 0)
    assert [store.get_rating(name, "c", MODEL).rating for name in names] == [1.0, 2.0]
    assert [store.get_pseudo(name).rating for name in names] == [1.0, 2.0]


# Rewrites


def test_a_rewrite_belongs_to_a_description_and_a_rewriter(store):
    store.put_rewrite("a", "Rain falls.", MODEL, "The weather looks good.")
    row = store.get_rewrite("a", "Rain falls.", MODEL)
    assert (row.key, row.source, row.text) == ("a", "Rain falls.", "The weather looks good.")
    assert row.content == content_hash(b"Rain falls.")
    assert (
        store.get_rewrite("a", "Rain fell.", MODEL) is None
        and store.get_rewrite("b", "Rain falls.", MODEL) is None
    )
    assert store.get_rewrite("a", "Rain falls.", {**MODEL, "model": "b"}) is None
    assert store.answers("rewrite") == [row] and store.provenances() == {
        provenance_hash(MODEL): MODEL
    }


def test_texts_are_the_newest_description_with_a_rewrite_and_its_newest_rewrite(store):
    store.put_description("a", "c1", MODEL, "Rain.")
    store.put_description("b", "c1", MODEL, "Snow.")
    assert store.texts() == {}
    store.put_rewrite("a", "Rain.", MODEL, "Good weather.")
    store.put_rewrite("a", "Rain.", {**MODEL, "model": "b"}, "The weather looks good.")
    assert store.texts() == {"a": ("Rain.", "The weather looks good.")}
    store.put_description(
        "a", "c2", MODEL, "A little rain."
    )  # of an improved image, not rewritten yet
    assert store.descriptions()["a"].text == "A little rain."
    assert store.texts() == {"a": ("Rain.", "The weather looks good.")}
    store.put_rewrite("a", "A little rain.", MODEL, "A street.")
    store.put_failure("a", "c3", MODEL, "said nothing", "description")
    assert store.texts() == {"a": ("A little rain.", "A street.")}
    assert set(store.descriptions()) == {"a", "b"}


# Steps


def test_a_batch_is_stored_as_a_whole_or_not_at_all(store):
    with pytest.raises(ZeroDivisionError), store.batch():
        store.put_rating("a", "c", MODEL, 1.0, LOGITS)
        store.put_pseudo("a", image(0), 1.0, "input", 0)
        raise ZeroDivisionError
    assert store.answers() == [] and store.pseudo_labels() == []
    with store.batch():
        store.put_rating("a", "c", MODEL, 1.0, LOGITS)
        store.put_rating("b", "c", MODEL, 2.0, LOGITS)
        assert store.get_rating("a", "c", MODEL) is None
    assert [row.key for row in store.answers()] == ["a", "b"]


def test_the_store_grows_beyond_its_first_size_also_under_a_reader(store, monkeypatch):
    first_size = 2 << 20
    monkeypatch.setattr("wxr_plugin.labels.environment.FIRST_SIZE", first_size)

    def count_twice(path, connection):
        reader = LabelStore(path, readonly=True)
        for _ in range(2):
            connection.recv()
            connection.send(len(reader.pseudo_labels()))

    large = image(0, (600, 600))  # 1 MB each, as noise does not compress
    with process(count_twice, store.path) as (_, reader):
        reader.send("count")
        assert reader.recv() == 0
        for i in range(8):
            store.put_pseudo(str(i), large, 3.0, "input", 0)
        reader.send("count")
        assert reader.recv() == 8
    assert (store.path / "data.mdb").stat().st_size > 3 * first_size
    assert all(np.array_equal(store.get_pseudo(str(i)).image, large) for i in range(8))


def test_readers_see_one_consistent_state_while_a_writer_writes(store):
    def write(path, connection):
        writer = LabelStore(path)
        for generation in range(100000):
            with writer.batch():
                for name in range(50):
                    writer.put_rating(str(name), "c", MODEL, generation, LOGITS)
            if generation == 0:
                connection.send("begun")

    store.close()
    with process(write, store.path) as (_, writer):
        assert writer.recv() == "begun"
        with LabelStore(store.path, readonly=True) as reader:
            seen, end = [], time.monotonic() + 60
            while len(set(map(tuple, seen))) < 10 and time.monotonic() < end:
                seen.append(sorted({row.rating for row in reader.answers()}))
    assert all(len(ratings) == 1 for ratings in seen)
    assert len(set(map(tuple, seen))) == 10


# Crashes and writers


@pytest.mark.parametrize("after", [1, 20, 150])
def test_every_committed_row_survives_kill_9_and_the_next_writer_continues(tmp_path, after):
    def write(path, connection):
        writer = LabelStore(path)
        for i in range(100000):
            with writer.batch():
                writer.put_rating(str(i), "c", MODEL, 1 + i % 4, LOGITS)
                writer.put_pseudo(str(i), image(i), 1 + i % 4, f"teacher@{i}", i)
            connection.send(i)

    written = []
    with process(write, tmp_path / "labels.lmdb") as (child, writer):
        while len(written) < after:
            written.append(writer.recv())
        os.kill(child.pid, signal.SIGKILL)
        with suppress(EOFError):
            while True:
                written.append(writer.recv())
    with LabelStore(tmp_path / "labels.lmdb") as store:
        count = len(store.answers())
        # The last row may be stored but not reported yet.
        assert count in (len(written), len(written) + 1)
        assert len(store.pseudo_labels()) == count
        for i in written:
            assert store.get_rating(str(i), "c", MODEL).rating == 1 + i % 4
            assert np.array_equal(store.get_pseudo(str(i)).image, image(i))
        store.put_rating("more", "c", MODEL, 5.0, LOGITS)
        assert len(store.answers()) == count + 1


def test_a_full_disk_is_one_line_and_loses_nothing_that_was_stored(tmp_path):
    def write(path, connection):
        writer = LabelStore(path)
        writer.put_rating("a", "c", MODEL, 3.0, LOGITS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            writer.put_pseudo("a", image(0, (1000, 1000)), 3.0, "input", 0)
        except LabelStoreError as error:
            connection.send(str(error))

    with process(write, tmp_path / "labels.lmdb") as (_, writer):
        message = writer.recv()
    assert "cannot be written" in message and "\n" not in message
    with LabelStore(tmp_path / "labels.lmdb") as store:
        assert store.get_rating("a", "c", MODEL).rating == 3.0 and store.get_pseudo("a") is None
        store.put_pseudo("a", image(0, (1000, 1000)), 3.0, "input", 0)
        assert np.array_equal(store.get_pseudo("a").image, image(0, (1000, 1000)))


def test_a_second_writer_is_refused_by_number_until_the_first_ends(store):
    def write(path, connection):
        for _ in range(2):
            connection.recv()
            try:
                with LabelStore(path) as second:
                    second.put_rating("b", "c", MODEL, 2.0, LOGITS)
                connection.send("written")
            except LabelStoreError as error:
                connection.send(str(error))

    with process(write, store.path) as (_, second):
        second.send("try")
        message = second.recv()
        assert (
            f"process {os.getpid()} on" in message
            and "is writing to this label store" in message
            and "\n" not in message
        )
        assert store.answers() == []
        store.close()
        second.send("try")
        assert second.recv() == "written"
    with LabelStore(store.path, readonly=True) as reader:
        assert [row.key for row in reader.answers()] == ["b"]


def test_a_killed_writers_forked_workers_do_not_keep_the_lock(tmp_path):
    def train(path, connection):
        trainer = LabelStore(path)
        worker = os.fork()
        if worker:
            connection.send(worker)
        time.sleep(60)
        trainer.close()

    with process(train, tmp_path / "labels.lmdb") as (child, trainer):
        worker = trainer.recv()
        try:
            child.kill()
            child.join()
            os.kill(worker, 0)  # still there
            LabelStore(tmp_path / "labels.lmdb").close()
        finally:
            os.kill(worker, signal.SIGKILL)


def test_stores_of_one_process_share_the_environment(store):
    with LabelStore(store.path) as second, LabelStore(store.path, readonly=True) as reader:
        second.put_rating("a", "c", MODEL, 3.0, LOGITS)
        assert reader.get_rating("a", "c", MODEL) == store.get_rating("a", "c", MODEL)
    store.put_rating("b", "c", MODEL, 3.0, LOGITS)
    assert len(store.answers()) == 2


def test_threads_may_read_while_the_store_grows(store, monkeypatch):
    monkeypatch.setattr("wxr_plugin.labels.environment.FIRST_SIZE", 1 << 20)
    store.put_rating("a", "c", MODEL, 3.0, LOGITS)
    stop, wrong = threading.Event(), []

    def look():
        while not stop.is_set():
            if store.get_rating("a", "c", MODEL).rating != 3.0:
                wrong.append(1)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(6):
        store.put_pseudo(str(i), image(i, (600, 600)), 3.0, "input", 0)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong and len(store.pseudo_labels()) == 6


def test_a_forked_child_cannot_use_its_parents_store_but_its_own(store):
    store.put_rating("a", "c", MODEL, 3.0, LOGITS)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        message = "nothing"
        try:
            store.get_rating("a", "c", MODEL)
        except LabelStoreError as error:
            message = str(error)
        with LabelStore(store.path, readonly=True) as own:
            os.write(writing, f"{message}|{own.get_rating('a', 'c', MODEL).rating}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    message, rating = os.read(reading, 4096).decode().split("|")
    assert "open the store again in this process" in message and rating == "3.0"
    store.put_rating("b", "c", MODEL, 3.0, LOGITS)
    assert len(store.answers()) == 2


# What cannot be opened


def test_a_store_of_another_schema_version_is_refused(tmp_path):
    with (
        lmdb.open(str(tmp_path / "labels.lmdb")) as opened,
        opened.begin(write=True) as transaction,
    ):
        transaction.put(b"schema", msgspec.msgpack.encode({"wxr_labels": SCHEMA_VERSION + 1}))
    for readonly in (False, True):
        with pytest.raises(
            LabelStoreError,
            match=f"schema version {SCHEMA_VERSION + 1}.*versions 1 and {SCHEMA_VERSION};",
        ):
            LabelStore(tmp_path / "labels.lmdb", readonly)


def test_a_store_of_version_1_is_read_as_it_is_and_becomes_one_of_today_when_it_is_written(
    tmp_path,
):
    row = {
        "type": "rating",
        "key": "a",
        "content": "c",
        "provenance": "p",
        "rating": 3.5,
        "logits": [1, 2, 3, 4, 5],
    }
    label = {
        "key": "a",
        "png": b"png",
        "rating": 4.0,
        "source": "input",
        "iteration": 7,
        "rater": "r",
        "time": 1.0,
    }
    rows = {
        b"rating/p/i": {**row, "time": 2.0},
        b"pseudo/i/000000000007": label,
        b"schema": {"wxr_labels": 1},
    }
    with lmdb.open(str(tmp_path / "labels.lmdb")) as old, old.begin(write=True) as transaction:
        for key, value in rows.items():
            transaction.put(key, msgspec.msgpack.encode(value))

    def version():
        with lmdb.open(str(tmp_path / "labels.lmdb")) as opened, opened.begin() as transaction:
            return msgspec.msgpack.decode(transaction.get(b"schema"))["wxr_labels"]

    for readonly, after in ((True, 1), (False, 2), (True, 2)):
        with LabelStore(tmp_path / "labels.lmdb", readonly) as store:
            assert [row.rating for row in store.answers()] == [3.5]
            (label_read,) = store.pseudo_labels()
            assert (label_read.key, label_read.png, label_read.iteration) == ("a", b"png", 7)
        assert version() == after


def test_a_writer_killed_before_its_first_row_leaves_an_empty_store(tmp_path):
    lmdb.open(str(tmp_path / "labels.lmdb")).close()
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as reader:
        assert reader.answers() == [] and reader.get_pseudo("a") is None
    with LabelStore(tmp_path / "labels.lmdb") as store:
        store.put_rating("a", "c", MODEL, 3.0, LOGITS)
        assert len(store.answers()) == 1


@pytest.mark.parametrize(
    "rows", [{b"0001": b"\x89PNG"}, {b"schema": b"\xc1 not msgpack"}, {b"schema": b"\x01"}]
)
def test_an_lmdb_of_something_else_is_refused_and_left_alone(tmp_path, rows):
    with (
        lmdb.open(str(tmp_path / "photos.lmdb")) as opened,
        opened.begin(write=True) as transaction,
    ):
        for key, value in rows.items():
            transaction.put(key, value)
    with pytest.raises(LabelStoreError, match="not a label store"):
        LabelStore(tmp_path / "photos.lmdb")
    with lmdb.open(str(tmp_path / "photos.lmdb")) as opened, opened.begin() as transaction:
        assert dict(transaction.cursor()) == rows


def test_a_folder_of_photos_and_a_file_are_refused_and_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"jpeg")
    for path in (tmp_path / "photos", tmp_path / "photos" / "a.jpg"):
        with pytest.raises(LabelStoreError, match="exists and is not a label store"):
            LabelStore(path)
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_damaged_files_and_missing_stores_are_one_line(tmp_path):
    (tmp_path / "broken.lmdb").mkdir()
    (tmp_path / "broken.lmdb" / "data.mdb").write_bytes(b"not an LMDB" * 1000)
    with pytest.raises(LabelStoreError, match="cannot be opened as a label store"):
        LabelStore(tmp_path / "broken.lmdb")
    with pytest.raises(LabelStoreError, match="no label store here"):
        LabelStore(tmp_path / "none.lmdb", readonly=True)
    assert not (tmp_path / "none.lmdb").exists()


def test_reading_stores_and_closed_stores_do_not_write(store):
    with (
        LabelStore(store.path, readonly=True) as reader,
        pytest.raises(LabelStoreError, match="opened for reading only"),
    ):
        reader.put_rating("a", "c", MODEL, 3.0, LOGITS)
    store.close()
    store.close()
    with pytest.raises(LabelStoreError, match="was closed"):
        store.put_rating("a", "c", MODEL, 3.0, LOGITS)


# Pseudo-labels


def test_a_pseudo_label_comes_back_to_the_bit_with_its_history(store):
    assert store.get_pseudo("a") is None
    store.put_pseudo("a", image(1), 3.5, "teacher@7", 7, rater="abc")
    label = store.get_pseudo("a")
    assert np.array_equal(label.image, image(1)) and label.png.startswith(b"\x89PNG")
    assert (label.key, label.rating, label.source, label.iteration, label.rater) == (
        "a",
        3.5,
        "teacher@7",
        7,
        "abc",
    )


def test_the_index_of_pseudo_labels_has_the_newest_versions_without_images(store):
    assert store.pseudo_index() == {}
    for name, iteration in (("b", 0), ("a", 3), ("a", 20)):
        store.put_pseudo(
            name, image(iteration), 3.0, f"teacher@{iteration}", iteration, rater="abc"
        )
    index = store.pseudo_index()
    assert list(index) == ["a", "b"] and not hasattr(index["a"], "png")
    assert (index["a"].source, index["a"].iteration, index["a"].rater) == ("teacher@20", 20, "abc")


def test_only_uint8_rgb_images_become_pseudo_labels(store):
    for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match="uint8 RGB"):
            store.put_pseudo("a", wrong, 3.0, "input", 0)


def test_the_newest_version_is_found_among_neighbours(store):
    for name in "abcdef":
        for iteration in (0, 3, 20, 100000):
            store.put_pseudo(name, image(iteration), 3.0, name, iteration)
    assert [
        (store.get_pseudo(name).source, store.get_pseudo(name).iteration) for name in "abcdef"
    ] == [(name, 100000) for name in "abcdef"]
    assert store.get_pseudo("g") is None and [
        row.iteration for row in store.pseudo_history("c")
    ] == [0, 3, 20, 100000]


def put_versions(store, *iterations):
    for iteration in iterations:
        store.put_pseudo(
            "a", image(iteration), 1 + iteration / 1000, f"teacher@{iteration}", iteration
        )


def test_rollback_gives_exactly_what_the_checkpoint_knew(store):
    put_versions(store, 0, 5, 12)
    store.put_pseudo("b", image(99), 2.0, "teacher@14", 14)
    assert store.rollback_pseudo(10) == 2
    assert store.get_pseudo("a").iteration == 5 and np.array_equal(
        store.get_pseudo("a").image, image(5)
    )
    assert store.get_pseudo("b") is None
    put_versions(store, 11)
    assert [row.iteration for row in store.pseudo_labels()] == [11]
    assert store.rollback_pseudo(11) == 0


def test_checkpoints_that_are_kept_can_be_resumed_and_older_versions_go(store):
    put_versions(store, 0, 5)
    store.put_pseudo("b", image(0), 2.0, "input", 0)
    store.commit_pseudo(10, keep=2)
    put_versions(store, 12, 18)
    store.commit_pseudo(20, keep=2)
    assert versions(store) == [
        5,
        12,
        18,
    ]  # 12 is seen by no checkpoint, but may become one's after a rollback to 15
    put_versions(store, 25)
    store.commit_pseudo(30, keep=2)
    assert versions(store) == [18, 25]
    assert store.get_pseudo("b").iteration == 0
    with pytest.raises(LabelStoreError, match="cannot return to iteration 10"):
        store.rollback_pseudo(10)
    store.rollback_pseudo(20)
    assert versions(store) == [18]
    store.commit_pseudo(30, keep=2)  # the run that was resumed at 20 comes to 30 again
    assert versions(store) == [18]
    store.rollback_pseudo(20)


def test_clearing_pseudo_labels_lets_a_run_start_anew_and_keeps_the_answers(store):
    store.put_rating("a", "c", MODEL, 3.0, LOGITS)
    put_versions(store, 0, 5)
    store.commit_pseudo(10, keep=1)
    assert store.clear_pseudo() == 1
    assert store.get_pseudo("a") is None and store.rollback_pseudo(0) == 0
    assert len(store.answers()) == 1


def versions(store):
    return [label.iteration for label in store.pseudo_history("a")]
