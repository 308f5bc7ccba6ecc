"""`--shard` of the commands: the shards together do what one call does."""

import json

import numpy as np
import pytest
import small_models

from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import write_image
from wxr_plugin.labels.store import LabelStore


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(small_models.llava(tmp_path_factory.mktemp("vlm") / "small"))


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(7):
        size = (20 + 10 * number, 40, 3)
        image = rng.integers(0, 256, size, dtype=np.uint8)
        write_image(
            tmp_path / "photos" / ("rain" if number % 3 else "snow") / f"{number}.png", image
        )
    return tmp_path / "photos"


def wxr(*args):
    return main([str(arg) for arg in args])


def answers(*stores):
    rows = []
    for path in stores:
        with LabelStore(path, readonly=True) as store:
            rows += [(row.key, row.content, row.provenance, row.rating) for row in store.answers()]
    return sorted(rows)


@pytest.mark.parametrize("balance", ["name", "pixels"])
def test_the_ratings_of_all_shards_are_those_of_one_call(photos, model, tmp_path, balance):
    assert wxr("label", "rate", photos, "--model", model, "-o", tmp_path / "all.lmdb") == 0
    for number in (1, 2, 3):
        shard = ("--shard", f"{number}/3", "--balance", balance)
        assert wxr("label", "rate", photos, "--model", model, *shard) == 0
    stores = [tmp_path / f"photos.labels.{number}-of-3.lmdb" for number in (1, 2, 3)]
    assert all(answers(store) for store in stores)
    shards, whole = answers(*stores), answers(tmp_path / "all.lmdb")
    assert [row[:3] for row in shards] == [row[:3] for row in whole]
    # Batches of other sizes may round differently.
    ratings = [row[3] for row in whole]
    assert [row[3] for row in shards] == pytest.approx(ratings, abs=1e-5)


def test_a_shard_without_photos_is_done_at_once(photos, model, tmp_path, capsys):
    rates = ("label", "rate", photos, "--model", model)
    asked = []
    for number in (1, 2, 3):
        assert wxr(*rates, "--shard", f"{number}/40", "--json") == 0
        asked.append(json.loads(capsys.readouterr().out)["asked"])
    assert 0 in asked


@pytest.mark.parametrize("command", ["rate", "describe", "init"])
@pytest.mark.parametrize("shard", ["0/4", "5/4", "x"])
def test_a_wrong_shard_is_one_line(photos, capsys, command, shard):
    assert wxr("label", command, photos, "--shard", shard, "--dry-run") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"--shard {shard}: write I/N" in error


def test_balance_alone_and_the_shard_of_a_store_are_refused(photos, capsys, tmp_path):
    assert wxr("label", "rate", photos, "--balance", "pixels") == 2
    assert "no effect without --shard" in capsys.readouterr().err
    LabelStore(tmp_path / "s.lmdb").close()
    store = ("-o", tmp_path / "s.lmdb", "--pseudo-labels", "--shard", "1/2")
    assert wxr("label", "describe", *store) == 2
    assert "in the store of each shard" in capsys.readouterr().err


def test_initial_labels_of_all_shards_are_those_of_one_call(photos, tmp_path):
    init = ("label", "init", photos, "--restorers", "tiny", "-o")
    assert wxr(*init, tmp_path / "all.lmdb") == 0
    stores = [tmp_path / f"{number}.lmdb" for number in (1, 2)]
    for number, path in enumerate(stores, 1):
        assert wxr(*init, path, "--shard", f"{number}/2") == 0
    labels = []
    for path in (*stores, tmp_path / "all.lmdb"):
        with LabelStore(path, readonly=True) as store:
            index = store.pseudo_index().values()
            labels.append({row.key: (row.content, row.source, row.rater) for row in index})
    assert labels[0] and labels[1] and labels[0] | labels[1] == labels[2]
    assert len(labels[0]) + len(labels[1]) == len(labels[2]) == 7


def test_results_of_all_shards_of_restore_are_those_of_one_call(photos, tmp_path):
    restore = ("restore", photos, "--checkpoint", "tiny", "-o")
    assert wxr(*restore, tmp_path / "all") == 0
    for number in (1, 2, 3):
        assert wxr(*restore, tmp_path / "parts", "--shard", f"{number}/3") == 0
    files = sorted(file.relative_to(tmp_path / "all") for file in (tmp_path / "all").rglob("*.png"))
    parts = sorted((tmp_path / "parts").rglob("*.png"))
    assert [file.relative_to(tmp_path / "parts") for file in parts] == files and len(files) == 7
    for file in files:
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "all" / file).read_bytes()


def test_photos_with_one_stem_are_both_restored(tmp_path, capsys):
    image = np.zeros((8, 8, 3), np.uint8)
    for name in ("a.png", "a.jpg", "b.png"):
        write_image(tmp_path / "photos" / name, image)
    planned = []
    for number in (1, 2, 3):
        shard = ("--shard", f"{number}/3", "--dry-run", "--json")
        restore = ("restore", tmp_path / "photos", "-o", tmp_path / "out", "--format", "same")
        assert wxr(*restore, *shard) == 0
        planned += json.loads(capsys.readouterr().out)["to_restore"]
    names = sorted(pair["photo"].rpartition("/")[2] for pair in planned)
    assert names == ["a.jpg", "a.png", "b.png"]


def test_a_video_has_no_shards(tmp_path, capsys):
    (tmp_path / "clip.mp4").write_bytes(b"")
    assert wxr("restore", tmp_path / "clip.mp4", "-o", tmp_path / "out.mp4", "--shard", "1/2") == 2
    assert "a video, which has no shards" in capsys.readouterr().err


def test_one_photo_of_another_shard_is_left_alone(photos, tmp_path, capsys):
    planned = []
    for number in (1, 2):
        restore = ("restore", photos / "rain" / "1.png", "-o", tmp_path / "dry.png")
        assert wxr(*restore, "--shard", f"{number}/2", "--dry-run", "--json") == 0
        planned.append(len(json.loads(capsys.readouterr().out)["to_restore"]))
    assert sorted(planned) == [0, 1]
