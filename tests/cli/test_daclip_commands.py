"""`wxr daclip classify` as a user calls it, with an untrained controller."""

import csv
import json

import numpy as np
import pytest
import torch
from small_clips import packaged

from wxr_plugin.cli import main as cli
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.lmdb.build import build


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    file = tmp_path_factory.mktemp("daclip") / "net_g.pth"
    torch.save(
        {"state_dict": packaged().state_dict(), "network_g": {"type": "DaCLIP", "clip": "tiny"}},
        file,
    )
    return file


def photo(seed):
    return np.random.default_rng(seed).integers(0, 256, (40 + seed, 60, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path):
    for seed in range(3):
        write_image(tmp_path / f"photos/street {seed}/{seed}.v2.png", photo(seed))
    return tmp_path / "photos"


def run(*words):
    return cli.main(["daclip", "classify", *map(str, words)])


def test_a_line_a_photo_and_a_table(model, photos, tmp_path, capsys):
    assert run(photos, "--model", model, "--top", 2, "--csv", tmp_path / "found.csv") == 0
    said = capsys.readouterr().out.splitlines()
    with open(tmp_path / "found.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == [f"street {i}/{i}.v2.png" for i in range(3)]
    guide = load_daclip(str(model), "cpu")
    for seed, row in enumerate(rows):
        expected = guide.classify(torch.from_numpy(photo(seed)).permute(2, 0, 1)[None] / 255)[0]
        best = int(expected.argmax())
        assert row["degradation"] == DEGRADATIONS[best]
        assert float(row["probability"]) == pytest.approx(float(expected[best]), abs=1e-5)
        assert [float(row[word]) for word in DEGRADATIONS] == pytest.approx(
            expected.tolist(), abs=1e-5
        )
        line = next(line for line in said if line.startswith(row["photo"]))
        assert row["degradation"] in line and line.count("%") == 2
    assert said[-2].startswith("3 photos: ") and said[-1].startswith("wrote 3 rows to ")


def test_one_photo_and_an_lmdb(model, photos, tmp_path, capsys):
    build(photos, tmp_path / "photos.lmdb")
    capsys.readouterr()
    assert run(photos / "street 1/1.v2.png", "--model", model, "--words", "hazy", "rainy") == 0
    one = capsys.readouterr().out.splitlines()[1].split()
    assert run(tmp_path / "photos.lmdb", "--model", model, "--words", "hazy", "rainy") == 0
    line = next(text for text in capsys.readouterr().out.splitlines() if "street 1" in text)
    assert (
        one[0] == "1.v2.png" and line.startswith("street 1/1.v2 ") and line.split()[-2:] == one[1:]
    )


def test_damaged_photos_are_skipped(model, photos, capsys):
    (photos / "street 1/1.v2.png").write_bytes(b"no image")
    assert run(photos, "--model", model) == 1
    said = capsys.readouterr().out
    assert "2 photos" in said and "skipped:" in said and "1.v2.png" in said
    assert run(photos, "--model", model, "--json") == 1
    values = json.loads(capsys.readouterr().out)
    shares = values["photos"]["street 0/0.v2.png"]
    assert len(values["photos"]) == 2 and sum(shares.values()) == pytest.approx(1, abs=1e-4)
    assert len(values["skipped"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", "0"], "--top 0: take 1 to 10"),
        (["--words", "hazy", "rainy", "--top", "3"], "--top 3: take 1 to 2"),
        (["--words", "hazy", "hazy"], "name each degradation once"),
        (["--words", "hazy", ""], "a word is blank"),
        (
            ["--model", "daclip_ViT-B-33.pt"],
            "daclip_ViT-B-33.pt; take tiny, or a published file (`wxr zoo show",
        ),
        (["--device", "cuda:99"], "cuda:99"),
    ],
)
def test_wrong_arguments_are_one_line(photos, capsys, model, words, message):
    more = [] if "--model" in words else ["--model", str(model)]
    assert run(photos, *words, *more) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_nothing_to_classify(tmp_path, model, capsys):
    (tmp_path / "empty").mkdir()
    assert (
        run(tmp_path / "empty", "--model", model) == 2
        and "no images in it" in capsys.readouterr().err
    )
    assert (
        run(tmp_path / "none", "--model", model) == 2
        and "no such folder" in capsys.readouterr().err
    )
