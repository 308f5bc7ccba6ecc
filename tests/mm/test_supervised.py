"""Supervised training under MMEngine's Runner."""

import multiprocessing
import os
import signal
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from basicsr.archs import build_network
from basicsr.utils import tensor2img
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from wxr_plugin.checkpoints.containers import load_weights, save_state
from wxr_plugin.checkpoints.reading import read_dict
from wxr_plugin.errors import OptionError
from wxr_plugin.mm.hooks.pictures import WxrPicturesHook
from wxr_plugin.mm.supervised import WxrSupervised
from wxr_plugin.models.base.guard import NonFiniteError
from wxr_plugin.models.base.val_metrics import measure
from wxr_plugin.utils.safe_paths import UnsafeNameError

EMA = {"type": "WxrEMAHook", "momentum": 0.1}


class Restless(nn.Module):
    """Draws random numbers, and has running statistics."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.Dropout(0.3),
            nn.Conv2d(6, 3, 3, padding=1),
        )

    def forward(self, lq):
        return lq + self.body(lq)


class At(Hook):
    """Calls `act(runner, batch)` before iteration `when`, counted from 1."""

    def __init__(self, when, act):
        self.when, self.act = when, act

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 in self.when:
            self.act(runner, data_batch)


@pytest.fixture
def restless():
    """A model config of that network."""
    return {
        "type": "WxrSupervised",
        "generator": {"type": f"{__name__}.Restless"},
        "pixel_loss": {"type": "PSNRLoss", "loss_weight": 0.1},
    }


def model_of(state):
    return {
        name: value
        for name, value in state.items()
        if name in ("state_dict", "ema_state_dict", "optimizer")
    }


def differences(one, two, place=""):
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, two) else [place]
    if isinstance(one, dict):
        assert one.keys() == two.keys(), place
        return [d for key in one for d in differences(one[key], two[key], f"{place}/{key}")]
    if isinstance(one, list | tuple):
        return [
            d
            for i, pair in enumerate(zip(one, two, strict=True))
            for d in differences(*pair, f"{place}/{i}")
        ]
    return [] if one == two else [place]


def test_what_is_validated_logged_and_drawn(run, tmp_path):
    runner = run(custom_hooks=[{"type": "WxrSeedHook"}, {"type": "WxrPicturesHook", "most": 2}])
    values = {name: log.current() for name, log in runner.message_hub.log_scalars.items()}
    assert np.isfinite(values["train/loss"]) and values["train/loss"] == values["train/loss_pix"]
    assert {"val/psnr", "val/psnr_y", "val/psnr_rain", "val/psnr_overall"} <= values.keys()
    drawn = sorted(
        str(path.relative_to(tmp_path / "run"))
        for path in (tmp_path / "run/visualization").rglob("*.png")
    )
    assert drawn == [
        f"visualization/held/{image}_{iteration}.png" for image in (0, 1) for iteration in (3, 6)
    ]
    network = build_network(dict(runner.model.network_g))
    network.load_state_dict(
        {
            key.removeprefix("generator."): w
            for key, w in load_weights(tmp_path / "run/iter_6.pth").items()
        }
    )
    dataset, psnr = (
        runner.val_dataloader.dataset,
        {"psnr": {"type": "calculate_psnr", "crop_border": 0}},
    )
    items = [dataset[index] for index in range(len(dataset))]
    with torch.no_grad():
        images = [
            (tensor2img([network.eval()(item["lq"][None])]), tensor2img([item["gt"]]))
            for item in items
        ]
    assert values["val/psnr"] == pytest.approx(
        np.mean([measure(*pair, psnr)["psnr"] for pair in images])
    )
    assert np.array_equal(
        cv2.imread(str(tmp_path / "run/visualization/held/0_6.png")), images[0][0]
    )


def test_no_picture_is_written_outside_its_folder(tmp_path):
    hook = WxrPicturesHook(out_dir=str(tmp_path / "out"))
    dataset = SimpleNamespace(metainfo={"name": "held"})
    loader = SimpleNamespace(dataset=dataset, batch_size=1)
    runner = SimpleNamespace(val_dataloader=loader, world_size=1, rank=0, iter=3)
    outputs = [{"name": "../../../outside", "pred": torch.zeros(3, 4, 4)}]
    with pytest.raises(UnsafeNameError, match="leads to a parent folder"):
        hook._after_iter(runner, 0, outputs=outputs, mode="val")
    assert list(tmp_path.rglob("*.png")) == []


def _die(runner, batch):
    os.kill(os.getpid(), signal.SIGKILL)


def _train(config, *hooks):
    runner = Runner.from_cfg(config)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()


def test_a_killed_and_resumed_run_ends_bit_equal(config, restless, tmp_path, one_thread):
    """Resume within an epoch, with dropout, running statistics, EMA, schedule and accumulation."""
    settings = {
        "model": restless,
        "custom_hooks": [{"type": "WxrSeedHook"}, {"type": "WxrNanGuardHook"}, EMA],
        "train_cfg": {"type": "IterBasedTrainLoop", "max_iters": 12, "val_interval": 6},
        "optim_wrapper": {
            "type": "OptimWrapper",
            "optimizer": {"type": "Adam", "lr": 1e-2},
            "accumulative_counts": 2,
            "clip_grad": {"max_norm": 1.0},
        },
        "default_hooks": {
            "checkpoint": {"type": "CheckpointHook", "interval": 6, "by_epoch": False}
        },
    }
    _train(config(**settings, work_dir=str(tmp_path / "straight")))
    killed = config(**settings, work_dir=str(tmp_path / "killed"), randomness={"seed": 7})
    child = multiprocessing.get_context("fork").Process(
        target=_train, args=(killed, At([10], _die))
    )
    child.start()
    child.join(120)
    assert child.exitcode == -signal.SIGKILL
    assert not (tmp_path / "killed/iter_12.pth").exists()
    loader = {**killed["train_dataloader"], "num_workers": 1}
    _train({**killed, "experiment_name": "resumed", "resume": True, "train_dataloader": loader})
    ends = [read_dict(tmp_path / run / "iter_12.pth") for run in ("straight", "killed")]
    assert differences(*map(model_of, ends)) == []
    assert ends[0]["param_schedulers"] == ends[1]["param_schedulers"]
    logs = [end["message_hub"]["log_scalars"]["train/loss"].data[0] for end in ends]
    assert len(logs[0]) == 12 and np.array_equal(*logs)
    steps = ends[0]["ema_state_dict"]["steps"]
    assert steps == 6 and ends[0]["wxr_nan_guard"] == {"skipped": 0, "in_a_row": 0}


def test_the_samples_follow_the_seed_of_the_checkpoint(config, tmp_path):
    """A run without a seed draws one, and a run that goes on from it takes that."""
    one = config(randomness={"seed": None})
    _train(one, At([5], lambda runner, batch: runner.train_loop.__setattr__("stop_training", True)))
    seen = []
    again = {**one, "experiment_name": "again", "resume": True}
    _train(
        again,
        At([4, 5], lambda runner, batch: seen.append((runner.seed, batch["lq"].sum().item()))),
    )
    straight = []
    fixed = config(randomness={"seed": seen[0][0]}, work_dir=str(tmp_path / "fixed"))
    _train(
        fixed,
        At([4, 5], lambda runner, batch: straight.append((runner.seed, batch["lq"].sum().item()))),
    )
    assert seen == straight


def _poison(runner, batch):
    batch["lq"][0] = float("nan")


def test_a_bad_update_changes_nothing(config, restless, caplog):
    states = []
    keep = At(
        [2, 3],
        lambda runner, batch: states.append({k: v.clone() for k, v in everything(runner).items()}),
    )
    hooks = [{"type": "WxrSeedHook"}, {"type": "WxrNanGuardHook"}, EMA]
    runner = Runner.from_cfg(config(model=restless, custom_hooks=hooks))
    runner.register_hook(keep)
    runner.register_hook(At([2], _poison))
    runner.train()
    assert differences(*states) == [] and differences(states[0], everything(runner)) != []
    assert runner.message_hub.get_scalar("train/dropped_updates").current() == 1


def everything(runner):
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == "WxrEMAHook").ema_model
    return {
        **runner.model.state_dict(),
        **{f"ema.{name}": value for name, value in ema.state_dict().items()},
    }


def test_too_many_bad_updates_end_the_run_and_name_the_images(config):
    runner = Runner.from_cfg(config(custom_hooks=[{"type": "WxrNanGuardHook", "stop_after": 2}]))
    runner.register_hook(At(range(1, 9), _poison))
    with pytest.raises(
        NonFiniteError, match=r"iteration 2: loss or gradient is not finite; images: .*lq/\d.png"
    ):
        runner.train()


def _spoil(runner, batch):
    with torch.no_grad():
        next(runner.model.parameters()).view(-1)[0] = float("nan")


def test_weights_that_are_not_finite_end_the_run_before_a_checkpoint(config, tmp_path):
    runner = Runner.from_cfg(config(custom_hooks=[{"type": "WxrNanGuardHook"}]))
    runner.register_hook(At([4], _spoil))
    with pytest.raises(NonFiniteError, match=r"NaN or infinity in weights after this update"):
        runner.train()
    assert sorted(file.name for file in (tmp_path / "run").glob("iter_*.pth")) == ["iter_3.pth"]


def test_it_begins_with_weights_of_basicsr(tmp_path):
    block = {
        "type": "NAFNet",
        "width": 4,
        "enc_blk_nums": [1],
        "middle_blk_num": 1,
        "dec_blk_nums": [1],
    }
    weights = build_network(dict(block)).state_dict()
    save_state(tmp_path / "net_g.pth", {"params": weights})
    model = WxrSupervised(block, {"type": "L1Loss"}, pretrained=str(tmp_path / "net_g.pth"))
    assert all(
        torch.equal(model.generator.state_dict()[name], value) for name, value in weights.items()
    )


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"type": "ConditionalUNet", "nf": 8, "ch_mult": [1, 2]},
            "predicts noise: train it with BasicSR",
        ),
        ({"type": "NAFNet", "width": 8, "context": ["content"]}, "is steered by a guide's context"),
    ],
)
def test_networks_that_need_more_than_images_are_refused(block, words):
    with pytest.raises(OptionError, match=words):
        WxrSupervised(block, {"type": "L1Loss"})


def test_networks_and_losses_of_basicsr_alone_are_found_too():
    network = {"type": "MSRResNet", "upscale": 2, "num_feat": 4, "num_block": 1}
    model = WxrSupervised(network, {"type": "CharbonnierLoss"})
    assert type(model.cri_pix).__module__.startswith("basicsr.")
    assert model(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)
