"""Every row: published files are recognised and fit; small networks restore with them."""

import numpy as np
import pytest
import torch
from published_files import filled, hollow, publish, publish_instructions, publish_jax

from wxr_plugin.checkpoints.fitting import network_shapes
from wxr_plugin.checkpoints.reading import CheckpointError
from wxr_plugin.cli.main import main
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.inference.specs import method_spec
from wxr_plugin.zoo.files import find_files
from wxr_plugin.zoo.recognise import recognise
from wxr_plugin.zoo.rows import find_row, rows

PHOTO = np.random.default_rng(0).integers(0, 256, (21, 18, 3), dtype=np.uint8)
SMALL = (
    "gcanet-derain",
    "prenet-rain100h",
    "prenet-real-1",
    "jorder-e-practical",
    "uretinexnet-lol",
    "griddehazenet-indoor",
)


@pytest.mark.parametrize("row", rows().values(), ids=rows())
def test_the_files_of_a_row_are_recognised_and_fit(row, tmp_path):
    place = publish(row, tmp_path)
    files = sorted(tmp_path.iterdir())
    if row.instruction:
        publish_instructions(tmp_path)
    for file in files:
        matches = [match for match in recognise(file).matches if match.row == row.name]
        parts = [part for part in row.files if part.file.endswith(file.name)] or [row]
        expected = {(part.key, part.prefix, part.file if row.files else None) for part in parts}
        assert {(match.key, match.prefix, match.part) for match in matches} >= expected
        assert all(
            match.method == row.method and match.network["type"] == row.network_g["type"]
            for match in matches
        )
    spec = method_spec(row.name, place, "guide" if row.guide else None)
    assert spec.network.items() >= row.network_g.items() and spec.sde == row.sde
    assert len(spec.network.get("instruction", [0] * 256)) == 256
    assert len(spec.files) == len(files)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_restore_with_files_as_published(name, tmp_path):
    row = find_row(name)
    restorer = method_spec(name, publish(row, tmp_path, filled)).load(device="cpu")
    assert restorer.restore(PHOTO).shape == PHOTO.shape
    weights = restorer.net.state_dict()
    expected = filled(network_shapes(row.network_g)) if not row.files else weights
    assert all(torch.equal(weights[part], expected[part]) for part in expected)


def test_by_name_alone_from_where_the_files_belong(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "photo.png", PHOTO)
    words = ["restore", "photo.png", "-o", "out", "--method", "prenet-rain100l", "--device", "cpu"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "net_latest.pth: no such file; fetch it from https://github.com/csdwren/PReNet" in said
    row = find_row("prenet-rain100l")
    folder = tmp_path / "experiments/pretrained_models"
    (folder / "prenet-rain100l").mkdir(parents=True)
    publish(row, folder / "prenet-rain100l", filled)
    assert main(words) == 0
    assert read_image(tmp_path / "out/photo.png").shape == PHOTO.shape


def test_other_arguments_are_taken_where_the_file_is_for_them(tmp_path):
    cases = {"mwdt": {"factor": 2}, "wgws-setting3-haze": {"base_channel": 20}}
    for name, arguments in cases.items():
        (tmp_path / name).mkdir()
        row = find_row(name)
        network = row.network_g | arguments
        place = publish(row, tmp_path / name, network=network)
        assert method_spec(name, place).network == network


def test_parts_are_distinguished_by_their_weights(tmp_path):
    """The authors' own script has MWFormer's two names swapped."""
    row = find_row("mwformer-l")
    publish(row, tmp_path)
    (tmp_path / "backbone").rename(tmp_path / "x")
    (tmp_path / "style_filter").rename(tmp_path / "backbone")
    (tmp_path / "x").rename(tmp_path / "style_filter")
    files = find_files(row, [tmp_path]).files
    assert [path.name for path in files] == ["style_filter", "backbone"]
    assert find_files(row, [tmp_path / "backbone", tmp_path / "style_filter"]).files == files


def test_parts_given_as_one_file_or_one_of_several(tmp_path):
    row = find_row("onerestore-lol")
    publish(row, tmp_path)
    assert [path.name for path in find_files(row, [tmp_path / "onerestore_lol.tar"]).files] == [
        "onerestore_lol.tar",
        "embedder_model.tar",
    ]
    torch.save(hollow(network_shapes(row.network_g)), tmp_path / "joined.pth")
    assert find_files(row, [tmp_path / "joined.pth"]).files == (tmp_path / "joined.pth",)


def test_another_network_is_refused_with_both_sides(tmp_path):
    file = publish(find_row("prenet-rain100h"), tmp_path)
    with pytest.raises(
        CheckpointError, match=r"fit the network of gcanet-derain: .*missing.*unknown.*zoo verify"
    ):
        method_spec("gcanet-derain", file)
    (tmp_path / "parts").mkdir()
    place = publish(find_row("onerestore-lol"), tmp_path / "parts")
    torch.save(hollow({"a": (1,)}), place / "embedder_model.tar")
    with pytest.raises(
        CheckpointError, match=r"embedder_model.tar does not fit the network of onerestore-lol: "
    ):
        method_spec("onerestore-lol", place)


def test_weights_of_jax_are_read_as_they_are(tmp_path):
    row = find_row("maxim-rain13k")
    path = publish_jax(row, tmp_path / "checkpoint.npz")
    assert "maxim-rain13k" in [match.row for match in recognise(path).matches]
    assert method_spec("maxim-rain13k", path).files == (path,)


def test_an_instruction_of_ones_own(tmp_path):
    file = publish(find_row("instructir-derain"), tmp_path)
    publish_instructions(tmp_path)
    own = method_spec("instructir-derain", file, words="remove the photo").network["instruction"]
    assert own != method_spec("instructir-derain", file).network["instruction"]
    assert np.linalg.norm(own) == pytest.approx(1, abs=1e-5)
