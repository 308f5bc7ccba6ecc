"""OpenVINO on a CPU, in float32 or bfloat16."""

from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.engines.session import EngineError, Session, first_line
from wxr_plugin.utils.extras import imported

HINTS = {"fp32": "f32", "bf16": "bf16"}
COMPILED = 2
"""Sizes whose compiled graphs are kept; a row of tiles has two sizes at most."""


class OpenVinoSession(Session):
    """A graph in OpenVINO; as many threads as torch has.

    A graph is compiled for each size: on tiles that is up to twice as fast as one graph for all.

    Args:
        model: the ONNX file.
        sides: sides in pixels that the graph takes.
        precision: fp32 or bf16.

    Raises:
        EngineError: another precision, or a CPU without bfloat16.
    """

    name = "openvino"

    def __init__(self, model: Path, sides: Sides, precision: str = "fp32"):
        super().__init__(sides)
        check_precision(precision)
        self.precision = precision
        self.model = _core().read_model(str(model))
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()

    def run(self, image: Tensor) -> Tensor:
        pixels = image.detach().cpu().contiguous().numpy()
        request = self._request(tuple(pixels.shape))
        results = request.infer([pixels], share_inputs=True)
        # A copy: the request writes its next result to the same memory.
        restored = torch.from_numpy(results[0].copy())
        return restored.to(image.device)

    def _request(self, shape: tuple[int, ...]) -> Any:
        """Return the compiled graph for images of `shape`."""
        if shape not in self._requests:
            # Dropped first, so that there is memory for the new one.
            while len(self._requests) >= COMPILED:
                self._requests.popitem(last=False)
            self._requests[shape] = self._compiled(shape)
        self._requests.move_to_end(shape)
        return self._requests[shape]

    def _compiled(self, shape: tuple[int, ...]) -> Any:
        self.model.reshape(list(shape))
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            compiled = _core().compile_model(self.model, "CPU", settings)
        except MemoryError:
            raise
        except Exception as error:  # OpenVINO raises RuntimeError for any reason
            raise EngineError(f"OpenVINO cannot compile the graph: {first_line(error)}") from error
        return compiled.create_infer_request()


def check_precision(precision: str) -> None:
    """Raise EngineError unless OpenVINO computes in `precision` on this CPU."""
    if precision not in HINTS:
        raise EngineError(
            f"engine openvino computes in {' or '.join(HINTS)}, not in {precision}; take one of "
            "these"
        )
    if precision == "bf16" and not has_bf16():
        raise EngineError("this CPU has no bfloat16 (AVX512-BF16 or AMX); take fp32")


def has_bf16() -> bool:
    """Return whether OpenVINO finds instructions for bfloat16 on this CPU."""
    return "BF16" in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> Any:
    return imported("openvino").Core()
