"""Conversion of weights between all file formats, without a difference."""

import json

import pytest
import safetensors
import torch
from basicsr.archs import build_network
from mmengine.runner.checkpoint import _load_checkpoint_to_model
from torch import nn

from wxr_plugin.checkpoints.containers import load_network_options, load_weights, save_state
from wxr_plugin.cli import main as cli
from wxr_plugin.inference.restorer import Restorer

NETWORK = {
    "type": "NAFNet",
    "width": 4,
    "enc_blk_nums": [1, 1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1, 1],
}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return build_network(dict(NETWORK))


@pytest.fixture
def basicsr(net, tmp_path):
    """Write a file as WxrModel does, and return its path."""
    averaged = {name: value + 1 for name, value in net.state_dict().items()}
    path = tmp_path / "net_g_9.pth"
    save_state(path, {"params": net.state_dict(), "params_ema": averaged, "network_g": NETWORK})
    return path


def convert(*words):
    return cli.main(["zoo", "convert", *map(str, words)])


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_there_and_back_without_a_difference(basicsr, net, tmp_path, capsys):
    mm, safe, back = (tmp_path / name for name in ("mm.pth", "net.safetensors", "back.pth"))
    assert convert(basicsr, mm, "--to", "mmagic", "--key", "params") == 0
    assert "for NAFNet, read back without a difference" in capsys.readouterr().out
    assert all(
        name.startswith("generator.") for name in torch.load(mm, weights_only=True)["state_dict"]
    )
    assert convert(mm, safe) == 0 and convert(safe, back, "--to", "basicsr") == 0
    stored = torch.load(back, weights_only=True)
    assert_same(stored["params"], net.state_dict())
    assert stored["network_g"] == NETWORK
    with safetensors.safe_open(safe, "pt") as file:
        assert json.loads(file.metadata()["network_g"]) == NETWORK


def test_the_average_comes_first(basicsr, tmp_path):
    assert convert(basicsr, tmp_path / "mm.pth", "--to", "mmagic") == 0
    converted = torch.load(tmp_path / "mm.pth", weights_only=True)["state_dict"]
    averaged = load_weights(basicsr, "params_ema")
    assert_same(converted, {f"generator.{name}": value for name, value in averaged.items()})


def test_mmengine_loads_converted_weights(basicsr, net, tmp_path):
    convert(basicsr, tmp_path / "mm.pth", "--to", "mmagic", "--key", "params")
    model = nn.Module()
    model.generator = build_network(dict(NETWORK))
    _load_checkpoint_to_model(
        model, torch.load(tmp_path / "mm.pth", weights_only=True), strict=True
    )
    assert_same(model.generator.state_dict(), net.state_dict())


def mmengine_file(path, net, config, **more):
    named = {f"generator.{name}": value for name, value in net.state_dict().items()}
    torch.save({"meta": {"cfg": config, "iter": 9}, "state_dict": {**named, **more}}, path)
    return path


CONFIG = """
default_scope = 'mmengine'
model = dict(
    generator=dict(
        type='wxr_plugin.NAFNet', width=4, enc_blk_nums=[1, 1], middle_blk_num=1,
        dec_blk_nums=[1, 1]),
    pixel_loss=dict(type='PSNRLoss', loss_weight=-1.0),
    type='BaseEditModel')
work_dir = './work_dirs/x'
"""


def test_a_file_of_the_runner_names_its_network_and_left_out_weights_are_listed(
    net, tmp_path, capsys
):
    path = mmengine_file(
        tmp_path / "iter_9.pth", net, CONFIG, **{"perceptual_loss.vgg.weight": torch.ones(2)}
    )
    assert load_network_options(path) == NETWORK
    assert convert(path, tmp_path / "net.pth", "--to", "basicsr") == 0
    assert (
        "left out, as no part of the network: perceptual_loss.vgg.weight" in capsys.readouterr().out
    )
    assert_same(torch.load(tmp_path / "net.pth", weights_only=True)["params"], net.state_dict())


@pytest.mark.parametrize(
    "config",
    [
        # mmagic's own
        "model = dict(generator=dict(type='NAFNet', img_channels=3, mid_channels=32))",
        "model = dict(generator=dict(type='Unknown'))",
        "model = dict(generator=dict(type='NAFNet', width=__import__('os').system('touch "
        "canary')))",
        "model = dict(generator=",
        "model = 3",
        None,
    ],
)
def test_a_config_that_names_no_network_of_this_package_is_ignored(
    net, tmp_path, config, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert load_network_options(mmengine_file(tmp_path / "iter_9.pth", net, config)) is None
    assert not (tmp_path / "canary").exists()


def test_restore_reads_all_of_them(basicsr, net, tmp_path):
    convert(basicsr, tmp_path / "mm.pth", "--to", "mmagic", "--key", "params")
    convert(basicsr, tmp_path / "net.safetensors", "--key", "params")
    convert(basicsr, tmp_path / "net.pth", "--to", "basicsr", "--key", "params")
    mmengine_file(tmp_path / "iter_9.pth", net, CONFIG)
    lq = torch.rand(1, 3, 20, 28)
    expected = Restorer(net, "cpu").restore_tensor(lq)
    for name in ("mm.pth", "net.safetensors", "net.pth", "iter_9.pth"):
        assert torch.equal(
            Restorer.from_checkpoint(tmp_path / name, device="cpu").restore_tensor(lq), expected
        ), name


def test_the_teacher_is_restored_with(net, tmp_path):
    worse = {f"generator.{name}": value * 0 for name, value in net.state_dict().items()}
    teacher = {f"generator_ema.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": worse | teacher, "network_g": NETWORK}, tmp_path / "iter_9.pth")
    lq = torch.rand(1, 3, 20, 28)
    restored = Restorer.from_checkpoint(tmp_path / "iter_9.pth", device="cpu").restore_tensor(lq)
    assert torch.equal(restored, Restorer(net, "cpu").restore_tensor(lq))
    assert convert(tmp_path / "iter_9.pth", tmp_path / "net.safetensors") == 0
    assert_same(load_weights(tmp_path / "net.safetensors"), net.state_dict())


def test_bad_input(basicsr, net, tmp_path, capsys):
    there = tmp_path / "there.pth"
    there.write_text("mine")
    short = tmp_path / "short.pth"
    save_state(short, {"params": dict(list(net.state_dict().items())[1:]), "network_g": NETWORK})
    for words, message in [
        ((basicsr, there, "--to", "mmagic"), "is there already; add --force"),
        ((basicsr, tmp_path / "x.pth"), "add --to basicsr or --to mmagic"),
        ((basicsr, tmp_path / "x.pth", "--to", "safetensors"), "end in .safetensors"),
        ((basicsr, basicsr, "--to", "basicsr", "--force"), "is the source itself"),
        ((tmp_path / "none.pth", tmp_path / "x.pth"), "none.pth: no such file"),
        (
            (short, tmp_path / "x.pth", "--to", "mmagic"),
            "does not fit the network NAFNet: intro.weight is missing",
        ),
        ((there, tmp_path / "x.pth", "--to", "mmagic"), "no checkpoint, or a broken one"),
    ]:
        assert convert(*words) == 2
        assert message in capsys.readouterr().err
    assert there.read_text() == "mine" and not (tmp_path / "x.pth").exists()
    assert convert(basicsr, there, "--to", "mmagic", "--force") == 0
    assert load_weights(there)
