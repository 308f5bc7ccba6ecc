"""One training under two hosts: BasicSR's train_pipeline, and MMEngine's Runner."""

import sys

import pytest
import yaml
from basicsr.archs import build_network
from basicsr.train import train_pipeline
from basicsr.utils.registry import MODEL_REGISTRY
from mmengine.hooks import Hook
from mmengine.runner import Runner

from wxr_plugin.checkpoints.containers import save_state
from wxr_plugin.models.wxr_model import WxrModel

NETWORK = {
    "type": "MSBDN",
    "width": 4,
    "bottleneck_blocks": 1,
    "stage_blocks": 1,
    "global_residual": True,
}
LOSSES = []


class Listening(WxrModel):
    """Keeps the loss of each iteration."""

    def optimize_parameters(self, current_iter):
        super().optimize_parameters(current_iter)
        LOSSES.append(self.log_dict["l_pix"])


class Listener(Hook):
    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs["loss"].item())


@pytest.fixture
def listening():
    MODEL_REGISTRY.register(Listening)
    LOSSES.clear()
    yield LOSSES
    del MODEL_REGISTRY._obj_map["Listening"]


def test_ten_steps_have_the_same_losses(config, pairs, tmp_path, monkeypatch, listening):
    """Train on nine pairs in batches of two: ten steps in three epochs, crops, flips, schedule."""
    start = tmp_path / "start.pth"
    save_state(start, {"params": build_network(dict(NETWORK)).state_dict()})
    blocks = config()["train_dataloader"]["dataset"]["dataset"]
    options = {
        "name": "proof",
        "model_type": "Listening",
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {
            "train": {"name": "t", **blocks, "num_worker_per_gpu": 1, "batch_size_per_gpu": 2}
        },
        "network_g": NETWORK,
        "path": {"pretrain_network_g": str(start)},
        "train": {
            "total_iter": 10,
            "optim_g": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.0},
            "scheduler": {"type": "CosineAnnealingLR", "T_max": 12},
            "pixel_opt": {"type": "L1Loss"},
        },
        "logger": {"print_freq": 5, "save_checkpoint_freq": 10, "use_tb_logger": False},
    }
    (tmp_path / "proof.yml").write_text(yaml.safe_dump(options))
    monkeypatch.setattr(sys, "argv", ["train", "-opt", str(tmp_path / "proof.yml")])
    train_pipeline(str(tmp_path))

    model = {
        "type": "WxrSupervised",
        "generator": NETWORK,
        "pixel_loss": {"type": "L1Loss"},
        "pretrained": str(start),
    }
    loop = {"type": "IterBasedTrainLoop", "max_iters": 10, "val_interval": 20}
    runner = Runner.from_cfg(config(model=model, train_cfg=loop))
    listener = Listener()
    runner.register_hook(listener)
    runner.train()
    assert len(listening) == len(listener.losses) == 10 and len(set(listening)) == 10
    assert listener.losses == pytest.approx(listening, abs=1e-6, rel=0)
