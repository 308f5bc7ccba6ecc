import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio

from wxr_plugin.benchmark.methods import Method
from wxr_plugin.benchmark.options import BenchmarkOptions, MethodOptions, SetOptions
from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.packaged_photos import packaged_photo, weathered
from wxr_plugin.data.weather.kinds import KINDS
from wxr_plugin.inference.packaged import PACKAGED, checkpoint_path
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.inference.specs import read_spec

PHOTO = np.ascontiguousarray(astronaut()[:192, 60:300])
PHOTOS = [
    np.ascontiguousarray(packaged_photo(name)[40:232, 60:300])
    for name in ("astronaut", "chelsea", "coffee")
]


@pytest.fixture(scope="module")
def small():
    return Restorer.from_checkpoint("small", device="cpu")


@pytest.mark.parametrize("name", PACKAGED)
def test_a_name_gives_the_weights_and_a_path_stays_a_path(name):
    assert checkpoint_path(name) == PACKAGED[name] and PACKAGED[name].is_file()
    assert checkpoint_path(f"./{name}.pth") == Path(f"{name}.pth")
    assert checkpoint_path("~/mine.pth") == Path.home() / "mine.pth"


@pytest.mark.parametrize("name", PACKAGED)
def test_every_packaged_restorer_has_a_card_with_data_recipe_and_figures(name):
    card = PACKAGED[name].with_name("README.md").read_text(encoding="utf-8")
    for word in ("Data", "Recipe", "Command", "rain |"):
        assert word in card, word


def test_small_is_small():
    weights = load_file(PACKAGED["small"])
    assert PACKAGED["small"].stat().st_size <= 16e6
    assert sum(tensor.numel() for tensor in weights.values()) <= 8e6
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}


@pytest.mark.parametrize("style", ["default", "realistic"])
@pytest.mark.parametrize("kind", KINDS)
def test_small_brings_weathered_photos_nearer_to_the_clean_ones(small, kind, style):
    gains = []
    for seed, photo in enumerate(PHOTOS):
        lq = weathered(photo, kind, 0.7, seed, style)
        gains.append(
            peak_signal_noise_ratio(photo, small.restore(lq)) - peak_signal_noise_ratio(photo, lq)
        )
    assert np.mean(gains) > 0.5, gains


def test_small_leaves_clear_photos_nearly_as_they_are(small):
    assert np.mean([peak_signal_noise_ratio(photo, small.restore(photo)) for photo in PHOTOS]) > 27


def test_small_has_no_mesh_on_an_even_surface(small):
    """Upsampling makes no pattern: an even photo comes back without detail, away from its edge."""
    even = np.full((160, 160, 3), (180, 186, 190), np.uint8)
    inside = small.restore(even)[48:112, 48:112].astype(np.float32)
    # The tone may drift slowly, since windows of 120 pixels reach the edge; a mesh is fine detail.
    detail = inside - cv2.GaussianBlur(inside, (0, 0), 4)
    assert detail[16:-16, 16:-16].std(axis=(0, 1)).max() < 0.4


@pytest.mark.parametrize("name", PACKAGED)
def test_the_command_line_and_the_benchmark_know_its_name(tmp_path, name):
    write_image(tmp_path / "a.png", PHOTO[:64, :64])
    assert (
        cli.main(
            ["restore", str(tmp_path / "a.png"), "--checkpoint", name, "-o", str(tmp_path / "out")]
        )
        == 0
    )
    expected = read_spec(name).load(device="cpu").restore(PHOTO[:64, :64])
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), expected)
    options = MethodOptions(checkpoint=name)
    method = Method(
        "mine",
        options,
        BenchmarkOptions(
            name="x",
            methods={"mine": options},
            sets={"packaged": SetOptions(set="packaged")},
            metrics=["psnr"],
        ),
    )
    assert method.spec.checkpoint == PACKAGED[name]


def test_a_wrong_name_lists_the_packaged_ones(tmp_path, capsys):
    write_image(tmp_path / "a.png", PHOTO[:64, :64])
    code = cli.main(
        ["restore", str(tmp_path / "a.png"), "--checkpoint", "smal", "-o", str(tmp_path / "out")]
    )
    assert code == 2 and re.search("'tiny' or 'small'", capsys.readouterr().err)


def test_small_restores_where_no_network_is_named(tmp_path, capsys):
    write_image(tmp_path / "a.png", PHOTO[:64, :64])
    assert cli.main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "out")]) == 0
    expected = read_spec("small").load(device="cpu").restore(PHOTO[:64, :64])
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.png"), expected)
    output = capsys.readouterr().out
    assert "small_restorer.safetensors" in output and "wxr zoo list" in output
