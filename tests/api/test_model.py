"""`load`: its names and settings; the model's name for itself, and its progress."""

import numpy as np
import pytest

import wxr_plugin as wxr
from wxr_plugin.data.packaged_photos import packaged_photo, weathered
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.inference.restorer import Restorer


@pytest.fixture(scope="module")
def tiny():
    return wxr.load("tiny", device="cpu")


def test_it_restores_as_the_command_does(tiny):
    photo = weathered(packaged_photo("chelsea")[:96, :128], "rain", 0.6, 0, "default")
    expected = Restorer.from_checkpoint("tiny", device="cpu", tile="auto").restore(photo)
    assert np.array_equal(tiny(photo), expected) and not np.array_equal(expected, photo)


def test_floats_are_restored_as_precisely_as_integers(tiny):
    photo = packaged_photo("coffee")[:64, :64]
    result = tiny(photo.astype(np.float32) / 255)
    assert np.abs(result * 255 - tiny(photo)).max() <= 0.5 + 1e-3


def test_a_path_of_a_checkpoint_is_loaded_too(tiny):
    model = wxr.load(TINY, device="cpu", tile=64, overlap=8)
    assert model.network == tiny.network and "tile 64" in repr(model)


def test_the_model_says_what_it_is(tiny):
    text = repr(tiny)
    assert text.startswith("Model('tiny': ") and "million parameters, cpu, fp32" in text


def test_progress_counts_photos_and_tiles(tiny):
    calls = []
    model = wxr.load("tiny", device="cpu", tile=32, overlap=8)
    photo = np.zeros((40, 32, 3), np.uint8)
    model([photo, photo], progress=lambda *call: calls.append(call))
    photos = [call[1:] for call in calls if call[0] == "photo"]
    tiles = [call[1:] for call in calls if call[0] == "tile"]
    assert photos == [(0, 2), (1, 2), (2, 2)]
    assert tiles[0] == (0, tiles[0][1]) and tiles[-1][0] == tiles[-1][1] > 1
    assert model.restorer.on_part is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "smal"}, "smal: no such file"),
        ({"name": "hf://user"}, "hf://user: not a reference"),
        ({"name": "restormer-derain"}, "deraining.pth: no such file"),
        ({"name": "restormer-derain"}, "checkpoint=, or add download=True"),
        ({"name": "restormer-derain", "checkpoint": "x.pth"}, "x.pth"),
        ({"checkpoint": "x.pth"}, "checkpoint"),
        ({"tile": 0}, "tile=0"),
        ({"tile": "whole"}, "tile='whole'"),
        ({"tile": 64, "overlap": 64}, "overlap=64"),
        ({"batch": 0}, "batch=0"),
        ({"precision": "fp64"}, "fp64"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"steps": 4}, "steps=4"),
        ({"steps": 0}, "steps=0"),
        ({"seed": -1}, "seed=-1"),
        ({"instruction": "dry it"}, "instruction"),
        ({"guide": "tiny"}, "guide"),
    ],
)
def test_a_wrong_setting_is_one_line(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(wxr.WxrError) as caught:
        wxr.load(**{"name": "tiny", "device": "cpu"} | arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
