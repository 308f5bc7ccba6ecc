"""The session of an engine for a network: traced once, verified on this machine, both cached."""

import logging
from pathlib import Path

import torch
from torch import nn

from wxr_plugin.inference.engines import cache
from wxr_plugin.inference.engines.graphs import Sides, to_onnx, trace
from wxr_plugin.inference.engines.openvino_session import OpenVinoSession, check_precision
from wxr_plugin.inference.engines.ort import OrtSession, providers_of
from wxr_plugin.inference.engines.session import EngineError, Session
from wxr_plugin.inference.engines.table import ExportError, multiple_of
from wxr_plugin.inference.engines.verifying import verify
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.files import write_bytes

PACKAGES = {
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "tensorrt": ("onnxruntime",),
}
"""Engine -> packages that it needs in addition to those of the export."""
_LOG = logging.getLogger("basicsr")


class NetworkGraph:
    """The graph of one network in the cache, and its sessions in the engines.

    Args:
        net: the network, in eval mode on `device`.
        device: the device of the restorer.
        precision: fp32, bf16 or fp16.
    """

    def __init__(self, net: nn.Module, device: torch.device, precision: str = "fp32"):
        self.net, self.device, self.precision = net, device, precision
        self.multiple = multiple_of(net)
        self.folder = cache.folder() / cache.digest(net)
        self._record = self.folder / f"verified-{_hashed(cache.machine(device))}.json"

    def session(self, engine: str) -> Session:
        """Return the verified session of `engine`.

        Raises:
            EngineError: the engine is not usable for this device or precision, or its result
                differs from torch's.
            MissingExtraError: a package is not installed.
        """
        check_engine(engine, self.device, self.precision)
        try:
            session = self._loaded(engine)
            self._verify(engine, session)
        except ExportError as error:
            name = type(self.net).__name__
            raise EngineError(f"engine {engine} for {name}: {error}; take torch") from error
        return session

    def seconds(self) -> dict[str, float]:
        """Return engine -> seconds as measured on this machine; empty before."""
        times = cache.read_record(self._record).get(f"seconds-{self.precision}", {})
        return dict(times)

    def remember(self, seconds: dict[str, float]) -> None:
        """Keep measured times: engine -> seconds."""
        self._note(f"seconds-{self.precision}", seconds)

    def _loaded(self, engine: str) -> Session:
        model, sides = self._graph()
        if engine == "openvino":
            return OpenVinoSession(model, sides, self.precision)
        providers = providers_of(engine, self.device, self.precision, self.folder)
        return OrtSession(model, sides, providers, engine)

    def _graph(self) -> tuple[Path, Sides]:
        """Return the ONNX file of the network, traced if it is not cached, and its sides."""
        # TensorRT and OpenVINO convert a float32 graph themselves.
        precision = "fp16" if self.precision == "fp16" and self.device.type == "cuda" else "fp32"
        file = self.folder / f"{precision}.onnx"
        stored = cache.read_record(file.with_suffix(".json"))
        if file.is_file() and stored:
            return file, Sides(**stored)
        _LOG.info(f"exporting {type(self.net).__name__} for engines; it is kept in {self.folder}")
        graph = trace(self.net, self.multiple, precision)
        write_bytes(file, to_onnx(graph, {}))
        cache.write_record(file.with_suffix(".json"), graph.sides._asdict())
        return file, graph.sides

    def _verify(self, engine: str, session: Session) -> None:
        key = f"difference-{engine}-{self.precision}"
        if key not in cache.read_record(self._record):
            difference = verify(session, self.net, session.sides, self.precision)
            self._note(key, difference)

    def _note(self, key: str, value: object) -> None:
        record = cache.read_record(self._record)
        cache.write_record(self._record, {**record, key: value})


def check_engine(engine: str, device: torch.device, precision: str) -> None:
    """Raise EngineError, or MissingExtraError, for an engine that cannot compute like this here."""
    for package in (*PACKAGES[engine], "onnx", "onnxscript"):
        imported(package)
    if engine == "openvino":
        if device.type != "cpu":
            raise EngineError("engine openvino runs on a CPU: take the device cpu")
        check_precision(precision)
    elif engine == "tensorrt" and device.type != "cuda":
        raise EngineError("engine tensorrt needs an NVIDIA GPU: take the device cuda")
    elif precision == "bf16":
        raise EngineError(
            f"engine {engine} does not compute in bf16: take fp32, or the engine openvino"
        )


def _hashed(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:12]
