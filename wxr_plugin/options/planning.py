"""Plan of a training or test: `wxr train --dry-run` and `wxr test --dry-run`."""

import argparse
import math
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from wxr_plugin.errors import WxrError
from wxr_plugin.options import command_line
from wxr_plugin.options.nested import block


def planned(args: argparse.Namespace, is_train: bool) -> dict[str, Any]:
    """Return what BasicSR's pipeline would do with an option file that was checked.

    Data sets are built and the network on torch's meta device; nothing is run or written.

    Raises:
        WxrError: a data set cannot be built, no state can be resumed, or torchrun started this
            process.
    """
    from basicsr.utils.options import parse_options

    if command_line.launcher(args.launcher) != "none":
        raise WxrError("--dry-run describes one process; leave out the launcher")
    # BasicSR prints that it is not distributed.
    with redirect_stdout(sys.stderr), command_line.command_line(command_line.words(args)):
        opt, _ = parse_options(os.path.abspath(args.root), is_train)
    plan = {
        "name": opt["name"],
        "model": opt["model_type"],
        "network": _network(opt["network_g"]),
        "weights": opt["path"].get("pretrain_network_g"),
        "device": f"{opt['num_gpu']} GPU" if opt["num_gpu"] else "cpu",
        "data_sets": _sizes(opt),
    }
    if is_train:
        plan |= {"iterations": _iterations(opt, plan["data_sets"]), **_resuming(opt)}
    return {**plan, "writes": _folders(opt, args.root, is_train)}


def _network(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the type of a network and the number of its values."""
    from wxr_plugin.checkpoints.fitting import network_shapes

    shapes = network_shapes(dict(options))
    return {"type": options["type"], "parameters": sum(map(math.prod, shapes.values()))}


def _sizes(opt: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the name and the number of images of each data set."""
    from basicsr.data import build_dataset

    sizes = {}
    for phase, options in opt["datasets"].items():
        sizes[phase] = {"name": options.get("name", ""), "images": len(build_dataset(options))}
    return sizes


def _iterations(opt: Mapping[str, Any], sizes: Mapping[str, Mapping]) -> dict[str, Any]:
    """Return iterations, batch size, and the number of epochs that they take."""
    options = opt["datasets"]["train"]
    batch = options["batch_size_per_gpu"]
    images = sizes["train"]["images"] * options.get("dataset_enlarge_ratio", 1)
    total = int(opt["train"]["total_iter"])
    epochs = math.ceil(total / math.ceil(images / batch)) if images else 0
    return {"total": total, "batch_size": batch, "epochs": epochs}


def _resuming(opt: dict[str, Any]) -> dict[str, Any]:
    """Return the state that is resumed, and the iteration of it."""
    from wxr_plugin.checkpoints.resuming import find_state

    resumed = find_state(opt)
    if resumed is None:
        return {"resumes": None}
    path, state = resumed
    return {"resumes": f"{path} (iteration {state['iter']})"}


def _folders(opt: Mapping[str, Any], root: str, is_train: bool) -> list[str]:
    """Return the folders that are written, and what becomes of those that exist."""
    key = "experiments_root" if is_train else "results_root"
    folders = [Path(opt["path"][key])]
    if is_train and block(opt, "logger").get("use_tb_logger"):
        folders.append(Path(root).absolute() / "tb_logger" / opt["name"])
    # BasicSR renames the folders of an earlier run unless this one continues it.
    is_renamed = not (is_train and (opt["auto_resume"] or opt["path"].get("resume_state")))
    lines = []
    for folder in folders:
        note = ""
        if folder.exists():
            note = " (exists and is renamed)" if is_renamed else " (exists and is continued)"
        lines.append(f"{folder}{note}")
    return lines
