"""Common parts of the trainings of the tiny LLaVA: batches, optimiser, one step, progress."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn


def batches(count: int, batch: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield `steps` index batches out of `count` samples, shuffled again in each epoch."""
    rng = np.random.default_rng(seed)
    order = np.empty(0, np.int64)
    for _ in range(steps):
        if len(order) < batch:
            order = np.concatenate([order, rng.permutation(count)])
        rows, order = order[:batch], order[batch:]
        yield rows


def optimizer_for(modules: list[nn.Module], rate: float, steps: int) -> tuple:
    """Return AdamW on all parameters with gradients, and a one-cycle schedule with a warm-up."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, max(steps, 2), pct_start=0.08
    )


def update(loss: Tensor, optimizer, schedule) -> None:
    """Make one step with clipped gradients."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for group in optimizer.param_groups:
        nn.utils.clip_grad_norm_(group["params"], 1.0)
    optimizer.step()
    schedule.step()


def report(name: str, step: int, steps: int, loss: Tensor, clock: float) -> None:
    """Print the loss now and then; `clock` is the start."""
    if step % 50 == 0 or step == steps - 1:
        print(
            f"{name} {step + 1}/{steps} loss {loss.item():.4f} {time.monotonic() - clock:.0f} s",
            flush=True,
        )
