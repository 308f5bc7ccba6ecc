"""ONNX Runtime, on a CPU, with CUDA, and with TensorRT."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.inference.engines.graphs import Sides
from wxr_plugin.inference.engines.session import EngineError, Session, first_line
from wxr_plugin.utils.extras import imported

CPU, CUDA, TENSORRT = (
    "CPUExecutionProvider",
    "CUDAExecutionProvider",
    "TensorrtExecutionProvider",
)
FIX = {
    CUDA: "install onnxruntime-gpu in place of onnxruntime",
    TENSORRT: "install onnxruntime-gpu in place of onnxruntime, and tensorrt",
}
"""Provider -> how to get it."""
Providers = list[tuple[str, dict[str, Any]]]
"""Names of execution providers with their options, the preferred one first."""


class OrtSession(Session):
    """A graph in ONNX Runtime; as many threads as torch has.

    Args:
        model: the ONNX file, or its content.
        sides: sides in pixels that the graph takes.
        providers: as `providers_of` returns them; default: the CPU.
        name: onnxruntime or tensorrt.
    """

    def __init__(
        self,
        model: Path | bytes,
        sides: Sides,
        providers: Providers | None = None,
        name: str = "onnxruntime",
    ):
        super().__init__(sides)
        self.name = name
        runtime = imported("onnxruntime")
        self.device = torch.device("cpu")
        if providers and providers[0][0] != CPU:
            self.device = torch.device("cuda", providers[0][1]["device_id"])
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors
        content = model if isinstance(model, bytes) else str(model)
        try:
            self.session = runtime.InferenceSession(
                content, options, providers=providers or [(CPU, {})]
            )
        except Exception as error:  # ONNX Runtime raises anything
            raise EngineError(f"ONNX Runtime cannot load the graph: {first_line(error)}") from error
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name

    def run(self, image: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return self._bound(image)
        pixels = image.detach().cpu().contiguous().numpy()
        (restored,) = self.session.run([self.output], {self.input: pixels})
        return torch.from_numpy(restored).to(image.device)

    def _bound(self, image: Tensor) -> Tensor:
        """Return the result of an image on a GPU without copies to main memory."""
        image = image.contiguous().to(self.device)
        restored = torch.empty_like(image)
        binding = self.session.io_binding()
        shape = tuple(image.shape)
        place = ("cuda", self.device.index, np.float32, shape)
        binding.bind_input(self.input, *place, image.data_ptr())
        binding.bind_output(self.output, *place, restored.data_ptr())
        # ONNX Runtime has a stream of its own.
        torch.cuda.synchronize(self.device)
        self.session.run_with_iobinding(binding)
        return restored


def providers_of(name: str, device: torch.device, precision: str, cache: Path) -> Providers:
    """Return the execution providers of `name`, onnxruntime or tensorrt, on `device`.

    Args:
        name: the engine.
        device: device of the restorer.
        precision: fp32 or fp16.
        cache: folder in which TensorRT keeps what it has built.

    Raises:
        EngineError: this build of ONNX Runtime lacks the provider.
    """
    if device.type == "cpu":
        return [(CPU, {})]
    on_gpu = {"device_id": device.index or 0}
    providers: Providers = [(CUDA, on_gpu)]
    if name == "tensorrt":
        options = {
            **on_gpu,
            "trt_fp16_enable": precision == "fp16",
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(cache),
        }
        providers.insert(0, (TENSORRT, options))
    available = imported("onnxruntime").get_available_providers()
    first, _ = providers[0]
    if first not in available:
        raise EngineError(f"{name} needs the {first} of ONNX Runtime: {FIX[first]}")
    return providers
