"""How far a network looks: the distance in pixels from which the image still changes a pixel of the result."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from wxr_plugin.archs import walk
from wxr_plugin.namesakes import is_ours

FILE = Path(__file__).with_name("reach.yml")
VISIBLE = 1 / 1024
"""A quarter of one of 255 levels: smaller changes of a result do not show."""
HEIGHT = 32
WIDTHS = (1024, 4096)
"""Of the strips on which a network is measured; the longer one where a network looks across half of the shorter one."""


@cache
def table() -> dict[str, dict[int, int]]:
    """Return registered name -> number of parameters of a variant -> its receptive field in pixels to each side."""
    return yaml.safe_load(FILE.read_text(encoding="utf-8"))


def known(net: nn.Module) -> int | None:
    """Return the receptive field that needs no measuring: a network's own attribute `reach`, or our table's."""
    parameters = sum(parameter.numel() for parameter in net.parameters())
    measured = table().get(type(net).__name__, {}) if is_ours(type(net)) else {}
    return getattr(net, "reach", measured.get(parameters))


def receptive_field(net: nn.Module) -> int:
    """Return the distance in pixels from which anything reaches a pixel of the result, whatever the weights."""
    listed_field = known(net)
    return measure_field(net) if listed_field is None else listed_field


def measure_field(net: nn.Module) -> int:
    """Return how far NaN spreads: unlike other changes, it neither fades nor is cut off by a ReLU."""
    return _distance(net, lambda right: right.fill_(torch.nan), lambda result, _: result.isnan())


def visible_reach(net: nn.Module) -> int:
    """Return the distance from which a change of the image changes the result by more than VISIBLE, with these weights.

    Weights fade with the distance, so this may be a fraction of the receptive field. It is twice what is
    measured on the strip, since photos differ from it: the first packaged MSBDN needs 150 pixels for 50 dB, not 93.
    """
    is_visible = lambda result, before: (result - before).abs() > VISIBLE  # noqa: E731
    distance = _distance(net, lambda right: right.neg_().add_(1), is_visible)
    return 2 * distance


@torch.inference_mode()
def _distance(net: nn.Module, change: Callable[[Tensor], object], differs: Callable[[Tensor, Tensor], Tensor]) -> int:
    """Return how far into the left half of a strip the result differs when the right half is changed, in place.

    Half of the strip's width is returned for a network that looks across all of it.
    """
    parameter = next(net.parameters(), torch.zeros(()))
    reach = 0
    for width in WIDTHS:
        image = _strip(width).to(parameter)
        before = walk.call(net, image)
        change(image[..., width // 2 :])
        columns = differs(walk.call(net, image), before).any(0).any(0).any(0)[: width // 2].nonzero()
        reach = width // 2 - int(columns[0]) if len(columns) else 0
        if reach < width // 2 - HEIGHT:
            break
    return reach


def _strip(width: int) -> Tensor:
    """Return noise, and smooth patches with some noise, (2, 3, HEIGHT, width) in [0, 1]: networks react to both."""
    noise = walk.photos(1, HEIGHT, width)
    patches = F.interpolate(walk.photos(1, 2, width // 16), (HEIGHT, width), mode="bilinear")
    return torch.cat((noise, 0.9 * patches + 0.1 * noise))
