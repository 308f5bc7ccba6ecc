"""Damaged label stores: one line of error, and the sound rows are saved."""

import os

import lmdb
import numpy as np
import pytest

from wxr_plugin.cli import main as cli
from wxr_plugin.errors import WxrError
from wxr_plugin.labels.copying import copy_store
from wxr_plugin.labels.environment import LabelStoreError
from wxr_plugin.labels.rescuing import rescue_store
from wxr_plugin.labels.store import LabelStore

MODEL = {"model": "a"}
LOGITS = (1.0, 2.0, 3.0, 4.0, 5.0)


def write(path, ratings=300, images=20):
    rng = np.random.default_rng(0)
    with LabelStore(path) as store, store.batch():
        for number in range(ratings):
            store.put_rating(f"photo{number}", f"content{number}", MODEL, 3.0, LOGITS)
        for number in range(images):
            picture = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            store.put_pseudo(f"photo{number}", picture, 3.0, "input", 0)
    return path / "data.mdb"


def change(file, old, new):
    """Change a row as flipped bits would; earlier versions of its page hold it too."""
    data = file.read_bytes()
    assert old in data and len(old) == len(new)
    file.write_bytes(data.replace(old, new))


def everything(path):
    with LabelStore(path, readonly=True) as store:
        return store.answers(), store.pseudo_labels(), store.provenances()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_a_store_that_is_cut_short_is_refused_and_rescued(share, tmp_path, capsys):
    file = write(tmp_path / "labels.lmdb")
    answers, labels, _ = everything(tmp_path / "labels.lmdb")
    size = int(share * file.stat().st_size)
    os.truncate(file, size)
    for readonly in (True, False):
        with pytest.raises(
            LabelStoreError, match=r"cut short .* `wxr label rescue .*labels\.lmdb -o NEW`"
        ):
            LabelStore(tmp_path / "labels.lmdb", readonly)
    assert cli.main(["label", "show", str(tmp_path / "labels.lmdb")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    code = cli.main(["label", "rescue", str(tmp_path / "labels.lmdb"), "-o", str(tmp_path / "new")])
    said = capsys.readouterr()
    if share < 0.1:
        assert code == 2 and "no row can be read" in said.err and not (tmp_path / "new").exists()
    else:
        rows, images, _ = everything(tmp_path / "new")
        assert f"{len(rows)} rating" in said.out and code == int("lost 0" not in said.out)
        assert 0 < len(rows) + len(images) <= len(answers) + len(labels)
        assert all(row in answers for row in rows)
        assert all(label in labels for label in images)
    assert file.stat().st_size == size
    assert not list(tmp_path.glob(".*"))


def test_a_sound_store_is_rescued_whole(tmp_path):
    write(tmp_path / "old")
    rescued = rescue_store(tmp_path / "old", tmp_path / "new")
    assert str(rescued) == "rescued 321 of 321 rows (1 provenance, 20 pseudo, 300 rating), lost 0"
    assert everything(tmp_path / "new") == everything(tmp_path / "old")
    with pytest.raises(LabelStoreError, match="exists already"):
        rescue_store(tmp_path / "old", tmp_path / "new")


@pytest.mark.parametrize(
    ("old", "new", "read"),
    [
        (b"\xa7content\xa8content7", b"\xc1content\xa8content7", LabelStore.answers),
        (b"photo3\xa6rating", b"photo3\xc1rating", LabelStore.pseudo_labels),
        (b"photo3\xa6rating", b"photo3\xc1rating", LabelStore.pseudo_index),
        (b'{"model"', b'["model"', LabelStore.provenances),
    ],
)
def test_changed_bits_are_one_line_and_cost_one_row(old, new, read, tmp_path):
    file = write(tmp_path / "old")
    change(file, old, new)
    with (
        LabelStore(tmp_path / "old", readonly=True) as store,
        pytest.raises(LabelStoreError, match="a damaged label"),
    ):
        read(store)
    assert rescue_store(tmp_path / "old", tmp_path / "new").lost == 1
    with LabelStore(tmp_path / "new", readonly=True) as store:
        read(store)


def test_a_damaged_image_or_name_costs_its_row(tmp_path):
    file = write(tmp_path / "old", images=1)
    change(file, b"\x89PNG", b"\x89PNK")
    change(file, b"\xa9content17", b"\xa9content71")
    assert rescue_store(tmp_path / "old", tmp_path / "new").lost == 2
    with (
        LabelStore(tmp_path / "old", readonly=True) as store,
        pytest.raises(WxrError, match="photo0 is damaged; save"),
    ):
        _ = store.get_pseudo("photo0").image


def test_a_copy_of_a_damaged_store_is_one_line_and_leaves_nothing(tmp_path):
    change(write(tmp_path / "old"), b"photo3\xa6rating", b"photo3\xc1rating")
    with pytest.raises(LabelStoreError, match="a damaged label store"):
        copy_store(tmp_path / "old", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_page_that_lmdb_cannot_read_costs_its_rows(tmp_path):
    file = write(tmp_path / "old", images=0)
    with lmdb.open(str(tmp_path / "old"), readonly=True, lock=False) as environment:
        size = environment.stat()["psize"]
    data = bytearray(file.read_bytes())
    place = data.index(b"photo150") // size * size
    data[place : place + 16] = bytes(16)  # the page's header
    file.write_bytes(bytes(data))
    with pytest.raises(
        LabelStoreError, match=r"a damaged label store \(page \d+\)"
    ):  # LMDB would end the process
        LabelStore(tmp_path / "old", readonly=True)
    rescued = rescue_store(tmp_path / "old", tmp_path / "new")
    assert 0 < rescued.lost < 40
    assert len(everything(tmp_path / "new")[0]) == rescued.kinds["rating"] > 260


@pytest.mark.parametrize("readonly", [True, False])
def test_an_emptied_store_is_not_taken_for_a_new_one(readonly, tmp_path):
    os.truncate(write(tmp_path / "old"), 0)
    with pytest.raises(
        LabelStoreError, match=r"data\.mdb is empty.*restore a copy, or delete the folder"
    ):
        LabelStore(tmp_path / "old", readonly)
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied/data.mdb").touch()
    with pytest.raises(LabelStoreError, match=r"data\.mdb is empty"):
        LabelStore(tmp_path / "copied", readonly)


def test_a_writer_that_was_killed_while_it_made_the_file_leaves_a_new_store(tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("lock.mdb", "data.mdb"):
        (tmp_path / "new" / name).touch()
    with LabelStore(tmp_path / "new") as store:
        store.put_rating("photo", "content", MODEL, 3.0, LOGITS)
        assert len(store.answers()) == 1
