"""Comparison of a graph with its network, on images of several sizes."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.engines.session import first_line
from wxr_plugin.inference.engines.table import ExportError

Run = Callable[[Tensor], Tensor]
"""Function from an image (1, 3, H, W) to the restored image."""
LARGEST = {"fp32": 0.1 / 255, "fp16": 4 / 255, "bf16": 8 / 255}
"""Precision -> largest difference from the network in float32; 1 is white.

A tenth of a level of 255 in float32. The half precisions are also held to MEAN.
"""
MEAN = 0.5 / 255
"""Largest mean of the differences in any precision."""
SIZES = ((37, 53), (64, 47), (96, 64), (131, 150), (64, 128))
"""Heights and widths in pixels: odd, fitting one of the usual strides, both, and larger."""


def sizes(sides: Sides) -> Iterator[tuple[int, int]]:
    """Yield the sizes of SIZES, rounded up to what a graph takes."""
    for size in SIZES:
        height, width = (_rounded(side, sides) for side in size)
        yield height, width


def verify(run: Run, net: nn.Module, sides: Sides, precision: str = "fp32") -> float:
    """Return the largest difference between `run` and the network `net` in float32.

    Results beyond [0, 1] are clamped, as photos are.

    Raises:
        ExportError: it is too large, or `run` fails; the message has the difference and the size.
    """
    largest = 0.0
    for height, width in sizes(sides):
        image = network_checks.photos(1, height, width)
        parameter = next(net.parameters(), image)
        with torch.inference_mode():
            expected = net(image.to(parameter.device)).cpu().clamp(0, 1)
        difference = _difference(run, image, expected)
        largest = max(largest, float(difference.max()))
        if not (largest <= LARGEST[precision] and difference.mean() <= MEAN):
            raise ExportError(
                f"its result differs from torch's by up to {float(difference.max()):.2g} (mean "
                f"{float(difference.mean()):.2g}) at {width}x{height} pixels; {precision} may by "
                f"{LARGEST[precision]:.2g} (mean {MEAN:.2g})"
            )
    return largest


def _difference(run: Run, image: Tensor, expected: Tensor) -> Tensor:
    try:
        result = run(image).float().cpu().clamp(0, 1)
    except Exception as error:  # engines raise anything
        height, width = image.shape[-2:]
        raise ExportError(f"it fails at {width}x{height} pixels: {first_line(error)}") from error
    if result.shape != expected.shape:
        raise ExportError(f"it makes {tuple(result.shape)} of {tuple(image.shape)}")
    # NaN compares as false, so that it fails the bounds above.
    return (result - expected).abs()


def _rounded(side: int, sides: Sides) -> int:
    """Return `side` as the nearest larger side that a graph takes."""
    larger = max(side, sides.least)
    larger += -larger % sides.multiple
    return larger if sides.largest is None else min(larger, sides.largest)
