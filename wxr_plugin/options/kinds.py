"""Purpose of an option file: a benchmark, a run of WResVLM, or a training or test."""

from collections.abc import Mapping
from typing import Any


def is_benchmark_file(opt: Mapping[str, Any]) -> bool:
    """Return whether `opt` is of a benchmark, not of a training."""
    # A training has a model, whatever else a third party's model may read.
    return "methods" in opt and "sets" in opt and "model_type" not in opt


def is_run_file(opt: Mapping[str, Any]) -> bool:
    """Return whether `opt` is of a whole run of WResVLM, not of one training."""
    return "rounds" in opt and "model_type" not in opt
