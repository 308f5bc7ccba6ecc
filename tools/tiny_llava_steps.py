"""Common parts of the trainings of the tiny LLaVA: batches, losses, optimiser, steps."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAIRED = 2
"""Pictures of each group in a batch."""


def batches(groups: np.ndarray, count: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield `steps` index batches, each PAIRED pictures of each of `count` groups.

    Pictures of a group can be compared; but batch normalisation needs many scenes in a batch.
    """
    rng = np.random.default_rng(seed)
    ends = np.flatnonzero(np.diff(groups)) + 1
    members = np.split(np.arange(len(groups)), ends)
    order: list[int] = []
    for _ in range(steps):
        if len(order) < count:
            order += rng.permutation(len(members)).tolist()
        chosen, order = order[:count], order[count:]
        pairs = [rng.choice(members[number], PAIRED, replace=False) for number in chosen]
        yield np.sort(np.concatenate(pairs))


def order_loss(losses: Tensor, target: Tensor, group: Tensor, margin: float = 0.02) -> Tensor:
    """Return the loss of the order in which a model puts the pictures of each group.

    `losses` are the model's losses of visibility (N,) in [0, 1], `target` the true ones. A pair
    that differs by `margin` or more costs log(1 + exp(-20 d)), d being how far the model sets the
    two apart in the right direction (RankNet, Burges et al., ICML 2005; 20 is our choice).
    """
    apart = target[:, None] - target[None]
    pairs = (group[:, None] == group[None]) & (apart > margin)
    right = (losses[:, None] - losses[None])[pairs]
    weight = (apart[pairs] / 0.1).clamp(max=1)
    return (weight * F.softplus(-20 * right)).sum() / weight.sum().clamp(min=1)


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
