"""Test images that were trained on: the same file, saved again, made smaller; and not others."""

import csv

import cv2
import numpy as np
import pytest
from bench_files import run, write

from wxr_plugin.benchmark import overlaps
from wxr_plugin.benchmark.hashes import BITS, Hashes, difference_hash, nearest, seen_of
from wxr_plugin.benchmark.options import OverlapOptions, SetOptions
from wxr_plugin.benchmark.sets import find_set
from wxr_plugin.data.images.io import encode, write_image
from wxr_plugin.data.packaged_photos import HELD_OUT, TRAIN, packaged_photo


def bits(first, second):
    return int(np.bitwise_count(difference_hash(first) ^ difference_hash(second)).sum())


def find(tmp_path, training, **options):
    block = OverlapOptions(training=[str(training)], **options)
    sets = [
        find_set("mine", SetOptions(lq=str(tmp_path / "lq"), gt=str(tmp_path / "gt")), tmp_path)
    ]
    looked = []
    rows = overlaps.find(
        block, sets, Hashes(tmp_path / "h.jsonl"), lambda number, _: looked.append(number)
    )
    assert sum(looked) == overlaps.count(block, sets)
    return rows, sets


def test_copies_keep_their_hash_and_other_photos_have_another():
    photos = {
        name: packaged_photo(name) for name in (*TRAIN, *HELD_OUT) if name != "motorcycle_right"
    }
    for photo in photos.values():
        half = cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        jpeg = cv2.imdecode(np.frombuffer(encode(photo, ".jpg", quality=60), np.uint8), 1)[
            ..., ::-1
        ]
        assert bits(photo, half) <= 20 and bits(photo, jpeg) <= 20
    names = list(photos)
    apart = [bits(photos[a], photos[b]) for i, a in enumerate(names) for b in names[:i]]
    assert min(apart) > 60


def test_plain_pictures_have_no_hash():
    assert seen_of(encode(np.full((40, 50, 3), 200, np.uint8), ".png")) == ""
    assert seen_of(b"no image") == ""
    assert len(seen_of(encode(packaged_photo("coffee"), ".png"))) == BITS // 4


def test_nearest():
    zero, near, far = "00" * 32, "01" + "00" * 31, "ff" * 32
    assert nearest([zero, far], [near, far]) == [(1, 0), (0, 1)]


def test_what_was_trained_on_is_found(tmp_path):
    for place, name in enumerate(("china", "coffee", "chelsea")):
        photo = packaged_photo(name)
        write_image(tmp_path / f"gt/{place}.png", photo)
        write_image(tmp_path / f"lq/{place}.png", photo[::-1])
    (tmp_path / "train").mkdir()
    (tmp_path / "train/same.png").write_bytes((tmp_path / "gt/0.png").read_bytes())
    small = cv2.resize(packaged_photo("coffee"), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    write_image(tmp_path / "train/sub/small.jpg", small, quality=70)
    write_image(tmp_path / "train/other.png", packaged_photo("rocket"))
    (tmp_path / "train/broken.png").write_bytes(b"no image")
    rows, sets = find(tmp_path, tmp_path / "train")
    assert [(row.image, row.side, row.kind) for row in rows] == [
        ("0", "gt", "exact"),
        ("1", "gt", "near"),
    ]
    assert rows[1].training.endswith("small.jpg") and 0 <= rows[1].distance <= 20
    lines = list(overlaps.describe(rows, sets))
    assert lines[0].startswith("overlap: mine: 1 of 3 photos, the same file in training: 0.png = ")
    assert "the same picture" in lines[1]
    assert find(tmp_path, tmp_path / "train", threshold=0)[0] == rows[:1]


def test_an_lmdb_is_looked_through(tmp_path):
    from wxr_plugin.cli import main as cli

    for side in ("lq", "gt"):
        write_image(
            tmp_path / f"{side}/a.png", packaged_photo("coffee")[:: 1 if side == "gt" else -1]
        )
    write_image(tmp_path / "train/b.jpg", packaged_photo("coffee"))
    assert cli.main(["lmdb", "build", str(tmp_path / "train"), str(tmp_path / "train.lmdb")]) == 0
    rows, _ = find(tmp_path, tmp_path / "train.lmdb")
    assert [(row.image, row.side, row.kind) for row in rows] == [("a", "gt", "near")]
    assert rows[0].training.endswith("train.lmdb/b")


def test_the_scenes_of_outdoor_rain_are_known_by_name(tmp_path):
    random = np.random.default_rng(0)
    for scene in (301, 350):
        write_image(
            tmp_path / f"in/im_0{scene}_s80_a04.png", random.integers(0, 255, (40, 50, 3), np.uint8)
        )
        write_image(
            tmp_path / f"gt/im_0{scene}.png", random.integers(0, 255, (40, 50, 3), np.uint8)
        )
    for name in ("im_0350_s95_a06", "im_0351_s80_a04", "im_0300"):
        write_image(tmp_path / f"train/{name}.png", random.integers(0, 255, (40, 50, 3), np.uint8))
    block = OverlapOptions(training=[str(tmp_path / "train")])
    sets = [find_set("outdoor-rain-test1", SetOptions(root=str(tmp_path), count=2), tmp_path)]
    rows = overlaps.find(block, sets, Hashes(tmp_path / "h.jsonl"), lambda *_: None)
    assert [(row.image, row.kind) for row in rows] == [("im_0350_s80_a04", "name")]
    assert "im_0301 to im_0350" in sets[0].known_set.note


def test_files_are_read_again_only_when_they_changed(tmp_path, monkeypatch):
    file = tmp_path / "a.png"
    write_image(file, packaged_photo("coffee")[:50, :50])
    hashes = Hashes(tmp_path / "h.jsonl")
    first = hashes.content(file), hashes.seen(file)
    hashes.save()
    monkeypatch.setattr(
        "wxr_plugin.benchmark.hashes.content_of", lambda data: pytest.fail("read again")
    )
    again = Hashes(tmp_path / "h.jsonl")
    assert (again.content(file), again.seen(file)) == first
    monkeypatch.undo()
    write_image(file, packaged_photo("coffee")[50:100, :50])
    assert again.content(file) != first[0]


def test_the_command_tells_and_writes_them(tmp_path, capsys):
    file = write(
        tmp_path,
        overlaps={"training": [str(tmp_path / "gt")]},
        methods={"input": None},
        metrics=["psnr"],
    )
    assert run(file) == 0
    assert (
        "overlap: rain: 4 of 4 photos, the same file in training: norain0.png = "
        in capsys.readouterr().out
    )
    with (tmp_path / "out/overlaps.csv").open(newline="") as table:
        assert sum(row["kind"] == "exact" for row in csv.DictReader(table)) == 4
