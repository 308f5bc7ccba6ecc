"""Graphs of networks: traced by torch.export for many sizes, and translated to ONNX."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from wxr_plugin.contributing import network_checks
from wxr_plugin.inference.engines.table import ExportError
from wxr_plugin.utils.extras import imported

INPUT, OUTPUT = "lq", "restored"
"""Names of the input and the output of a graph."""
TRACED = (69, 83)
"""Height and width in pixels of the image that is traced: odd, so that nothing fits by chance."""
HIGHEST = 1 << 15
"""Largest side in pixels of graphs for multiples."""


class Sides(NamedTuple):
    """Sides in pixels that a graph takes."""

    multiple: int = 1
    least: int = 1
    largest: int | None = None
    """None: no limit."""

    def fit(self, height: int, width: int) -> bool:
        """Return whether an image of this size can go through the graph."""
        return all(self._fits(side) for side in (height, width))

    def _fits(self, side: int) -> bool:
        if side % self.multiple or side < self.least:
            return False
        return self.largest is None or side <= self.largest


class Graph(NamedTuple):
    """A network as traced by torch.export, for images (1, 3, H, W) in float32."""

    program: ExportedProgram
    sides: Sides


class _Half(nn.Module):
    """A network in float16 between an input and an output in float32."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = copy.deepcopy(net).half()

    def forward(self, lq: Tensor) -> Tensor:
        return self.net(lq.half()).float()


def trace(net: nn.Module, multiple: int = 1, precision: str = "fp32") -> Graph:
    """Trace `net`, in eval mode, for images whose height and width are multiples of `multiple`.

    Raises:
        ExportError: torch.export cannot trace the network.
    """
    traced = _Half(net) if precision == "fp16" else net
    image = network_checks.photos(1, *_traced_size(multiple))
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(
                traced.eval(), (image,), dynamic_shapes=(_dimensions(multiple),)
            )
    except Exception as error:  # torch.export raises anything
        raise ExportError(
            f"torch.export cannot trace {type(net).__name__}: {_cause(error)}"
        ) from error
    return Graph(program, _sides(program, multiple, getattr(net, "least", 1)))


def to_onnx(graph: Graph, metadata: dict[str, str]) -> bytes:
    """Return a graph as an ONNX file with `metadata`.

    Raises:
        ExportError: an operation has no translation.
        MissingExtraError: onnx or onnxscript is not installed.
    """
    imported("onnx")
    imported("onnxscript")
    try:
        with torch.no_grad(), _quiet():
            translated = torch.onnx.export(
                graph.program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT]
            )
    except Exception as error:  # so does its translation
        raise ExportError(f"torch.onnx cannot translate it: {_cause(error)}") from error
    assert translated is not None
    model = translated.model_proto
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=value)
    _name_sides(model.graph.input[0])
    _name_sides(model.graph.output[0])
    return model.SerializeToString()


def to_pt2(graph: Graph, metadata: dict[str, str]) -> bytes:
    """Return a graph as a .pt2 file of torch, with `metadata` as its extra files."""
    file = io.BytesIO()
    with _quiet():
        torch.export.save(graph.program, file, extra_files=dict(metadata))
    return file.getvalue()


def _traced_size(multiple: int) -> tuple[int, int]:
    """Return a size near TRACED whose sides are different multiples of `multiple`."""
    height, width = (_rounded_up(side, multiple) for side in TRACED)
    return height, max(width, height + multiple)


def _dimensions(multiple: int) -> dict[int, Any]:
    """Return the dynamic dimensions of an image (1, 3, H, W)."""
    if multiple == 1:
        return {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    highest = HIGHEST // multiple
    names = ("height", "width")
    height, width = (multiple * Dim(name, min=1, max=highest) for name in names)
    return {2: height, 3: width}


def _sides(program: ExportedProgram, multiple: int, least: int) -> Sides:
    """Return the sides of a traced graph; branches of the network may have narrowed them."""
    lowest, highest = [least], [HIGHEST]
    for symbol in _side_symbols(program):
        bounds = program.range_constraints.get(symbol)
        if bounds is None:
            continue
        lowest.append(int(bounds.lower))
        # Without a limit it is an infinity of sympy, which is no int.
        if bounds.upper < HIGHEST:
            highest.append(int(bounds.upper))
    largest = min(highest) if min(highest) < HIGHEST else None
    return Sides(multiple, _rounded_up(max(lowest), multiple), largest)


def _side_symbols(program: ExportedProgram) -> list[Any]:
    """Return the symbols of height and width of the image that a program takes."""
    (name,) = program.graph_signature.user_inputs
    (node,) = (node for node in program.graph.nodes if node.name == name)
    height, width = node.meta["val"].shape[-2:]
    return [height.node.expr, width.node.expr]


def _rounded_up(side: int, multiple: int) -> int:
    return side + -side % multiple


def _name_sides(value: Any) -> None:
    """Name the last two dimensions of an ONNX value, which torch names s1 and s2."""
    dimensions = value.type.tensor_type.shape.dim
    for dimension, name in zip(dimensions[-2:], ("height", "width")):
        dimension.Clear()
        dimension.dim_param = name


def _cause(error: BaseException) -> str:
    """Return the first line of the innermost cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters from printing, logging and warning."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
