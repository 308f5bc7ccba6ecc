"""The learning-rate schedules that SRModel does not have."""

import math

import pytest
import torch

from wxr_plugin.models.base.optimisation import CosineAnnealingLR


def test_the_cosine_falls_to_its_lowest_rate_and_stays_there():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = CosineAnnealingLR(optimizer, T_max=4, eta_min=0.02)
    rates = []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    falling = [0.02 + 0.08 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert rates == pytest.approx(falling + [0.02] * 5)
