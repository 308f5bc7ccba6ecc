"""torch.compile of the trained network: a step compiled, and how long the first one takes."""

import time
from functools import partial
from typing import Any

import torch

from benchmarks.gpu.bench import Bench, Figure
from benchmarks.gpu.training import COMPILED, STOCK, step_time


def run(bench: Bench) -> None:
    """Measure the compiled variants of both networks, against stock measured in this process."""
    names, networks = list(COMPILED), ["NAFNet", "MSBDN"]
    if bench.tiny:
        names, networks = names[:1], networks[:1]
    for name in names:
        for network in networks:
            stock = bench.case(
                f"{network}, {STOCK}", partial(step_time, bench, network, "SRModel", {})
            )
            bench.case(
                f"{network}, {name}", partial(compiled, bench, network, COMPILED[name], stock), 60
            )


def compiled(bench: Bench, network: str, train: dict[str, Any], stock: Figure | None) -> Figure:
    """Measure a compiled step; the note says how long the row took with compiling."""
    if bench.device.type == "cpu":
        train = train | {"compile": {"backend": "eager"}}  # compiling kernels takes minutes there
    torch.compiler.reset()
    start = time.perf_counter()
    figure = step_time(bench, network, "WxrModel", train, stock)
    return figure._replace(
        note=f"{figure.note}; compiled in less than {time.perf_counter() - start:.0f} s"
    )
