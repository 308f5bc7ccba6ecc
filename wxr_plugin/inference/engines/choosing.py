"""The engine that a restorer runs: the named one, or the fastest of those that are verified."""

import logging
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from wxr_plugin.contributing import network_checks
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.engines.building import NetworkGraph
from wxr_plugin.inference.engines.session import EngineError, Session
from wxr_plugin.inference.engines.table import ExportError
from wxr_plugin.inference.packaged import ENGINES

SIDE = 256
"""Side in pixels of the image that engines are timed on."""
RUNS = 3
"""Timed runs of each engine; the fastest one counts."""
GAIN = 1.1
"""Times that an engine has to be as fast as torch to be chosen."""
_LOG = logging.getLogger("basicsr")


def session_of(
    net: nn.Module,
    engine: str,
    device: torch.device,
    precision: str,
    run_torch: Callable[[Tensor], Tensor],
) -> Session | None:
    """Return the session of `engine` for `net`; None where torch runs it.

    Args:
        net: the network, in eval mode on `device`.
        engine: one of ENGINES. `auto` takes the fastest one, which is measured once for a network
            and machine and kept in the cache.
        device: the device of the restorer.
        precision: fp32, bf16 or fp16.
        run_torch: the network in torch, with its precision.

    Raises:
        EngineError: a named engine cannot run the network; the message has the reason.
        MissingExtraError: a package of a named engine is not installed.
    """
    if engine not in ENGINES:
        raise WxrError(f"engine {engine!r}: take one of {', '.join(ENGINES)}")
    if engine == "torch":
        return None
    try:
        graph = NetworkGraph(net, device, precision)
    except ExportError as error:
        if engine == "auto":
            return None
        raise EngineError(f"engine {engine}: {error}; take torch") from error
    return _fastest(graph, run_torch) if engine == "auto" else graph.session(engine)


def candidates(device: torch.device) -> tuple[str, ...]:
    """Return the engines that may be faster than torch on a kind of device."""
    return ("tensorrt", "onnxruntime") if device.type == "cuda" else ("openvino", "onnxruntime")


def _fastest(graph: NetworkGraph, run_torch: Callable[[Tensor], Tensor]) -> Session | None:
    seconds = graph.seconds()
    if "torch" not in seconds:
        seconds = _measured(graph, run_torch)
        graph.remember(seconds)
    name = min(seconds, key=lambda engine: seconds[engine])
    if seconds["torch"] < GAIN * seconds[name]:
        return None
    _LOG.info(f"engine {name}: {seconds['torch'] / seconds[name]:.1f} times as fast as torch")
    return graph.session(name)


def _measured(graph: NetworkGraph, run_torch: Callable[[Tensor], Tensor]) -> dict[str, float]:
    """Return engine -> seconds for an image, of torch and of the usable engines."""
    image = network_checks.photos(1, SIDE, SIDE).to(graph.device)
    with torch.inference_mode():
        seconds = {"torch": _seconds(run_torch, image)}
        for engine in candidates(graph.device):
            try:
                session = graph.session(engine)
                seconds[engine] = _seconds(session, image)
            except (WxrError, MemoryError) as error:
                # Not installed, not for this precision, or another result.
                _LOG.debug(f"engine {engine} is left out: {error}")
    return seconds


def _seconds(run: Callable[[Tensor], Tensor], image: Tensor) -> float:
    """Return the seconds of the fastest of RUNS calls, after one that compiles."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        run(image)
        if image.device.type == "cuda":
            torch.cuda.synchronize(image.device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
