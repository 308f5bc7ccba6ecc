"""Reach of a network: the distance in pixels from which the image changes a pixel of the result.

Some networks depend on the whole image, so that tiles differ from it.
"""

from collections.abc import Callable
from functools import cache
from importlib import resources

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.utils.namesakes import is_ours

REACHES = resources.files(__package__) / "reach.yml"
WHOLE_IMAGE = resources.files(__package__) / "whole_image.yml"
VISIBLE = 1 / 512
"""Error (root mean square of a column) that is visible: half of a level of 255, 54 dB."""
HEIGHT = 32
"""Height in pixels of these strips."""
WIDTHS = (1024, 4096)
"""Widths in pixels of the strips on which a network is measured.

The wider one is for networks that look across half of the other.
"""


@cache
def table() -> dict[str, dict[int, int]]:
    """Return registered name -> number of parameters of a variant -> its receptive field."""
    return yaml.safe_load(REACHES.read_text(encoding="utf-8"))


def known(net: nn.Module) -> int | None:
    """Return the network's attribute `reach` or its entry in our table, None without either."""
    declared: int | None = getattr(net, "reach", None)
    if declared is not None:
        return declared
    kind = type(net)
    if not is_ours(kind):
        return None
    parameters = sum(parameter.numel() for parameter in net.parameters())
    variants = table().get(kind.__name__, {})
    return variants.get(parameters)


def receptive_field(net: nn.Module) -> int:
    """Return the distance in pixels from which anything reaches a pixel, for any weights."""
    listed_field = known(net)
    return measure_field(net) if listed_field is None else listed_field


def measure_field(net: nn.Module) -> int:
    """Return how far NaN spreads: unlike other changes it does not fade or stop at a ReLU."""

    def nan_columns(image: Tensor) -> Tensor:
        half = image.shape[-1] // 2
        image[..., half:] = torch.nan
        result = network_checks.call(net, image)
        # (N, C, H, W) -> (W,): whether a column has any NaN.
        return result.isnan().flatten(0, 2).any(0)

    return _distance(net, nan_columns)


def visible_reach(net: nn.Module) -> int:
    """Return the distance from a cut beyond which the error is below VISIBLE, for these weights.

    Padding at a cut may reach farther than any change of the image, since it is the same along all
    of the edge; in the packaged MSBDN it does.
    """

    def changed_columns(image: Tensor) -> Tensor:
        half = image.shape[-1] // 2
        cut = image[..., :half].contiguous()
        whole = network_checks.call(net, image)[..., :half]
        error = network_checks.call(net, cut) - whole
        # (N, C, H, W / 2) -> (W / 2,): the root mean square of each column.
        squares = error.square().mean((0, 1, 2))
        return squares.sqrt() > VISIBLE

    return _distance(net, changed_columns)


@torch.inference_mode()
def _distance(net: nn.Module, changed_columns: Callable[[Tensor], Tensor]) -> int:
    """Return how far into the left half of a strip the columns of `changed_columns` reach.

    A network that looks across all of the strip gets half of its width.
    """
    parameter = next(net.parameters(), torch.zeros(()))
    reach = 0
    for width in WIDTHS:
        half = width // 2
        strip = _strip(width).to(parameter)
        changed = changed_columns(strip)[:half]
        columns = changed.nonzero()
        reach = half - int(columns[0]) if len(columns) else 0
        # Columns up to the left edge changed: the reach may be larger than this strip shows.
        if reach < half - HEIGHT:
            break
    return reach


def _strip(width: int) -> Tensor:
    """Return noise, and smooth patches with some noise, as (2, 3, HEIGHT, width) in [0, 1]."""
    noise = network_checks.photos(1, HEIGHT, width)
    coarse = network_checks.photos(1, 2, width // 16)
    patches = F.interpolate(coarse, (HEIGHT, width), mode="bilinear")
    smooth = 0.9 * patches + 0.1 * noise
    return torch.cat((noise, smooth))


@cache
def whole_image_networks() -> dict[str, str]:
    """Return registered name -> the part that depends on the whole image, of our networks."""
    return yaml.safe_load(WHOLE_IMAGE.read_text(encoding="utf-8"))


def whole_image_part(net: nn.Module) -> str | None:
    """Return the part of `net` that depends on the whole image, or None.

    A network's attribute `whole_image` comes before our list.
    """
    if getattr(net, "local_size", None):  # NAFNet with means of windows
        return None
    part = getattr(net, "whole_image", None)
    if part:
        return part
    kind = type(net)
    return whole_image_networks().get(kind.__name__) if is_ours(kind) else None
