import json

import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from safetensors.torch import save
from skimage.metrics import peak_signal_noise_ratio

from wxr_plugin.cli import main as cli
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.packaged_photos import packaged_photo, weathered
from wxr_plugin.data.weather.synthesis import KINDS
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.restorer import Restorer

NETWORK = {
    "type": "MSBDN",
    "width": 4,
    "bottleneck_blocks": 1,
    "stage_blocks": 1,
    "global_residual": True,
}


@pytest.fixture(scope="module")
def tiny():
    return Restorer.from_checkpoint("tiny", device="cpu")


@pytest.mark.parametrize("kind", KINDS)
def test_the_packaged_network_brings_weathered_photos_nearer_to_the_clean_ones(tiny, kind):
    gains = []
    for seed, name in enumerate(("china", "coffee", "chelsea")):
        clean = packaged_photo(name)[:256, :320]
        lq = weathered(clean, kind, 0.6, seed, "default")
        gains.append(
            peak_signal_noise_ratio(clean, tiny.restore(lq)) - peak_signal_noise_ratio(clean, lq)
        )
    assert np.mean(gains) > 0.5, gains


@pytest.mark.parametrize("size", [(1, 1), (7, 130), (97, 61)])
def test_any_size_whole_and_tiled(tiny, size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert tiny.restore(photo).shape == photo.shape
    assert Restorer(tiny.net, "cpu", tile=48, overlap=16).restore(photo).shape == photo.shape


def test_checkpoints_say_which_network_they_are_for(tmp_path):
    weights = build_network(dict(NETWORK)).state_dict()
    torch.save({"params": weights, "network_g": NETWORK}, tmp_path / "a.pth")
    (tmp_path / "b.safetensors").write_bytes(save(weights, {"network_g": json.dumps(NETWORK)}))
    torch.save({"params": weights}, tmp_path / "c.pth")
    photo = packaged_photo("coffee")[:40, :50]
    results = [
        Restorer.from_checkpoint(tmp_path / name, device="cpu").restore(photo)
        for name in ("a.pth", "b.safetensors")
    ]
    results.append(
        Restorer.from_checkpoint(tmp_path / "c.pth", NETWORK, device="cpu").restore(photo)
    )
    assert all(np.array_equal(result, results[0]) for result in results)
    with pytest.raises(WxrError, match="--opt"):
        Restorer.from_checkpoint(tmp_path / "c.pth")
    with pytest.raises(WxrError, match="does not fit the network MSBDN"):
        Restorer.from_checkpoint(tmp_path / "c.pth", NETWORK | {"width": 8})


def test_the_command_restores_folders_and_goes_on(tmp_path, capsys):
    photo = packaged_photo("china")[:60, :70]
    write_image(tmp_path / "in" / "deep" / "a.png", photo)
    write_image(tmp_path / "in" / "b.png", photo)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"<html>")
    words = ["restore", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "broken.jpg" in capsys.readouterr().out
    assert read_image(tmp_path / "out" / "deep" / "a.png").shape == photo.shape
    (tmp_path / "in" / "broken.jpg").unlink()
    assert cli.main(words) == 0
    assert "2 of 2 results exist" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere.png", "-o", "out"], "nowhere.png: no such file"),
        (["{photo}", "-o", "{folder}"], "where later commands would take it for one"),
        (["{photo}", "-o", "out", "--checkpoint", "none.pth"], "none.pth: no such checkpoint"),
        (["{photo}", "-o", "out", "--checkpoint", "{photo}"], "a.png"),
        (
            ["{photo}", "-o", "out", "--tile", "16", "--overlap", "32"],
            "--overlap 32 must be smaller than --tile 16",
        ),
    ],
)
def test_what_a_person_gets_wrong_is_one_line(tmp_path, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "a.png", packaged_photo("china")[:20, :20])
    words = [word.format(photo=tmp_path / "a.png", folder=tmp_path) for word in words]
    assert cli.main(["restore", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert complaint in error
    assert len(error.splitlines()) == 1
