"""Which device each rank's rating process takes (`train.rating.async.device`)."""

import os
import re

import torch

DEVICE = re.compile(r"[a-z]+(:(\d+|\{rank\}))?")
Devices = str | list[str] | None
"""As in the options: one device for all ranks, one for each, or the default."""


def wrong_device(asked: Devices) -> str | None:
    """Return what is wrong with `asked` and how to write it; None if nothing is."""
    names = asked if isinstance(asked, list) else [asked or "cpu"]
    wrong = [name for name in names if not DEVICE.fullmatch(name)]
    if names and not wrong:
        return None
    what = f"{wrong[0]!r} is no device" if wrong else "an empty list names no device"
    return f"device: {what}; write cpu, cuda, cuda:1, cuda:{{rank}}, or a list such as [cuda:2, cuda:3]"


def rating_device(asked: Devices, rank: int) -> str | None:
    """Return the device that `asked` names for the process `rank` of its node; None where it names none.

    Of a list, rank r takes number r, counted round where there are fewer; {rank} stands for r.
    """
    name = asked[rank % len(asked)] if isinstance(asked, list) else asked
    return name and name.replace("{rank}", str(rank))


def own_gpu(device: str | None, training: torch.device) -> int | None:
    """Return the number of the GPU that a rating process takes as its own; None if it takes none.

    That is the one of `device` or, where that has no number, the one that `training` uses.
    """
    chosen = torch.device(device) if device else training
    if chosen.type != "cuda":
        return None
    on_training = chosen.index is None and training.type == "cuda"
    index = training.index if on_training else chosen.index
    return torch.cuda.current_device() if index is None else index


def crowded(asked: Devices) -> str | None:
    """Return a warning if the rating processes of several ranks share a GPU on which one of the ranks trains."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    name = asked if isinstance(asked, str) else ""
    number = re.fullmatch(r"cuda:(\d+)", name)
    if processes == 1 or not number or int(number[1]) >= processes:
        return None
    return (
        f"train.rating.async.device: all {processes} rating processes of this node share {name}, "
        f"on which one of the "
        "trainings runs as well: cuda:{rank} puts each next to its training, and a list spreads "
        "them"
    )
