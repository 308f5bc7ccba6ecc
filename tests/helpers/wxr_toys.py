"""Plug-in for these tests: a tiny network with running statistics and dropout, and its model."""

import time
from pathlib import Path

import torch
from basicsr.utils.registry import ARCH_REGISTRY, MODEL_REGISTRY
from torch import nn

from wxr_plugin.models.wxr_model import WxrModel


@ARCH_REGISTRY.register()
class ToyNet(nn.Module):
    """Two convolutions and a skip; `norm` adds running statistics, `dropout` random numbers."""

    def __init__(self, width: int = 6, norm: bool = True, dropout: float = 0.1):
        super().__init__()
        middle = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.body = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            middle,
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class ToyTrainOptions(WxrModel.TrainOptions):
    """Additions for tests."""

    trail: bool = False
    """Write a line after each update: iteration, images, sums of the batch and of the weights."""
    pause: float = 0.0
    """Seconds to sleep after each update."""
    poison: list[int] = []
    """Iterations whose batch is NaN on the last rank."""


@MODEL_REGISTRY.register()
class ToyModel(WxrModel):
    """WxrModel that can write a trail; with it, the first iteration is not random."""

    TrainOptions = ToyTrainOptions

    def losses(self, current_iter):
        self.net_g.train(not (current_iter == 1 and self.options.trail))
        if not self.net_g.training:
            self.first = {"lq": self.lq, "gt": self.gt, "net": _copy(self.net_g)}
        if current_iter in self.options.poison and self.opt["rank"] == self.opt["world_size"] - 1:
            self.lq = self.lq * float("nan")
        return super().losses(current_iter)

    def after_step(self, current_iter):
        if self.options.trail:
            rank, root = self.opt["rank"], Path(self.opt["path"]["experiments_root"])
            weights = sum(
                p.double().sum().item() for p in self.get_bare_model(self.net_g).parameters()
            )
            names = ",".join(Path(p).stem for p in self.data["lq_path"])
            with open(root / f"trail_{rank}.txt", "a") as trail:
                trail.write(
                    f"{current_iter} {names} {self.lq.double().sum().item()!r} {weights!r}\n"
                )
            if current_iter == 1:
                grads = [p.grad for p in self.net_g.parameters()]
                torch.save({**self.first, "grads": grads}, root / f"first_{rank}.pth")
        time.sleep(self.options.pause)

    def extra_state(self):
        return {"steps": self.iteration}

    def load_extra_state(self, state):
        assert state["steps"] == self.iteration


def _copy(net: nn.Module) -> dict[str, torch.Tensor]:
    inner = getattr(net, "module", net)
    return {name: value.clone() for name, value in inner.state_dict().items()}
