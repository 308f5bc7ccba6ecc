"""The device of each rank's rating process (`train.rating.async.device`)."""

import os
import re

import torch

DEVICE = re.compile(r"[a-z]+(:(\d+|\{rank\}))?")
Devices = str | list[str] | None
"""As in the options: one device for all ranks, one for each, or the default."""


def wrong_device(devices: Devices) -> str | None:
    """Return the error of the option `devices` and how to write it; None if it is correct."""
    names = devices if isinstance(devices, list) else [devices or "cpu"]
    wrong = [name for name in names if not DEVICE.fullmatch(name)]
    if names and not wrong:
        return None
    error = f"{wrong[0]!r} is not a device" if wrong else "an empty list names no device"
    return (
        f"device: {error}; write cpu, cuda, cuda:1, cuda:{{rank}}, or a list such as "
        "[cuda:2, cuda:3]"
    )


def rating_device(devices: Devices, rank: int) -> str | None:
    """Return the device of the process `rank` of its node; None for the default.

    Rank r takes entry r modulo the length of a list; {rank} stands for r.
    """
    name = devices[rank % len(devices)] if isinstance(devices, list) else devices
    return name and name.replace("{rank}", str(rank))


def own_gpu(device: str | None, training: torch.device) -> int | None:
    """Return the number of the GPU of a rating process; None if it runs elsewhere.

    That is the number of `device` or, if it has none, of the GPU that `training` uses.
    """
    chosen = torch.device(device) if device else training
    if chosen.type != "cuda":
        return None
    on_training = chosen.index is None and training.type == "cuda"
    index = training.index if on_training else chosen.index
    return torch.cuda.current_device() if index is None else index


def crowded(devices: Devices) -> str | None:
    """Return a warning if the rating processes of several ranks share the GPU of one rank."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    name = devices if isinstance(devices, str) else ""
    number = re.fullmatch(r"cuda:(\d+)", name)
    # Ranks train on cuda:0 to cuda:(processes - 1), so a higher number is a GPU for rating alone.
    if processes == 1 or not number or int(number[1]) >= processes:
        return None
    return (
        f"train.rating.async.device: all {processes} rating processes of this node share {name}, "
        "on which one rank trains as well: cuda:{rank} puts each process on the GPU of its own "
        "rank, and a list spreads them"
    )
