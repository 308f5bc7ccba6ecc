"""What an option file is for: a benchmark, a run of WResVLM, or a training."""

from collections.abc import Mapping
from typing import Any


def is_benchmark_file(opt: Mapping[str, Any]) -> bool:
    """Whether options are those of a benchmark, and not of a training."""
    return "methods" in opt and "sets" in opt and "model_type" not in opt


def is_run_file(opt: Mapping[str, Any]) -> bool:
    """Whether options are those of a whole run, and not of one training."""
    return "rounds" in opt and "model_type" not in opt
