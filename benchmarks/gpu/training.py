"""A training step of MSBDN and NAFNet: stock BasicSR in float32 against WxrModel's options."""

import copy
import logging
from functools import partial
from typing import Any

import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.models import build_model
from basicsr.utils import get_root_logger

from benchmarks.gpu.bench import Bench, Figure

NETWORKS = {
    "MSBDN": {"type": "MSBDN"},
    "NAFNet": {
        "type": "NAFNet",
        "width": 32,
        "enc_blk_nums": [2, 2, 4, 8],
        "middle_blk_num": 12,
        "dec_blk_nums": [2, 2, 2, 2],
    },
}
"""As options/train/baselines trains them."""
TINY = {
    "MSBDN": {"type": "MSBDN", "width": 4, "bottleneck_blocks": 1, "stage_blocks": 1},
    "NAFNet": {
        "type": "NAFNet",
        "width": 4,
        "enc_blk_nums": [1],
        "middle_blk_num": 1,
        "dec_blk_nums": [1],
    },
}
VARIANTS: dict[str, dict[str, Any]] = {
    "WxrModel, float32": {},
    "WxrModel, bf16": {"amp": "bf16"},
    "WxrModel, bf16, channels_last": {"amp": "bf16", "channels_last": True},
    "WxrModel, fp16, channels_last": {"amp": "fp16", "channels_last": True},
    "WxrModel, float32, channels_last": {"channels_last": True},
}
COMPILED: dict[str, dict[str, Any]] = {
    "WxrModel, bf16, channels_last, compile": {
        "amp": "bf16",
        "channels_last": True,
        "compile": True,
    },
    "WxrModel, float32, compile": {"compile": True},
}
STOCK = "SRModel, float32"

get_root_logger(log_level=logging.WARNING)  # the layers of each network are no news here


def run(bench: Bench) -> None:
    """Measure stock and every variant of both networks."""
    for network in NETWORKS:
        stock = bench.case(f"{network}, {STOCK}", partial(step_time, bench, network, "SRModel", {}))
        for name, train in VARIANTS.items():
            bench.case(
                f"{network}, {name}", partial(step_time, bench, network, "WxrModel", train, stock)
            )


def step_time(
    bench: Bench, network: str, model_type: str, train: dict[str, Any], stock: Figure | None = None
) -> Figure:
    """Measure one step on a batch in main memory: transfer, forward, backward, AdamW and EMA.

    With `stock` the note says how many times as fast it is.
    """
    size, count = (32, 1) if bench.tiny else (256, 8)
    block = (TINY if bench.tiny else NETWORKS)[network]
    torch.manual_seed(0)
    model = build_model(options(bench, model_type, block, train))
    batch = pinned({name: torch.rand(count, 3, size, size) for name in ("lq", "gt")}, bench)
    paths = [f"{number}.png" for number in range(count)]
    batch |= {"lq_path": paths, "gt_path": paths}

    def step() -> None:
        step.iteration += 1
        model.feed_data(batch)
        model.optimize_parameters(step.iteration)

    step.iteration = 0
    timing = bench.time(step, repetitions=15, warmup=4)
    figure = timing.milliseconds(f"batch {count} of {size} px")
    return (
        figure
        if stock is None
        else figure._replace(note=f"{stock.value / figure.value:.2f} times as fast as stock")
    )


def options(
    bench: Bench, model_type: str, network: dict[str, Any], train: dict[str, Any]
) -> dict[str, Any]:
    """Return the options of a training on the bench's device that writes into its folder."""
    folders = ("experiments_root", "models", "training_states", "visualization")
    return {
        "name": "gpu",
        "model_type": model_type,
        "num_gpu": int(bench.device.type == "cuda"),
        "is_train": True,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "manual_seed": 0,
        "path": {name: str(bench.folder / name) for name in folders},
        "datasets": {},
        "logger": {"save_checkpoint_freq": 1000, "print_freq": 1000},
        "network_g": copy.deepcopy(network),
        "train": {
            "total_iter": 1000,
            "ema_decay": 0.999,
            "optim_g": {"type": "AdamW", "lr": 1e-4, "weight_decay": 0},
            "scheduler": {"type": "MultiStepLR", "milestones": [900], "gamma": 0.5},
            "pixel_opt": {"type": "L1Loss"},
            **train,
        },
    }


def pinned(batch: dict[str, torch.Tensor], bench: Bench) -> dict[str, Any]:
    """Return a batch in pinned memory on a CUDA machine, as a loader with pin_memory does."""
    return (
        {name: value.pin_memory() for name, value in batch.items()}
        if bench.device.type == "cuda"
        else batch
    )
