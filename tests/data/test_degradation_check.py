"""`wxr data degradations`: a prepared tree against the layout and the published counts."""

from pathlib import Path

import basicsr.data
import numpy as np
import pytest
import yaml

from wxr_plugin.cli.main import main
from wxr_plugin.data.degradations.words import BENCHMARKS, COUNTS_FILE, DEGRADATIONS, PUBLISHED
from wxr_plugin.data.images.io import write_image


def picture(seed: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two degradations in train, one in val."""
    for split, word, count in (("train", "hazy", 3), ("train", "noisy", 2), ("val", "hazy", 1)):
        for side in ("LQ", "GT"):
            for number in range(count):
                write_image(
                    tmp_path / "tree" / split / word / side / f"{number}.png", picture(number)
                )
    return tmp_path / "tree"


def run(root, capsys, *options) -> tuple[int, str]:
    code = main(["data", "degradations", str(root), *options])
    return code, capsys.readouterr().out


def row(text: str, split: str, word: str) -> list[str]:
    return next(
        line.split(maxsplit=4) for line in text.splitlines() if line.split()[:2] == [split, word]
    )


def test_counts_are_compared_and_do_no_harm(root, capsys):
    code, text = run(root, capsys)
    assert code == 0 and "5 pairs to train, 1 to validate: sound" in text
    assert row(text, "train", "hazy") == [
        "train",
        "hazy",
        "3",
        "6000",
        "5997 fewer: results will differ from those of the paper's set",
    ]
    assert row(text, "val", "rainy") == [
        "val",
        "rainy",
        "0",
        "100",
        "missing: training uses the others",
    ]
    assert sum(line.startswith(("train", "val")) for line in text.splitlines()) == 2 * len(
        DEGRADATIONS
    )


def test_published_counts_are_recognised(root, capsys, monkeypatch):
    import msgspec

    monkeypatch.setitem(
        PUBLISHED, "hazy", msgspec.structs.replace(PUBLISHED["hazy"], train=3, test=2)
    )
    _, text = run(root, capsys)
    assert row(text, "train", "hazy")[4] == "as published" and row(text, "val", "hazy")[
        4
    ].startswith("1 fewer")


def test_all_weather_is_recognised_by_its_total(root, capsys, monkeypatch):
    for word, count in (("raindrop", 2), ("rainy", 3), ("snowy", 1)):
        for side in ("LQ", "GT"):
            for number in range(count):
                write_image(root / "train" / word / side / f"{number}.png", picture(number))
    code, text = run(root, capsys, "--set", "allweather")
    assert (
        code == 0
        and "total of train: 6 pairs, 18069 published" in text
        and "total of test" not in text
    )
    assert row(text, "train", "rainy")[3:] == [
        "9000",
        "8997 fewer than quoted in papers: see the total",
    ]
    assert row(text, "val", "snowy")[2:4] == ["0", "16801"]
    assert sum(line.startswith(("train", "val")) for line in text.splitlines()) == 6
    monkeypatch.setitem(BENCHMARKS["allweather"].total, "train", 6)
    assert "total of train: 6 pairs, as published" in run(root, capsys, "--set", "allweather")[1]


def test_the_quoted_parts_of_all_weather_do_not_add_up():
    """If they ever do, they are not `quoted` any more."""
    entries = BENCHMARKS["allweather"].degradations
    assert all(entry.quoted for entry in entries.values()) and list(entries) == [
        "raindrop",
        "rainy",
        "snowy",
    ]
    assert sum(entry.train for entry in entries.values()) != BENCHMARKS["allweather"].total["train"]


def test_the_table_of_counts_adds_up():
    content = yaml.safe_load(COUNTS_FILE.read_text())
    for split, total in content["total"].items():
        assert sum(entry[split] for entry in content["degradations"].values()) == total


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda hazy: (hazy / "GT" / "1.png").unlink(), r"hazy/LQ holds 3 images and"),
        (
            lambda hazy: (hazy / "LQ" / "0.png").rename(hazy / "LQ" / "7.png"),
            "would be paired with",
        ),
        (
            lambda hazy: write_image(hazy / "LQ" / "1.png", picture(1, 20)),
            "1.png: 32x20 pixels, but its ground truth 32x24",
        ),
        (
            lambda hazy: (hazy / "GT" / "2.png").write_bytes(b"\x89PNG nothing"),
            "GT/2.png: not a readable image",
        ),
        (lambda hazy: (hazy / "GT").rename(hazy / "gt"), "hazy: neither GT nor GT.lmdb in it"),
    ],
)
def test_what_is_broken_is_named_and_no_lmdb_is_built(root, capsys, tmp_path, spoil, message):
    spoil(root / "train" / "hazy")
    code, text = run(root, capsys, "--lmdb", str(tmp_path / "out"))
    assert (
        code == 1
        and row(text, "train", "hazy")[4] == "broken (1)"
        and not (tmp_path / "out").exists()
    )
    (line,) = [line for line in text.splitlines() if line.startswith("broken: ")]
    assert message in line and "1 broken" in text


def test_many_faults_are_cut_short(root, capsys):
    for number in range(8):
        for side, height in (("LQ", 24), ("GT", 25)):
            write_image(root / "val" / "snowy" / side / f"{number}.png", picture(number, height))
    assert "broken: … and 3 more; --all shows them" in run(root, capsys)[1]
    assert run(root, capsys, "--all")[1].count("broken: ") == 8


def test_folders_that_nothing_reads_are_said(root, capsys):
    (root / "train" / "rain").mkdir()
    (root / "val" / "extra").mkdir()
    code, text = run(root, capsys)
    assert (
        code == 0
        and "train/rain: unknown degradation, so this folder is not used; did you mean rainy?"
        in text
    )
    assert (
        "val/extra: unknown degradation, so this folder is not used; the ten are motion-blurry"
        in text
    )


def test_a_folder_that_is_no_tree(tmp_path, capsys):
    assert main(["data", "degradations", str(tmp_path)]) == 2
    assert "neither train nor val in it; the layout is" in capsys.readouterr().err


def test_lmdbs_of_all_serve_the_dataset(root, capsys, tmp_path):
    out = tmp_path / "lmdbs"
    code, text = run(root, capsys, "--lmdb", str(out))
    assert code == 0 and f"{out}/train/hazy/LQ.lmdb holds 3 images" in text
    assert len(list(out.glob("*/*/*.lmdb/meta_info.txt"))) == 6
    code, text = run(out, capsys, "--lmdb", str(tmp_path / "again"))
    assert code == 0 and row(text, "train", "noisy")[2] == "2" and not (tmp_path / "again").exists()
    opt = {"name": "ten", "type": "DegradationDataset", "phase": "val"}
    items = [
        basicsr.data.build_dataset({**opt, "dataroot": str(place), "split": "train"})[4]
        for place in (root, out)
    ]
    assert (
        items[0]["degradation"] == items[1]["degradation"] == "noisy"
        and (items[0]["lq"] == items[1]["lq"]).all()
    )


def test_sizes_of_lmdbs_are_checked(root, capsys, tmp_path):
    run(root, capsys, "--lmdb", str(tmp_path / "out"))
    taller = tmp_path / "tree" / "taller"
    for number in range(3):
        write_image(taller / f"{number}.png", picture(number, 30))
    assert main(["lmdb", "build", str(taller), str(tmp_path / "taller.lmdb")]) == 0
    lq = tmp_path / "out" / "train" / "hazy" / "LQ.lmdb"
    lq.rename(tmp_path / "away")
    (tmp_path / "taller.lmdb").rename(lq)
    code, text = run(tmp_path / "out", capsys)
    assert code == 1 and "LQ.lmdb/0: 32x30 pixels, but its ground truth 32x24" in text
