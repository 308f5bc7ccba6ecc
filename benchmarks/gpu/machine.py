"""The device by itself: versions, matrix rate and memory bandwidth, for comparison."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks.gpu.bench import Bench, Figure

PACKAGES = (
    "wxr_plugin", "basicsr", "torch", "torchvision", "triton", "transformers", "open_clip_torch",
    "spandrel", "numpy",
)  # fmt: skip
INFO = "machine.json"


def run(bench: Bench) -> None:
    """Write INFO next to the rows, then measure the device's matrix rate and bandwidth."""
    bench.file.with_name(INFO).write_text(json.dumps(describe(bench.device)), encoding="utf-8")
    for name, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        bench.case(f"matrix product, {name}", lambda dtype=dtype: matmul_peak(bench, dtype), 3)
    bench.case("copy on the device, bytes read and written", lambda: copy_rate(bench), 3)


def matmul_peak(bench: Bench, dtype: torch.dtype = torch.bfloat16) -> Figure:
    """Measure a large product of random matrices in TFLOP/s: the peak that shares refer to."""
    side = 256 if bench.tiny else 8192
    left, right = (torch.randn(side, side, device=bench.device).to(dtype) for _ in range(2))
    timing = bench.time(lambda: left @ right, repetitions=20, warmup=3)
    return timing.rate(2 * side**3 / 1e12, "TFLOP/s", f"{side}x{side}x{side}")


def copy_rate(bench: Bench) -> Figure:
    """Measure a copy within the device's memory in GB/s, reads and writes together."""
    count = 1 << (20 if bench.tiny else 30)
    source = torch.empty(count, dtype=torch.float32, device=bench.device).normal_()
    target = torch.empty_like(source)
    return bench.time(lambda: target.copy_(source)).rate(8 * count / 1e9, "GB/s")


def describe(device: torch.device) -> dict[str, Any]:
    """Return device, versions and settings that the figures depend on, in plain types."""
    versions = {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}
    versions["torch"] = torch.__version__  # with its build
    settings = {
        "cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "threads": torch.get_num_threads(),
    }
    return {"device": _device(device), "versions": versions, "settings": settings}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device(device: torch.device) -> dict[str, Any]:
    if device.type != "cuda":
        return {"type": device.type, "name": platform.processor() or platform.machine()}
    properties = torch.cuda.get_device_properties(device)
    return {
        "type": "cuda",
        "name": properties.name,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": ".".join(map(str, torch.cuda.nccl.version()))
        if torch.distributed.is_nccl_available()
        else None,
    }
