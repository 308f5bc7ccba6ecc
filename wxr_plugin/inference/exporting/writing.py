"""Export of a restorer's network to a file: traced, verified against torch, then written."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from wxr_plugin.errors import WxrError
from wxr_plugin.inference.engines.graphs import Graph, to_onnx, to_pt2, trace
from wxr_plugin.inference.engines.ort import OrtSession
from wxr_plugin.inference.engines.table import ONNX, SUFFIXES, ExportError, multiple_of
from wxr_plugin.inference.engines.verifying import Run, verify
from wxr_plugin.inference.exporting.facts import facts_of
from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.files import check_file, write_bytes

PRECISIONS = ("fp32", "fp16")


class Exported(NamedTuple):
    """An exported file."""

    path: Path
    facts: dict[str, str]
    """Its metadata."""
    largest_difference: float
    """Largest difference from torch in float32 on the images of the verification; 1 is white."""
    bytes: int


def checked_output(path: Path, overwrite: bool = False) -> str:
    """Return the suffix of the file `path`, .onnx or .pt2.

    Raises:
        WxrError: another suffix, a file that exists, a missing package, or a place that cannot be
            written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise WxrError(f"{path}: name a file that ends in {' or '.join(SUFFIXES)}")
    check_file(path)
    if path.exists() and not overwrite:
        raise WxrError(f"{path} exists: choose another name, or add --overwrite")
    if suffix == ONNX:
        for package in ("onnx", "onnxscript", "onnxruntime"):
            imported(package)
    return suffix


def export(
    net: nn.Module, spec: RestorerSpec, path: Path, precision: str = "fp32", overwrite: bool = False
) -> Exported:
    """Write `net`, in eval mode, as the ONNX or .pt2 file `path`.

    The file is compared with the network before it is written, so that a failure leaves nothing.

    Raises:
        ExportError: the network cannot be exported, or the file gives another result.
        WxrError: as `checked_output`.
    """
    suffix = checked_output(path, overwrite)
    try:
        graph = trace(net, multiple_of(net, suffix), precision)
        facts = facts_of(net, spec, graph.sides, precision)
        content = to_onnx(graph, facts) if suffix == ONNX else to_pt2(graph, facts)
        run = _runner(suffix)(graph, content)
        difference = verify(run, net, graph.sides, precision)
    except ExportError as error:
        raise ExportError(f"{spec.name or path.stem}: {error}; nothing was written") from error
    write_bytes(path, content)
    return Exported(path, facts, difference, len(content))


def _runner(suffix: str) -> Callable[[Graph, bytes], Run]:
    return _onnx_runner if suffix == ONNX else _pt2_runner


def _onnx_runner(graph: Graph, content: bytes) -> Run:
    return OrtSession(content, graph.sides)


def _pt2_runner(graph: Graph, content: bytes) -> Run:
    module = torch.export.load(io.BytesIO(content)).module()

    def run(image: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return module(image)

    return run
