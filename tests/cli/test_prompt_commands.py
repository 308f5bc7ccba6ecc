"""`wxr prompts` as a user calls it, with the packaged CLIP."""

import cv2
import numpy as np
import pytest
import torch

from wxr_plugin.cli import main as cli
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.data.images.io import write_image
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS, add_weather
from wxr_plugin.labels.store import LabelStore


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Six photos of each weather."""
    root = tmp_path_factory.mktemp("weathers")
    for seed in range(6):
        coarse = np.random.default_rng(seed).random((6, 8, 3), dtype=np.float32)
        clear = np.clip(cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC), 0, 1)
        for weather in WEATHERS:
            image = add_weather(clear, weather, 0.9, np.random.default_rng(seed))
            write_image(root / weather / f"{seed}.png", np.uint8(255 * image))
    return root


def learn(folders, output, *more: str) -> int:
    photos = [word for weather in WEATHERS for word in (f"--{weather}", str(folders / weather))]
    return cli.main(
        ["prompts", "learn", *photos, "--crops", "1", "--crop-size", "64", "-o", str(output), *more]
    )


def test_learn_then_check(folders, tmp_path, capsys):
    file = tmp_path / "prompts.safetensors"
    assert learn(folders, file, "--iterations", "20") == 0
    said = capsys.readouterr().out
    assert "held-out accuracy (8 photos and crops)" in said and str(file) in said
    assert all(weather in said for weather in (*WEATHERS, "all"))
    guide = load_clip("tiny")
    assert WeatherPrompts.load(file, guide).features(guide).shape[0] == 4
    assert (
        cli.main(
            [
                "prompts",
                "check",
                str(file),
                "--haze",
                str(folders / "haze"),
                "--synthetic",
                str(folders / "clear"),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "CLIP 'tiny'" in said and "cosines" in said and "accuracy (150 views)" in said


def test_clear_photos_alone_are_enough(folders, tmp_path, capsys):
    file = tmp_path / "prompts.safetensors"
    arguments = [
        "--synthetic",
        str(folders / "clear"),
        "--crops",
        "0",
        "--iterations",
        "3",
        "-o",
        str(file),
    ]
    assert cli.main(["prompts", "learn", *arguments]) == 0
    assert "held-out accuracy (4 photos and crops)" in capsys.readouterr().out


def test_restored_photos_are_used(folders, tmp_path, capsys):
    """Of six rain photos one is held out, and so is its restoration; one key names no weather."""
    with LabelStore(tmp_path / "labels.lmdb") as store:
        for key in [*(f"rain/{number}" for number in range(6)), "rain/0@0,0,32,32", "street"]:
            store.put_pseudo(key, np.full((64, 64, 3), 99, np.uint8), 4.0, "teacher@9", 9)
    plain, file = tmp_path / "plain.safetensors", tmp_path / "prompts.safetensors"
    assert learn(folders, plain, "--iterations", "2") == 0
    assert "restored photos" not in capsys.readouterr().out
    assert (
        learn(folders, file, "--iterations", "2", "--pseudo-labels", str(tmp_path / "labels.lmdb"))
        == 0
    )
    said = capsys.readouterr().out
    assert (
        "left out 1 of unknown weather" in said and "left out 1 whose photos are held out" in said
    )
    assert "restored photos: 6 used" in said and "held-out accuracy (8 photos and crops)" in said
    with LabelStore(tmp_path / "labels.lmdb", readonly=True) as store:
        assert len(store.pseudo_labels()) == 8
    assert not torch.equal(
        WeatherPrompts.load(file).embeddings, WeatherPrompts.load(plain).embeddings
    )


def test_a_label_store_that_is_not_there_is_one_line_and_exit_2(folders, tmp_path, capsys):
    assert (
        learn(folders, tmp_path / "p.safetensors", "--pseudo-labels", str(tmp_path / "none.lmdb"))
        == 2
    )
    assert "no label store here" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [*KINDS, "clear"])
def test_an_empty_or_missing_class_is_one_line_and_exit_2(folders, tmp_path, missing, capsys):
    words = [
        word
        for weather in WEATHERS
        if weather != missing
        for word in (f"--{weather}", str(folders / weather))
    ]
    output = ["-o", str(tmp_path / "prompts.safetensors")]
    assert cli.main(["prompts", "learn", *words, *output]) == 2
    assert f"no photos of the class '{missing}'" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert (
        cli.main(["prompts", "learn", *words, f"--{missing}", str(tmp_path / "empty"), *output])
        == 2
    )
    said = capsys.readouterr().err
    assert "no images" in said and f"the class '{missing}'" in said and "Traceback" not in said
    assert not (tmp_path / "prompts.safetensors").exists()


@pytest.mark.parametrize("words", [["learn"], ["check"]])
def test_help_shows_an_example(words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["prompts", *words, "--help"])
    assert stop.value.code == 0
    assert f"wxr prompts {words[0]}" in capsys.readouterr().out.split("examples:")[1]


def test_a_missing_file_is_one_line_and_exit_2(tmp_path, capsys):
    assert cli.main(["prompts", "check", str(tmp_path / "none.safetensors")]) == 2
    assert "no weather prompts at" in capsys.readouterr().err
