"""Repairs of option files, and of the start, the log and the resume of a run."""

import argparse
import errno
import math
import random
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wxr_plugin.compat.machinery import lacks, repairs, uses


@repairs("basicsr.utils.options:ordered_yaml", lacks("SafeLoader", "CSafeLoader"))
def ordered_yaml(original: Callable) -> tuple[type, type]:
    """Read option files with a loader that never runs code; no upstream thread known."""
    from wxr_plugin.options.safe_yaml import OptionLoader

    return OptionLoader, original()[1]


@repairs("basicsr.utils.options:parse_options", lacks("--local-rank"))
def parse_options(original: Callable, root_path: str, is_train: bool = True) -> tuple[dict, Any]:
    """Accept `--local-rank` (BasicSR#626), and --force_yml without eval and exec.

    torchrun is recognised without --launcher, the `plugins` of the file are imported, the process
    group gets `dist_params` (backend, timeout) under every launcher, and the ranks share one seed
    if the file has none. References to the hub are fetched and get their commit. BasicSR's
    function does the rest with the options that are read here.
    """
    from wxr_plugin.options import command_line, pinning
    from wxr_plugin.utils.ranks import gathered

    parser = argparse.ArgumentParser()
    command_line.add_arguments(parser)
    args = parser.parse_args()
    args.launcher = command_line.launcher(args.launcher)
    options = command_line.read_options(args)
    # Before the process group exists, whose time-out a long download would exceed.
    pins = pinning.fetch_references(options)
    if args.launcher != "none":
        _start_group(args.launcher, options)
        # A branch may have moved since rank 0 asked.
        pins = gathered(pins)[0]
    options = pinning.replace_references(options, pins)
    line = command_line.words(args, overrides=False)
    with _options_in_place_of_file(options), command_line.command_line(line):
        return original(root_path, is_train)[0], args


def _start_group(launcher: str, options: dict) -> None:
    """Start the process group, and give all ranks the seed of rank 0 if the file has none."""
    import torch.distributed as dist
    from basicsr.utils import dist_util

    params = dict(options.get("dist_params") or {})
    # nccl, the default, needs a GPU.
    if options["num_gpu"] == 0:
        params["backend"] = "gloo"
    dist_util.init_dist(launcher, **params)
    seed = [options.get("manual_seed") or random.randint(1, 10000)]
    if options.get("manual_seed") is None:
        dist.broadcast_object_list(seed)
        options["manual_seed"] = seed[0]


@contextmanager
def _options_in_place_of_file(options: dict) -> Iterator[None]:
    """Let BasicSR's parse_options read `options` from any file within the block."""
    from basicsr.utils import options as host

    # yaml.load(stream, Loader=...) calls these two methods of the loader.
    loader = types.SimpleNamespace(get_single_data=lambda: options, dispose=lambda: None)
    before = host.ordered_yaml
    host.ordered_yaml = lambda: (lambda stream: loader, None)
    try:
        yield
    finally:
        host.ordered_yaml = before


@repairs("basicsr.train:train_pipeline", uses("make_exp_dirs"))
def train_pipeline(original: Callable, root_path: str) -> None:
    """Put the folders of an earlier run back if the start fails; stock has renamed them by then.

    No upstream thread known.
    """
    from wxr_plugin.options.starting import undone_on_failure

    with undone_on_failure():
        original(root_path)


@repairs("basicsr.test:test_pipeline", uses("make_exp_dirs"))
def test_pipeline(original: Callable, root_path: str) -> None:
    """Put the folder in results/ back, as `train_pipeline` does. No upstream thread known."""
    from wxr_plugin.options.starting import undone_on_failure

    with undone_on_failure():
        original(root_path)


@repairs("basicsr.utils.misc:mkdir_and_rename", lacks("note_archives"))
def mkdir_and_rename(original: Callable, path: str) -> None:
    """Remember the renamed folder, so that a failed start can undo it. No upstream thread known.

    Two starts within a second, at which stock fails, get two archives.
    """
    from wxr_plugin.options import starting

    before = starting.archives(path)
    try:
        original(path)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        time.sleep(1)  # the name of an archive has whole seconds
        original(path)
    starting.note_archives(path, before)


@repairs("basicsr.utils.logger:MessageLogger.reset_start_time", lacks("confirm"))
def reset_start_time(original: Callable, self: Any) -> None:
    """Confirm the start: train_pipeline calls this after the first iteration.

    No upstream thread known.
    """
    from wxr_plugin.options.starting import confirm

    confirm()
    original(self)


@repairs("basicsr.utils.logger:MessageLogger.__call__", uses("max_iters"))
def log_iteration(original: Callable, self: Any, log_vars: dict) -> None:
    """Write learning rates to TensorBoard, too, and correct the remaining time.

    Stock counts one iteration too few, so that the last one has "-1 day, 23:59:59" left. No
    upstream thread known.
    """
    if self.tb_logger and self.use_tb_logger and "debug" not in self.exp_name:
        rates = log_vars["lrs"]
        for number, rate in enumerate(rates):
            tag = "learning_rate" if len(rates) == 1 else f"learning_rate/{number}"
            self.tb_logger.add_scalar(tag, rate, log_vars["iter"])
    # Stock multiplies by max_iters - iter - 1, which is -1 in the last iteration.
    total = self.max_iters
    self.max_iters = max(total, log_vars["iter"]) + 1
    try:
        original(self, log_vars)
    finally:
        self.max_iters = total


@repairs("basicsr.train:load_resume_state", uses("current_device"))
def load_resume_state(original: Callable, opt: dict) -> dict | None:
    """Resume on any device, from the newest readable state in the experiment's own folder.

    Stock calls CUDA, searches the working directory, and stops at a truncated newest file. Related
    threads: BasicSR#107 (no CUDA), BasicSR#679 (how to resume).
    """
    from wxr_plugin.checkpoints.resuming import load_resume_state

    return load_resume_state(opt)


@repairs("basicsr.train:create_train_val_dataloader", uses("num_iter_per_epoch"))
def create_train_val_dataloader(original: Callable, opt: dict, logger: Any) -> tuple:
    """Count epochs by the batches that the loader has; no upstream thread known.

    Stock also counts the last, incomplete batch of an epoch, which the loader drops. A training of
    many short epochs then ends before total_iter: after 6006 of 7000 iterations with 100 images in
    batches of 16.
    """
    train_loader, sampler, val_loaders, epochs, iterations = original(opt, logger)
    epochs = max(epochs, math.ceil(iterations / len(train_loader)))
    return train_loader, sampler, val_loaders, epochs, iterations
