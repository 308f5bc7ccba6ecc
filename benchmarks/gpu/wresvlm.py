"""WResVLM step with a rater of LLaVA-1.5-7B's size: cost of rating, synchronous and not."""

import sys
from functools import partial
from typing import Any

import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.models import build_model

from benchmarks.gpu import training
from benchmarks.gpu.bench import Bench, Figure
from benchmarks.gpu.parts import ROOT
from benchmarks.gpu.rating import crops, rater_block

KEYS = 4
"""Batches of different photos that take turns."""
BASE = "no rating (gate: teacher)"


def run(bench: Bench) -> None:
    """Measure a step without rating, with synchronous rating, and with rating in a process."""
    base = bench.case(BASE, partial(step_time, bench, {"gate": "teacher"}, None), 10)
    bench.case("rating, training waits", partial(step_time, bench, {}, base), 30)
    aside = {"async": {"batch": batch_size(bench), "device": str(bench.device)}}
    bench.case("rating in another process", partial(step_time, bench, {"rating": aside}, base), 40)


def batch_size(bench: Bench) -> int:
    """Return the pairs and real crops in a batch, as in options/train/wresvlm_msbdn.yml."""
    return 2 if bench.tiny else 8


def step_time(bench: Bench, train: dict[str, Any], base: Figure | None) -> Figure:
    """Measure a step of L_sup and L_ps; the note has the share of rating, and the number rated."""
    model = build_model(options(bench, train))
    try:
        return _measured(bench, model, base)
    finally:
        if model.labels:
            model.labels.close()


def options(bench: Bench, train: dict[str, Any]) -> dict[str, Any]:
    """Return the options of MSBDN's WResVLM training, without the losses that need a guide."""
    sys.path.insert(0, str(ROOT))  # for the rating process
    losses = {
        "pseudo_opt": {"type": "PseudoLabelLoss", "loss_weight": 0.5},
        "labels": str(bench.folder / f"labels{len(list(bench.folder.iterdir()))}.lmdb"),
        "clip_grad": 1.0,
    }
    rater = {} if train.get("gate") else {"rater": rater_block(bench, batch_size(bench))}
    network = (training.TINY if bench.tiny else training.NETWORKS)["MSBDN"]
    opt = training.options(bench, "WResVLMModel", network, losses | rater | train)
    return opt | {"plugins": ["benchmarks.gpu.random_rater"]}


def batches(bench: Bench) -> list[dict[str, Any]]:
    """Return KEYS batches of pairs and real crops, in main memory."""
    return [_batch(bench, number) for number in range(KEYS)]


def _batch(bench: Bench, number: int) -> dict[str, Any]:
    count, size = batch_size(bench), 32 if bench.tiny else 256
    arrays = crops(KEYS * count, size)[number * count : (number + 1) * count]
    images = torch.stack(
        [torch.from_numpy(array).permute(2, 0, 1).float() / 255 for array in arrays]
    )
    names = [f"{number}_{row}.png" for row in range(count)]
    tensors = training.pinned({"lq": images * 0.8, "gt": images, "real": images * 0.7}, bench)
    return {**tensors, "lq_path": names, "gt_path": names, "real_path": names, "real_key": names}


def _measured(bench: Bench, model: Any, base: Figure | None) -> Figure:
    data, iteration = batches(bench), 0

    def step() -> None:
        nonlocal iteration
        iteration += 1
        model.feed_data(data[iteration % KEYS])
        model.optimize_parameters(iteration)

    for _ in range(KEYS if bench.tiny else 2 * KEYS):  # the first time, labels are rated as well
        step()
    before, first = _rated(model), iteration
    timing = bench.time(step, repetitions=30, warmup=0, longest=20)
    if base is None:
        return timing.milliseconds(f"batch {batch_size(bench)} + {batch_size(bench)}")
    figure = timing.milliseconds()
    rated = (_rated(model) - before) / (iteration - first)
    if model.labels.failures.count:
        raise RuntimeError(f"{model.labels.failures.count} images could not be rated")
    share = 1 - base.value / figure.value
    return figure._replace(
        note=f"rating is {share:.0%} of the step; {rated:.3g} images rated a step"
    )


def _rated(model: Any) -> int:
    return model.labels.rated if model.labels else 0
