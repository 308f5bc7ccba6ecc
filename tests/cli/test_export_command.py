"""`wxr export`: a verified file with metadata, or nothing."""

import io
import json

import onnx
import pytest
import torch
from basicsr.archs import build_network

from wxr_plugin.cli.main import main
from wxr_plugin.inference.engines.ort import OrtSession
from wxr_plugin.inference.exporting import writing


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    from basicsr.utils.registry import ARCH_REGISTRY

    monkeypatch.chdir(tmp_path)
    network = {"type": "PReNet", **ARCH_REGISTRY.get("PReNet").smoke}
    torch.manual_seed(0)
    file = tmp_path / "rain.pth"
    torch.save({"params": build_network(dict(network)).state_dict(), "network_g": network}, file)
    return file


def metadata(file):
    return {entry.key: entry.value for entry in onnx.load(file).metadata_props}


def test_an_onnx_file_has_metadata_and_free_sides(checkpoint, tmp_path, capsys):
    assert main(["export", str(checkpoint), "-o", "rain.onnx", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    facts = metadata(tmp_path / "rain.onnx")
    assert facts["network"] == "PReNet" and facts["method"] == "rain"
    assert facts["licence"] == "not stated" and facts["multiple"] == "1"
    assert facts["reach"].endswith("pixels") and facts["version"].startswith("wxr_plugin ")
    assert values.items() >= facts.items() and values["largest_difference"] < 1e-5
    assert values["bytes"] == (tmp_path / "rain.onnx").stat().st_size
    sides = onnx.load(tmp_path / "rain.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param for side in sides[2:]] == ["height", "width"]


def test_a_pt2_file_runs_in_torch_alone(checkpoint, tmp_path):
    assert main(["export", str(checkpoint), "-o", "rain.pt2"]) == 0
    extra = {"network": "", "multiple": ""}
    content = io.BytesIO((tmp_path / "rain.pt2").read_bytes())
    program = torch.export.load(content, extra_files=extra)
    assert extra["network"] == "PReNet" and extra["multiple"] == "1"
    assert program.module()(torch.rand(1, 3, 33, 47)).shape == (1, 3, 33, 47)


def test_fp16_has_half_the_bytes_and_takes_float32(checkpoint, tmp_path, capsys):
    assert main(["export", str(checkpoint), "-o", "half.onnx", "--precision", "fp16"]) == 0
    assert "PReNet, fp16, any size" in capsys.readouterr().out
    model = onnx.load(tmp_path / "half.onnx")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    halves = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 10


def test_a_dry_run_writes_nothing(checkpoint, tmp_path, capsys):
    assert main(["export", str(checkpoint), "-o", "rain.onnx", "--dry-run"]) == 0
    line = "PReNet (rain) -> rain.onnx: fp32, any size\n"
    assert capsys.readouterr().out.endswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["rain.pth"]


def test_another_result_leaves_nothing_and_names_the_difference(
    checkpoint, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(OrtSession, "run", lambda session, image: image + 0.25)
    assert main(["export", str(checkpoint), "-o", "rain.onnx"]) == 2
    error = capsys.readouterr().err
    assert "differs from torch's by up to 0." in error and "nothing was written" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["rain.pth"]


def test_an_existing_file_is_kept(checkpoint, tmp_path, capsys, monkeypatch):
    (tmp_path / "rain.onnx").write_text("mine")
    assert main(["export", str(checkpoint), "-o", "rain.onnx"]) == 2
    assert "exists: choose another name, or add --overwrite" in capsys.readouterr().err
    assert (tmp_path / "rain.onnx").read_text() == "mine"
    assert main(["export", str(checkpoint), "-o", "rain.onnx", "--overwrite"]) == 0
    assert metadata(tmp_path / "rain.onnx")["network"] == "PReNet"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["small", "-o", "net.txt"], "name a file that ends in .onnx or .pt2"),
        (["nothere.pth", "-o", "net.onnx"], "nothere.pth: no such file"),
        (["rain.pth", "-o", "net.onnx", "--checkpoint", "rain.pth"], "name the checkpoint itself"),
        (["prenet-rain100h", "-o", "net.onnx", "--opt", "a.yml"], "leave it out"),
    ],
)
def test_wrong_arguments_are_one_line(checkpoint, words, message, capsys):
    assert main(["export", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("wxr export: ") and message in error and error.count("\n") == 1


def test_a_missing_package_is_reported_before_the_work(checkpoint, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setattr(writing, "trace", None)
    assert main(["export", str(checkpoint), "-o", "rain.onnx"]) == 2
    assert 'pip install "wxr_plugin[onnx]"' in capsys.readouterr().err


def test_the_packaged_network_states_its_licence(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "tiny", "-o", "tiny.onnx", "--dry-run", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["licence"] == "MIT" and values["network"] == "MSBDN" and values["multiple"] == 1
