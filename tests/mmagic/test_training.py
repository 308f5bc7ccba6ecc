"""Configs of MMagic train, validate and resume, with the parts of this package for BasicSR."""

import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from wxr_plugin.checkpoints.containers import load_network_options, load_weights
from wxr_plugin.checkpoints.reading import CheckpointError, read_dict
from wxr_plugin.cli import main as cli
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.mm import mmagic_bridge, train

OPTIONS = Path(__file__).parents[2] / "options/mm"
SKIPPED = {
    "animatediff",
    "basicvsr_plusplus_net",
    "edvr",
    "eg3d",
    "iconvsr",
    "mspie",
    "stylegan1",
    "stylegan2",
    "stylegan3",
    "tdan",
    "vico",
}
SHORT = {
    "train_cfg.max_iters": 10,
    "train_cfg.val_interval": 5,
    "default_hooks.checkpoint.interval": 5,
    "default_hooks.logger.interval": 1,
    "train_dataloader.batch_size": 2,
    "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False,
}


def config(name, folder, *words, **changes):
    options = [f"{key}={value}" for key, value in {**SHORT, **changes}.items()]
    args = train._parser().parse_args(
        [str(OPTIONS / name), "--work-dir", str(folder), *words, "--cfg-options", *options]
    )
    read = train.read_config(args)
    read.experiment_name = f"{folder.name}_{len(words)}_{len(list(folder.glob('*')))}"
    return read


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The Runner of ten iterations of our network under BaseEditModel, and its folder."""
    before, folder = os.getcwd(), tmp_path_factory.mktemp("msbdn")
    os.chdir(data)
    try:
        read = config("mmagic_msbdn.py", folder)
        read.val_evaluator.metrics[-1].measures.psnr = {"type": "calculate_psnr", "crop_border": 0}
        runner = Runner.from_cfg(read)
        runner.train()
    finally:
        os.chdir(before)
    return runner, folder


def test_skipped_editors_are_those_that_are_expected():
    assert mmagic_bridge.bridge.repaired and set(mmagic_bridge.bridge.skipped) == SKIPPED
    reasons = {
        name: reason.split(": ", 1)[1] for name, reason in mmagic_bridge.bridge.skipped.items()
    }
    assert all("mmcv._ext" in reasons[name] for name in SKIPPED - {"animatediff", "vico"})
    assert all("diffusers." in reasons[name] for name in ("animatediff", "vico"))


def test_ten_iterations_and_validations(trained):
    runner, folder = trained
    assert runner.iter == 10 and type(runner.model).__name__ == "BaseEditModel"
    assert runner.model.generator.__class__ is ARCH_REGISTRY.get("MSBDN")
    log = {name: buffer.data[0] for name, buffer in runner.message_hub.log_scalars.items()}
    assert len(log["train/loss"]) == 10 and np.isfinite(log["train/loss"]).all()
    assert {"val/PSNR", "val/SSIM", "val/piqe"} <= log.keys() and len(log["val/PSNR"]) == 2
    assert log["val/psnr"] == pytest.approx(
        log["val/PSNR"], abs=0.02
    )  # ours rounds to 8 bits, theirs as well
    assert 5 < log["val/PSNR"][-1] < 60 and 0 < log["val/piqe"][-1] <= 100
    assert (folder / "iter_10.pth").is_file()


def test_it_goes_on_from_its_checkpoint(trained, data, monkeypatch):
    monkeypatch.chdir(data)
    _, folder = trained
    with pytest.raises(Exception, match="HistoryBuffer"):
        torch.load(folder / "iter_10.pth", weights_only=True)
    runner = Runner.from_cfg(
        config("mmagic_msbdn.py", folder, "--resume", **{"train_cfg.max_iters": 12})
    )
    runner.train()
    assert runner.iter == 12 and len(runner.message_hub.get_scalar("train/loss").data[0]) == 12
    states = [read_dict(folder / f"iter_{iteration}.pth") for iteration in (10, 12)]
    assert [state["ema_state_dict"]["steps"].item() for state in states] == [10, 12]


def test_a_checkpoint_with_code_is_not_resumed(trained, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    content = read_dict(trained[1] / "iter_10.pth")
    content["message_hub"]["runtime_info"]["evil"] = Evil()
    torch.save(content, tmp_path / "iter_10.pth")
    runner = Runner.from_cfg(
        config("mmagic_msbdn.py", tmp_path, "--resume", str(tmp_path / "iter_10.pth"))
    )
    with pytest.raises(CheckpointError, match="refused, since loading it would run code"):
        runner.train()
    assert not (tmp_path / "canary").exists()


def test_wxr_reads_its_checkpoint(trained, tmp_path):
    path = trained[1] / "iter_10.pth"
    assert load_network_options(path)["type"] == "MSBDN"
    restorer = Restorer.from_checkpoint(path, device="cpu")
    assert (
        cli.main(["zoo", "convert", str(path), str(tmp_path / "net.pth"), "--to", "basicsr"]) == 0
    )
    weights = load_weights(tmp_path / "net.pth")
    assert all(
        torch.equal(restorer.net.state_dict()[name], value) for name, value in weights.items()
    )


def test_weights_of_basicsr_begin_a_run(trained, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    net = ARCH_REGISTRY.get("MSBDN")(
        variant="dff", width=8, bottleneck_blocks=2, stage_blocks=1, global_residual=True
    )
    torch.save({"params": net.state_dict()}, tmp_path / "net_g.pth")
    assert (
        cli.main(
            [
                "zoo",
                "convert",
                str(tmp_path / "net_g.pth"),
                str(tmp_path / "mm.pth"),
                "--to",
                "mmagic",
            ]
        )
        == 0
    )
    read = config("mmagic_msbdn.py", tmp_path / "run")
    read.model.init_cfg = {"type": "Pretrained", "checkpoint": str(tmp_path / "mm.pth")}
    init_default_scope("mmagic")
    model = MODELS.build(read.model)
    model.init_weights()
    assert all(
        torch.equal(model.generator.state_dict()[name], value)
        for name, value in net.state_dict().items()
    )


def test_stock_nafnet_trains_with_our_loss(data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    changes = {"train_cfg.max_iters": 2, "train_cfg.val_interval": 2}
    runner = Runner.from_cfg(config("mmagic_nafnet.py", tmp_path / "run", **changes))
    assert type(runner.model.generator).__module__.startswith("mmagic.")
    assert type(runner.model.pixel_loss) is LOSS_REGISTRY.get("PSNRLoss")
    runner.train()
    assert np.isfinite(runner.message_hub.get_scalar("train/loss").data[0]).all()
    assert np.isfinite(runner.message_hub.get_scalar("val/PSNR").current())


STOCK = {
    "NAFNet": {"img_channels": 3, "mid_channels": 4, "enc_blk_nums": [1], "dec_blk_nums": [1]},
    "Restormer": {"dim": 8, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1},
    "SwinIRNet": {
        "upscale": 1,
        "img_size": 16,
        "window_size": 8,
        "depths": [2],
        "embed_dim": 12,
        "num_heads": [2],
    },
}


@pytest.mark.parametrize("name", STOCK)
def test_stock_networks_are_mmagics_own_in_its_scope(name):
    init_default_scope("mmagic")
    net = MODELS.build({"type": name, **STOCK[name]})
    assert type(net).__module__.startswith("mmagic.")
    assert net.eval()(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_ours_are_ours_in_any_scope():
    init_default_scope("mmagic")
    for name, cls in ARCH_REGISTRY:
        if cls.__module__.startswith("wxr_plugin."):
            assert MODELS.get(name) is cls and MODELS.get(f"wxr_plugin.{name}") is cls
    with MODELS.switch_scope_and_registry(None) as theirs:
        assert theirs.scope == "mmagic"
        assert (
            theirs.get("wxr_plugin.NAFNet")
            is ARCH_REGISTRY.get("NAFNet")
            is not theirs.get("NAFNet")
        )
        assert (
            theirs.get("wxr_plugin.PSNRLoss")
            is LOSS_REGISTRY.get("PSNRLoss")
            is not theirs.get("PSNRLoss")
        )
        assert theirs.get("MSBDN") is ARCH_REGISTRY.get("MSBDN")


def test_the_student_of_wresvlm_may_be_mmagics(tmp_path):
    init_default_scope("mmagic")
    options = {"ema_decay": 0.9, "pseudo_opt": {"type": "PseudoLabelLoss"}, "gate": "teacher"}
    student = {"type": "NAFNet", **STOCK["NAFNet"]}
    model = MODELS.build(
        {
            "type": "WxrSemiSupervised",
            "generator": student,
            "pixel_loss": {"type": "L1Loss"},
            "wresvlm": options,
        }
    )
    assert type(model.generator).__module__.startswith("mmagic.")
    model.begin(tmp_path, None, 0)
    images = torch.rand(2, 3, 16, 16)
    losses = model(images, images, mode="loss", real=images, real_key=["a", "b"])
    assert losses.keys() == {"loss_pix", "loss_ps"} and all(
        loss.isfinite() for loss in losses.values()
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("EDVRNet", "editor edvr, .*build mmcv 2.1.0 from source"),
        ("ViCo", "editor vico, .* an older diffusers"),
    ],
)
def test_a_config_that_names_a_skipped_editor_is_told_what_to_do(
    name, words, data, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(data)
    command = [str(OPTIONS / "mmagic_msbdn.py"), "--work-dir", str(tmp_path), "--cfg-options"]
    logging.getLogger("mmengine").setLevel(logging.ERROR)
    assert train.main([*command, f"model.generator.type={name}"]) == 2
    assert re.search(f"mmagic_msbdn.py: {name} is of mmagic's {words}", capsys.readouterr().err)
