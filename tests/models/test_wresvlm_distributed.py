"""Two processes (gloo): each rates its own photos, one writes, a resumed run keeps its labels."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import small_models
import torch
import yaml
from test_wresvlm_model import NETWORK, photo
from toy_runs import ENVIRONMENT, finish, start

from wxr_plugin.data.images.io import write_image
from wxr_plugin.labels.store import LabelStore


def write_options(root, **train):
    for seed in range(6):
        write_image(root / f"clear/{seed}.png", np.uint8(255 * photo(seed)))
        write_image(root / f"real/{seed}.png", np.uint8(255 * photo(10 + seed)))
    small_models.llava(root / "rater")
    paired, real = (
        {"dataroot_gt": str(root / "clear"), "synthetic": {}},
        {"dataroot": str(root / "real")},
    )
    data = {
        "name": "train",
        "type": "SemiSupervisedDataset",
        "gt_size": 32,
        "paired": paired,
        "real": real,
    }
    loading = {"io_backend": {"type": "disk"}, "num_worker_per_gpu": 1, "batch_size_per_gpu": 2}
    options = {
        "name": "run",
        "model_type": "TrailWResVLMModel",
        "plugins": ["wresvlm_toys", "rating_toys"],
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
            **train,
        },
        "logger": {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False},
    }
    path = root / "run.yml"
    path.write_text(yaml.safe_dump(options))
    return path


def labels(root, path="experiments/run/labels.lmdb"):
    with LabelStore(root / path, readonly=True) as store:
        return {row.key: row for row in store.pseudo_labels()}


def seen(root):
    lines = [(root / f"experiments/run/keys_{rank}.txt").read_text().split() for rank in (0, 1)]
    return [set(keys) for keys in lines]


@pytest.mark.slow
@pytest.mark.parametrize("context", [0, 8])
def test_two_processes_train_and_resume(tmp_path, context):
    options = write_options(tmp_path, rating={"context": context})
    text = options.read_text()
    options.write_text(text.replace("    real:\n", f"    real:\n      context: {context}\n"))
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


@pytest.mark.slow
def test_a_rank_that_cannot_rate_does_not_stop_the_others(tmp_path):
    options = write_options(
        tmp_path, rater={"type": "OneRankRater"}, rating={"every": 2, "proxy": {}}
    )
    log = finish(start(tmp_path, options, processes=2), tmp_path)
    (zero, one), found = seen(tmp_path), labels(tmp_path)
    assert set(found) == zero and one - zero
    assert "rating_failures" in log and "ConnectionError: the server is gone" in log
    state = torch.load(tmp_path / "experiments/run/training_states/2.state", weights_only=True)[
        "extra"
    ]
    assert state["failures"] > 0 and set(state["asked"]) == zero


@pytest.mark.slow
def test_a_rank_without_memory_for_its_rater_stops_all(tmp_path):
    options = write_options(tmp_path, rater={"type": "OneRankMemoryRater"})
    assert start(tmp_path, options, processes=2).wait(timeout=240) != 0
    log = (tmp_path / "log.txt").read_text()
    message = "iteration 1: rating 4 images ran out of memory (OutOfMemoryError: CUDA out of memory"
    assert log.count(message) == 2, log
    assert not (tmp_path / "experiments/run/training_states/2.state").exists()


@pytest.mark.slow
def test_each_node_writes_its_own_store_with_the_same_labels(tmp_path):
    """Run two nodes on this machine: a launcher with one process and a copy of the store each."""
    options = write_nodes(tmp_path)
    nodes = [tmp_path / "node0", tmp_path / "node1"]
    port = free_port()
    for node in nodes:
        with LabelStore(node / "labels.lmdb") as store:
            store.put_pseudo("0", np.full((72, 72, 3), 90, np.uint8), 3.0, "restormer", 0, "panel")
    runs = [start_node(node, options, rank, port) for rank, node in enumerate(nodes)]
    logs = [finish(run, node) for run, node in zip(runs, nodes)]
    first, second = (labels(node, "labels.lmdb") for node in nodes)
    assert {key: (row.png, row.rating) for key, row in first.items()} == {
        key: (row.png, row.rating) for key, row in second.items()
    }
    assert len(first) > 1 and all("End of training" in log for log in logs[:1])


@pytest.mark.slow
def test_nodes_whose_stores_differ_are_named(tmp_path):
    options = write_nodes(tmp_path)
    nodes = [tmp_path / "node0", tmp_path / "node1"]
    for node in nodes:
        node.mkdir()
    with LabelStore(nodes[0] / "labels.lmdb") as store:
        store.put_pseudo("0", np.full((72, 72, 3), 90, np.uint8), 3.0, "restormer", 0, "panel")
    port = free_port()
    runs = [start_node(node, options, rank, port) for rank, node in enumerate(nodes)]
    assert all(run.wait(timeout=240) for run in runs)
    assert (
        "the label stores of the nodes differ: copy that of the first node"
        in (nodes[0] / "log.txt").read_text()
    )


def write_nodes(root):
    """Train without the toy model: it writes to the experiment folder, which node 1 lacks."""
    options = write_options(root, labels="labels.lmdb", rater={"type": "BrightnessRater"})
    options.write_text(options.read_text().replace("TrailWResVLMModel", "WResVLMModel"))
    return options


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_node(root, options, rank, port):
    """The only process of one of two nodes, as torchrun would set it up."""
    root.mkdir(exist_ok=True)
    place = {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "1"}
    environment = {**ENVIRONMENT, **place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [
        sys.executable,
        "-m",
        "wxr_plugin.train",
        "-opt",
        str(options),
        "--launcher",
        "pytorch",
    ]
    with open(root / "log.txt", "a") as log:
        return subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
