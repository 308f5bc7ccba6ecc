"""What an option file needs of this machine: packages and devices."""

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from wxr_plugin.options.checks.report import Keys, Report

PIP = {"wandb": "pip install wandb", "tensorboard": "pip install tensorboard"}


def check_machine(report: Report, opt: Mapping[str, Any]) -> None:
    """Report packages that are not installed and devices that are not there, in a file for training or testing."""
    logger = opt.get("logger")
    if report.is_train and isinstance(logger, Mapping) and "debug" not in str(opt.get("name")):
        _check_packages(report, logger)
    for keys, value in _devices((), opt):
        problem = missing_device(value)
        if problem:
            report.add(keys, problem, "name a device that this machine has, or leave the key out")


def missing_device(name: str) -> str:
    """Return why this machine has no device `name` (cpu, cuda, cuda:1, …); "" if it has."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        return f"no device is called {name!r} (cpu, cuda, cuda:1, ...)"
    if device.type != "cuda":
        return ""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        return f"{name}: this machine has no CUDA GPU that torch can use"
    return (
        f"{name}: this machine has {count} CUDA GPU(s), numbered from 0"
        if (device.index or 0) >= count
        else ""
    )


def _check_packages(report: Report, logger: Mapping[str, Any]) -> None:
    if logger.get("use_tb_logger") is True and not importlib.util.find_spec("tensorboard"):
        fix = f"{PIP['tensorboard']}, or set use_tb_logger: false"
        report.add(("logger", "use_tb_logger"), "the package tensorboard is not installed", fix)
    wandb = logger.get("wandb")
    wants_wandb = isinstance(wandb, Mapping) and wandb.get("project") is not None
    if wants_wandb and not importlib.util.find_spec("wandb"):
        fix = f"{PIP['wandb']}, or take the block out"
        report.add(("logger", "wandb"), "the package wandb is not installed", fix)


def _devices(keys: Keys, block: Any) -> Iterator[tuple[Keys, str]]:
    """Yield every text under a key `device` in a block of options, with its key path."""
    if not isinstance(block, Mapping):
        return
    for key, value in block.items():
        if key == "device" and isinstance(value, str) and "{" not in value:
            yield (*keys, key), value
        else:
            yield from _devices((*keys, str(key)), value)
