"""Two processes (gloo): each rates its own photos, one writes, and a resumed run goes on with the same labels."""

import numpy as np
import pytest
import small_models
import torch
import yaml
from test_wresvlm_model import NETWORK, photo
from toy_runs import finish, start

from wxr_plugin.data.image_io import write_image
from wxr_plugin.labels.store import LabelStore


def write_options(root):
    for seed in range(6):
        write_image(root / f"clear/{seed}.png", np.uint8(255 * photo(seed)))
        write_image(root / f"real/{seed}.png", np.uint8(255 * photo(10 + seed)))
    small_models.llava(root / "rater")
    paired, real = {"dataroot_gt": str(root / "clear"), "synthetic": {}}, {"dataroot": str(root / "real")}
    data = {"name": "train", "type": "SemiSupervisedDataset", "gt_size": 32, "paired": paired, "real": real}
    loading = {"io_backend": {"type": "disk"}, "num_worker_per_gpu": 1, "batch_size_per_gpu": 2}
    options = {
        "name": "run",
        "model_type": "TrailWResVLMModel",
        "plugins": ["wresvlm_toys"],
        "scale": 1,
        "num_gpu": 0,
        "manual_seed": 7,
        "datasets": {"train": {**data, **loading, "dataset_enlarge_ratio": 4}},
        "network_g": NETWORK,
        "path": {},
        "train": {
            "total_iter": 2,
            "ema_decay": 0.9,
            "nan_guard": {},
            "optim_g": {"type": "Adam", "lr": 1e-2},
            "scheduler": {"type": "MultiStepLR", "milestones": [100]},
            "pixel_opt": {"type": "L1Loss"},
            "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 0.5},
            "rater": {"model": str(root / "rater")},
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }
    path = root / "run.yml"
    path.write_text(yaml.safe_dump(options))
    return path


def labels(root):
    with LabelStore(root / "experiments/run/labels.lmdb", readonly=True) as store:
        return {row.key: row for row in store.pseudo_labels()}


def seen(root):
    lines = [(root / f"experiments/run/keys_{rank}.txt").read_text().split() for rank in (0, 1)]
    return [set(keys) for keys in lines]


@pytest.mark.slow
def test_two_processes_train_and_resume(tmp_path):
    options = write_options(tmp_path)
    finish(start(tmp_path, options, processes=2), tmp_path)
    first, (zero, one) = labels(tmp_path), seen(tmp_path)
    assert set(first) == zero | one
    assert one - zero, "rank 1 saw nothing of its own, so this shows nothing"
    options.write_text(options.read_text().replace("total_iter: 2", "total_iter: 4"))
    log = finish(start(tmp_path, options, "--auto_resume", processes=2), tmp_path)
    assert "Resuming training from epoch: 0, iter: 2" in log
    second, (zero, one) = labels(tmp_path), seen(tmp_path)
    assert set(second) == zero | one
    assert all(second[key].rating >= row.rating for key, row in first.items())
    state = torch.load(tmp_path / "experiments/run/training_states/4.state", weights_only=True)
    assert state["extra"]["ratings"] == {key: row.rating for key, row in second.items()}
