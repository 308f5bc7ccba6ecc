"""WResVLM under MMEngine's Runner: the labels that it has under BasicSR, and exact resuming."""

import copy

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from wxr_plugin.checkpoints.reading import read_dict
from wxr_plugin.data.images.io import write_image
from wxr_plugin.errors import OptionError
from wxr_plugin.labels.store import LabelStore
from wxr_plugin.mm.semi_supervised import WxrSemiSupervised, read_options
from wxr_plugin.models.wresvlm_model import WResVLMModel

NETWORK = {
    "type": "NAFNet",
    "width": 4,
    "enc_blk_nums": [1],
    "middle_blk_num": 1,
    "dec_blk_nums": [1],
}
OPTIONS = {
    "ema_decay": 0.9,
    "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 0.5},
    "feature_opt": {"type": "DepthFeatureLoss", "loss_weight": 0.2, "model": "tiny"},
    "rater": {"type": "TransformersRater", "model": "tiny", "prompt": "visibility"},
    "strong_augment": {"noise": 0.1},
}


class Listener(Hook):
    """Keeps the log of every iteration, and can stop the run as a crash would, after it."""

    def __init__(self, crash=None):
        self.crash, self.logs = crash, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.logs.append({name: float(value) for name, value in outputs.items()})
        if runner.iter + 1 == self.crash:
            raise KeyboardInterrupt


@pytest.fixture
def semi(config, pairs, tmp_path):
    """Makes the config of a semi-supervised run in a folder of tmp_path."""
    for seed in range(3):
        image = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        write_image(tmp_path / f"real/{seed}.png", np.kron(image, np.ones((7, 7, 1), np.uint8)))

    def make(folder, **options):
        made = config(work_dir=str(tmp_path / folder))
        pair = made["train_dataloader"]["dataset"]["dataset"]
        parts = {key: pair[key] for key in ("dataroot_gt", "dataroot_lq", "use_hflip")}
        real = {"dataroot": str(tmp_path / "real"), "boxes_per_image": 2}
        made["train_dataloader"]["dataset"]["dataset"] = {
            "type": "SemiSupervisedDataset", "gt_size": 32, "paired": parts, "real": real,
        }  # fmt: skip
        made["model"] |= {
            "type": "WxrSemiSupervised",
            "wresvlm": {**copy.deepcopy(OPTIONS), **options},
        }
        made["custom_hooks"] += [{"type": "WxrNanGuardHook"}, {"type": "WxrLabelHook"}]
        made["optim_wrapper"]["optimizer"]["lr"] = 1e-2
        del made["val_dataloader"], made["val_cfg"], made["val_evaluator"]
        return made

    return make


def train(config, *hooks):
    runner = Runner.from_cfg(config)
    for hook in hooks:
        runner.register_hook(hook, "LOWEST")
    runner.train()
    return runner


def labels_of(folder):
    with LabelStore(folder / "labels.lmdb", readonly=True) as store:
        return {
            row.key: (row.rating, row.source, row.iteration, row.png)
            for row in store.pseudo_labels()
        }


def test_a_stopped_and_resumed_run_has_the_same_labels_and_weights(semi, tmp_path):
    listener = Listener()
    runner = train(semi("straight"), listener)
    assert {"loss_pix", "loss_ps", "loss_feat"} <= listener.logs[0].keys()
    with pytest.raises(KeyboardInterrupt):
        train(semi("stopped"), Listener(crash=5))
    resumed = Listener()
    train({**semi("stopped"), "resume": True}, resumed)
    assert resumed.logs == listener.logs[3:]
    ends = [read_dict(tmp_path / folder / "iter_6.pth") for folder in ("straight", "stopped")]
    assert all(
        torch.equal(value, ends[1]["state_dict"][name])
        for name, value in ends[0]["state_dict"].items()
    )
    assert ends[0]["wxr_labels"] == ends[1]["wxr_labels"]
    labels = labels_of(tmp_path / "straight")
    assert labels == labels_of(tmp_path / "stopped")
    assert any(source.startswith("teacher@") for _, source, _, _ in labels.values())
    rated = runner.message_hub.get_scalar("train/rated").current()
    assert rated >= len(labels) and runner.message_hub.get_scalar("train/rating").current() > 1
    student, teacher = (
        {k: v for k, v in ends[0]["state_dict"].items() if k.startswith(p)} for p in PREFIXES
    )
    assert len(student) == len(teacher) and not all(
        map(torch.equal, student.values(), teacher.values())
    )


PREFIXES = ("generator.", "generator_ema.")


