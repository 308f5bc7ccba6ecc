"""`wxr zoo` as a user calls it, with and without mistakes."""

import argparse
import hashlib
import json
import os

import pytest
import torch
from published_files import hollow, publish

from wxr_plugin.archs.instructir_arch import LMHead
from wxr_plugin.archs.nafnet_arch import NAFNet
from wxr_plugin.archs.prenet_arch import PReNet
from wxr_plugin.checkpoints.fitting import network_shapes
from wxr_plugin.cli.main import main
from wxr_plugin.inference.packaged import TINY
from wxr_plugin.zoo import recognise
from wxr_plugin.zoo.rows import Row, find_row, rows


@pytest.fixture
def run_zoo(capsys):
    """Return a function that runs `wxr zoo` and returns exit code, stdout and stderr."""

    def run(*words):
        code = main(["zoo", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_list_prints_a_line_for_each_row(run_zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_zoo("list", "--task", "derain", "--method", "prenet")
    assert code == 0 and len(out.splitlines()) == 1 + sum(
        row.method == "PReNet" for row in rows().values()
    )
    assert " yes " not in out
    folder = tmp_path / "experiments/pretrained_models/logs/Rain100H/PReNet6"
    folder.mkdir(parents=True)
    publish(find_row("prenet-rain100h"), folder)
    lines = run_zoo("list", "--method", "PReNet")[1].splitlines()
    assert [line.split()[0] for line in lines if " yes " in line] == ["prenet-rain100h"]
    listed = json.loads(run_zoo("list", "--json")[1])
    assert [row["name"] for row in listed] == list(rows()) and listed[0].keys() >= set(
        Row.__struct_fields__
    )


def test_list_names_the_known_values(run_zoo):
    code, _, err = run_zoo("list", "--task", "drain")
    assert code == 2 and "--task drain: none; there are all-in-one, deblur, dehaze" in err


def test_show_prints_commands(run_zoo):
    code, out, _ = run_zoo("show", "daclip")
    assert code == 0 and "either" not in out and "range: [0" in out
    assert "daclip_ViT-B-32.pt" in out and "wxr restore PHOTOS -o restored --method daclip" in out
    assert "wxr train -opt options/train/daclip_universal_ir.yml" in out
    code, out, _ = run_zoo("show", "daclip", "--json")
    assert code == 0 and json.loads(out)["name"] == "daclip" and json.loads(out)["here"] == []
    code, _, err = run_zoo("show", "restormer")
    assert code == 2 and "has the variants restormer-derain" in err


def test_the_published_file_is_recognised(run_zoo, tmp_path, monkeypatch):
    file = publish(find_row("prenet-rain100h"), tmp_path)
    code, out, _ = run_zoo("verify", file)
    assert (
        code == 0 and "prenet-rain100h (not the published file)" in out and "prenet-real-1" in out
    )
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(recognise, "_owners", lambda: {sha256: ("prenet-rain100h",)})
    _, out, _ = run_zoo("verify", file)
    assert "prenet-real-1" not in out and f"--method prenet-rain100h --checkpoint {file}" in out


def test_key_and_prefix_are_printed(run_zoo, tmp_path):
    weights = {f"module.net.{name}": tensor for name, tensor in PReNet().state_dict().items()}
    torch.save(
        {"args": argparse.Namespace(a=1), "nested": {"state_dict": weights, "epoch": 1}},
        tmp_path / "a.ckpt",
    )
    code, out, _ = run_zoo("verify", tmp_path / "a.ckpt")
    assert code == 0 and "key nested/state_dict, prefix module.net." in out


def test_our_own_checkpoints_name_their_network(run_zoo, tmp_path):
    code, out, _ = run_zoo("verify", TINY)
    assert code == 0 and "stores network_g {'type': 'MSBDN'" in out and "its weights fit" in out
    small = NAFNet(**NAFNet.smoke)
    stored = {"type": "NAFNet", **NAFNet.smoke}
    torch.save(
        {"params": small.state_dict(), "network_g": stored | {"width": 8}}, tmp_path / "net_g_5.pth"
    )
    code, out, _ = run_zoo("verify", tmp_path / "net_g_5.pth")
    assert (
        code == 1
        and "but intro.weight is (4, 3, 3, 3) in the file and (8, 3, 3, 3) in the network" in out
    )
    torch.save({"epoch": 1, "iter": 5, "optimizers": [], "schedulers": []}, tmp_path / "5.state")
    code, out, _ = run_zoo("verify", tmp_path / "5.state")
    assert code == 0 and "a training state of BasicSR" in out


def test_files_that_are_not_networks_are_recognised(run_zoo, tmp_path):
    torch.save(LMHead().state_dict(), tmp_path / "lm.pt")
    code, out, _ = run_zoo("verify", tmp_path / "lm.pt")
    assert code == 0 and "the head of InstructIR's instructions" in out
    torch.save(
        {"state_dict": {"module.visual_control.conv1.weight": torch.ones(2)}}, tmp_path / "guide.pt"
    )
    code, out, _ = run_zoo("verify", tmp_path / "guide.pt")
    assert code == 0 and "a DA-CLIP" in out and "daclip_ViT-B-32.pt" in out


def test_a_file_that_fits_nothing_is_compared_with_the_closest(run_zoo, tmp_path):
    shapes = dict(network_shapes(find_row("promptir-all-in-one").network_g))
    shapes.pop("patch_embed.proj.weight")
    torch.save(hollow({**shapes, "more": (2,)}), tmp_path / "odd.pth")
    code, out, _ = run_zoo("verify", tmp_path / "odd.pth")
    assert code == 1
    assert (
        "closest is promptir-all-in-one: patch_embed.proj.weight is missing in the file; more is "
        "unknown" in out
    )
    torch.save(hollow({"a": (2,)}), tmp_path / "none.pth")
    code, out, _ = run_zoo("verify", tmp_path / "none.pth", "--json")
    (found,) = json.loads(out)
    assert code == 1 and found["matches"] == [] and "nothing in common" in found["closest_differs"]


class Evil:
    def __reduce__(self):
        return os.system, ("false",)


def test_an_unreadable_file_sets_the_exit_code(run_zoo, tmp_path):
    torch.save({"params": {"a": torch.ones(1)}, "b": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.pth").write_text("hello")
    code, out, err = run_zoo(
        "verify", tmp_path / "evil.pth", TINY, tmp_path / "text.pth", tmp_path / "none", tmp_path
    )
    assert code == 2 and str(TINY) in out
    said = err.splitlines()
    assert "refused" in said[0] and "posix.system" in said[0]
    assert "text.pth: no checkpoint" in said[1] and "none" in said[2] and "a folder" in said[3]
