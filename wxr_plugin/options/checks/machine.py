"""Check that this machine has the packages and devices that an option file names."""

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import Keys, OptionMap, block


def check_machine(report: Report, opt: OptionMap) -> None:
    """Report missing packages of the logger, and devices that this machine does not have."""
    logger = opt.get("logger")
    # BasicSR switches both loggers off in debug mode.
    if report.is_train and isinstance(logger, Mapping) and "debug" not in str(opt.get("name")):
        _check_packages(report, logger)
    for keys, value in _devices((), opt):
        fault = missing_device(value)
        if fault:
            report.add(keys, fault, "name a device that this machine has, or leave the key out")


def missing_device(name: str) -> str:
    """Return why this machine has no device `name` (cpu, cuda, cuda:1, ...); "" if it has one."""
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
    if (device.index or 0) >= count:
        return f"{name}: this machine has {count} CUDA GPU(s), numbered from 0"
    return ""


def _check_packages(report: Report, logger: OptionMap) -> None:
    if logger.get("use_tb_logger") is True and not importlib.util.find_spec("tensorboard"):
        fix = "pip install tensorboard, or set use_tb_logger: false"
        report.add("logger.use_tb_logger", "the package tensorboard is not installed", fix)
    uses_wandb = block(logger, "wandb").get("project") is not None
    if uses_wandb and not importlib.util.find_spec("wandb"):
        fix = "pip install wandb, or take the block out"
        report.add("logger.wandb", "the package wandb is not installed", fix)


def _devices(keys: Keys, value: Any) -> Iterator[tuple[Keys, str]]:
    """Yield path and text of every key `device` at any depth of a block."""
    if not isinstance(value, Mapping):
        return
    for key, item in value.items():
        # cuda:{rank} is filled in by each process.
        if key == "device" and isinstance(item, str) and "{" not in item:
            yield (*keys, key), item
        else:
            yield from _devices((*keys, str(key)), item)
