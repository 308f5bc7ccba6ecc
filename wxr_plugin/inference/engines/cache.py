"""Cache of graphs and measurements: keyed by weights, code, versions and processor."""

import hashlib
import inspect
import json
import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wxr_plugin.utils.files import write_text

PACKAGES = (
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
)
"""Packages whose versions are part of a key."""
SIMPLE = (bool, int, float, str, type(None), tuple, list)
"""Types of the attributes of a layer that are part of a digest."""


def folder() -> Path:
    """Return the folder of the cache: engines of wxr_plugin in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "wxr_plugin" / "engines"


def digest(net: nn.Module) -> str:
    """Return 16 hex digits of a network: its layers with their settings, their code, its weights.

    Networks with equal digests have equal graphs.
    """
    total = hashlib.sha256(f"{package_version()} {versions()}".encode())
    kinds: set[Any] = {type(layer) for layer in net.modules()}
    for source in sorted({_source(kind) for kind in kinds}):
        total.update(source.encode())
    for name, layer in net.named_modules():
        settings = {key: value for key, value in vars(layer).items() if isinstance(value, SIMPLE)}
        line = f"{name} {type(layer).__qualname__} {layer.extra_repr()} {sorted(settings)}"
        total.update(f"{line} {[settings[key] for key in sorted(settings)]}".encode())
    for name, tensor in net.state_dict().items():
        total.update(name.encode())
        contiguous = tensor.detach().cpu().contiguous()
        total.update(contiguous.flatten().view(torch.uint8).numpy())
    return total.hexdigest()[:16]


def package_version() -> str:
    """Return the version of this package."""
    # Imported already; an import of the root from here would be a cycle of floors.
    return sys.modules["wxr_plugin"].__version__


@cache
def _source(kind: Any) -> str:
    """Return the code of the module of a class; torch's own is in the versions."""
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__.split(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):  # classes of a notebook
        return kind.__qualname__


@cache
def versions() -> str:
    """Return the versions of torch and of the engines that are installed."""
    lines = []
    for package in PACKAGES:
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(lines)


def machine(device: torch.device) -> str:
    """Return the processor that measurements are of, with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_cpu()}, {torch.get_num_threads()} threads"


@cache
def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def read_record(file: Path) -> dict[str, Any]:
    """Return the content of a JSON file of the cache; empty if it is missing or damaged."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(file: Path, record: dict[str, Any]) -> None:
    """Write a JSON file of the cache atomically."""
    write_text(file, json.dumps(record, indent=1))