def test_its_losses_are_those_of_basicsr(semi, tmp_path):
    """Of one batch, weights and label store: the numbers that WResVLMModel computes."""
    view = {"context": 4, "mirrored": True}
    config = semi("mm", strong_augment=None, rating=view)
    config["train_dataloader"]["dataset"]["dataset"]["real"]["context"] = 4
    runner = Runner.from_cfg(config)
    model = runner.model
    model.begin(tmp_path / "mm", None, 0)
    batch = next(iter(runner.build_dataloader(runner.train_dataloader, seed=1)))
    model.iteration = 1
    ours = model.train()(**batch, mode="loss")
    path = {
        name: str(tmp_path / "basicsr")
        for name in ("experiments_root", "models", "training_states")
    }
    options = {
        "name": "run",
        "model_type": "WResVLMModel",
        "num_gpu": 0,
        "is_train": True,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "manual_seed": 3,
        "path": path,
        "datasets": {},
        "network_g": dict(NETWORK),
        "logger": {"save_checkpoint_freq": 3, "print_freq": 1},
        "train": {
            "total_iter": 6,
            "optim_g": {"type": "Adam", "lr": 1e-2},
            "pixel_opt": {"type": "L1Loss"},
            **copy.deepcopy(OPTIONS),
            "strong_augment": None,
            "rating": view,
        },
    }
    host = WResVLMModel(options)
    host.net_g.load_state_dict(model.generator.state_dict())
    host.net_g_ema.load_state_dict(model.generator_ema.state_dict())
    host.feed_data(batch)
    theirs = host.losses(1)
    names = {"loss_pix": "l_sup", "loss_ps": "l_ps", "loss_feat": "l_feat"}
    assert {name: ours[name].item() for name in ours} == {
        name: theirs[names[name]].item() for name in names
    }
    host.after_step(1)
    model.unlabelled.write(1)
    assert labels_of(tmp_path / "mm") == labels_of(tmp_path / "basicsr")


def test_a_bad_update_teaches_neither_teacher_nor_store(semi, tmp_path):
    class Poison(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            if runner.iter == 0:
                self.before = {
                    name: value.clone() for name, value in runner.model.state_dict().items()
                }
                data_batch["lq"][0] = float("nan")
            else:
                after = runner.model.state_dict()
                assert all(torch.equal(value, after[name]) for name, value in self.before.items())
                assert not runner.model.unlabelled.labels.store.pseudo_labels()
                runner.train_loop.stop_training = True
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(semi("run", feature_opt=None), Poison())


def test_wrong_options_are_named():
    loss = {"type": "L1Loss"}
    for wresvlm, words in [
        ({"ema_decay": 0.9, "pseudo": {}}, "wresvlm: pseudo: unknown key; known are "),
        ({"ema_decay": 0.9, "accumulate": 2}, "wresvlm: accumulate: unknown key"),
        ({}, "wresvlm: .*ema_decay"),
        (
            {"ema_decay": 0.9, "semantic_opt": {"type": "SemanticLoss"}},
            "needs the texts of a label store",
        ),
    ]:
        with pytest.raises(OptionError, match=words):
            read_options(wresvlm, loss)
    assert (
        read_options(
            {"ema_decay": 0.9, "rating": {"async": {"queue": 4}}}, loss
        ).rating.async_.queue
        == 4
    )


def test_what_it_needs_beside_is_said(semi, tmp_path):
    without = semi("run")
    without["custom_hooks"] = without["custom_hooks"][:-1]
    with pytest.raises(OptionError, match=r"needs custom_hooks = \[dict\(type='WxrLabelHook'\)\]"):
        train(without)
    double = semi("double")
    double["custom_hooks"].append({"type": "WxrEMAHook"})
    with pytest.raises(OptionError, match="has its own average, the teacher: take the EMAHook out"):
        train(double)
    model = WxrSemiSupervised(NETWORK, {"type": "L1Loss"}, {"ema_decay": 0.9})
    with pytest.raises(OptionError, match="yields no unlabelled photos"):
        model(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), mode="loss")


def test_after_a_dropped_window_the_next_one_teaches_with_all_its_batches(semi, tmp_path):
    class PoisonFirst(Hook):
        keys = []

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.keys.append(data_batch["real_key"])
            if runner.iter == 0:
                data_batch["lq"][0] = float("nan")

    config, poison = semi("run", feature_opt=None), PoisonFirst()
    config["optim_wrapper"]["accumulative_counts"] = 2
    config["train_cfg"]["max_iters"] = 4
    runner = train(config, poison)
    assert runner.message_hub.get_scalar("train/dropped_updates").current() == 1
    assert set(labels_of(tmp_path / "run")) == {key for keys in poison.keys[2:] for key in keys}


def test_the_teachers_warm_up_counts_updates(semi, monkeypatch):
    """Two batches an update: the teacher is averaged after the updates 1 and 2."""
    counted = []
    monkeypatch.setattr(
        WxrSemiSupervised, "average", lambda model, updates: counted.append(updates)
    )
    config = semi("warm", feature_opt=None)
    config["optim_wrapper"]["accumulative_counts"] = 2
    config["train_cfg"]["max_iters"] = 4
    train(config)
    assert counted == [1, 2]
