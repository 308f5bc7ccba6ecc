"""The table of exports: which networks become a graph, for which sizes, and why others do not."""

from functools import cache
from importlib import resources

import msgspec
import yaml
from torch import nn

from wxr_plugin.archs.context import context_inputs
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.diffusion import predicts_noise
from wxr_plugin.utils.namesakes import is_ours

FILE = resources.files(__package__) / "exports.yml"
ONNX, PT2 = ".onnx", ".pt2"
SUFFIXES = (ONNX, PT2)
"""Formats of exported files: ONNX, and the exported program of torch."""

STRIDE = 64
"""Multiple of the sides of .pt2 files.

torch.export guards what it has seen of a padded image, such as its strides; a multiple of all usual
strides needs no padding.
"""


class ExportError(WxrError):
    """A network cannot be exported, or its graph gives another result."""


class Export(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The exports of one network: the multiple of its sides, or the reason why there is none."""

    onnx: int | str = 1
    """Number that height and width of the ONNX file's input are multiples of, or a reason."""
    pt2: int | str = STRIDE
    """The same for the .pt2 file."""


@cache
def exports() -> dict[str, Export]:
    """Return registered name -> exports of our networks."""
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return msgspec.convert(entries, dict[str, Export])


def multiple_of(net: nn.Module, suffix: str = ONNX) -> int:
    """Return the number that height and width are multiples of in a graph of `net`.

    A network of another package can declare it as an attribute `export_multiple`; by default it is
    that of `Export`.

    Raises:
        ExportError: the network cannot be exported; the message has the reason.
    """
    name = type(net).__name__
    if predicts_noise(net):
        raise ExportError(f"{name} is not exported: it is sampled in steps, and a graph is one")
    inputs = context_inputs(net)
    if inputs:
        raise ExportError(
            f"{name} is not exported: it also takes a context ({', '.join(inputs)}), and a graph "
            "takes an image alone"
        )
    declared = getattr(net, "export_multiple", None)
    if declared is not None:
        return int(declared)
    # A network of another package may have the name of one of ours.
    listed_ours = exports().get(name) if is_ours(type(net)) else None
    entry = listed_ours or Export()
    listed = entry.onnx if suffix == ONNX else entry.pt2
    if isinstance(listed, str):
        raise ExportError(f"{name} is not exported as {suffix}: {listed}")
    return listed
