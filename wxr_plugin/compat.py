"""Repairs that basicsr 1.4.2 needs on current torch, torchvision, numpy, OpenCV and py-lmdb; one function each.

1.4.2 is BasicSR's last release, so it is mended from outside. A function here under
`@repairs(place, fault)` takes the place of BasicSR's, if `fault(original)` finds the fault there;
it is handed the original first. Names that other modules imported before are replaced there too,
and a second `repair()` changes nothing. What is longer than a few lines lives in modules of its
own: `arguments`, `resuming`, `lmdb_cache`, `data.seeding` and `data.loading`.
"""

import datetime
import difflib
import errno
import functools
import importlib
import importlib.util
import inspect
import math
import os
import random
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TIMEOUT = 1800
"""Seconds that a process waits for the others.

Stock models validate on rank 0 alone; NCCL's own 600 are too few.
"""

_repairs: list[tuple[str, Callable[[Any], bool], Callable]] = []


def repair() -> None:
    """Apply every repair; calling it again changes nothing."""
    alias_functional_tensor()
    alias_distutils()
    alias_moved_names()
    for place, fault, function in _repairs:
        _apply(place, fault, function)


def repairs(place: str, fault: Callable[[Any], bool]) -> Callable[[Callable], Callable]:
    """Mark a function `f(original, *args)` as the repair of `place`, `module:name` or `module:Class.name`."""

    def mark(function: Callable) -> Callable:
        _repairs.append((place, fault, function))
        return function

    return mark


def names(*words: str) -> Callable[[Callable], bool]:
    """A feature test: the function's code uses one of these names or constants."""

    def fault(original: Callable) -> bool:
        code = inspect.unwrap(original).__code__
        return any(word in (*code.co_names, *code.co_varnames, *code.co_consts) for word in words)

    return fault


def lacks(*words: str) -> Callable[[Callable], bool]:
    """A feature test: the function's code uses none of these names and constants."""
    return lambda original: not names(*words)(original)


def _apply(place: str, fault: Callable[[Any], bool], function: Callable) -> None:
    module_name, _, path = place.partition(":")
    owner = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    if hasattr(original, "repaired_by") or not fault(original):
        return

    @functools.wraps(original)
    def repaired(*args: Any, **kwargs: Any) -> Any:
        return function(original, *args, **kwargs)

    repaired.repaired_by = function
    setattr(owner, name, repaired)
    if isinstance(owner, types.ModuleType):
        _rebind(original, repaired)


def _rebind(old: Any, new: Any) -> None:
    """Replace `old` by `new` in every loaded module that imported it by name."""
    for module in list(sys.modules.values()):
        namespace = getattr(module, "__dict__", {})
        for name in [name for name, value in list(namespace.items()) if value is old]:
            namespace[name] = new


# ---- what is gone from current packages


def alias_functional_tensor() -> None:
    """Give basicsr the `functional_tensor` module that torchvision 0.17 dropped (BasicSR#533, #663)."""
    name = "torchvision.transforms.functional_tensor"
    if name in sys.modules or importlib.util.find_spec(name):
        return
    from torchvision.transforms.functional import rgb_to_grayscale

    module = types.ModuleType(name)
    module.rgb_to_grayscale = rgb_to_grayscale
    sys.modules[name] = module


def alias_distutils() -> None:
    """Give basicsr's arch_util `distutils.version`, gone from Python 3.12; no upstream thread known.

    setuptools brings it back by a hook at start-up, which some environments switch off. basicsr
    only compares torchvision's version, and packaging orders versions alike.
    """
    try:
        importlib.import_module("distutils.version")
    except ImportError:
        from packaging.version import Version

        package, module = types.ModuleType("distutils"), types.ModuleType("distutils.version")
        package.version, module.LooseVersion = module, Version
        sys.modules |= {"distutils": package, "distutils.version": module}


COLOURS = ("rgb2ycbcr", "bgr2ycbcr", "ycbcr2rgb", "ycbcr2bgr")


def alias_moved_names() -> None:
    """Put back what BasicSR 1.4 moved: colour conversions, and losses in one module (HAT and DRCT want 1.3.4.9).

    No upstream thread known.
    """
    from basicsr.losses import basic_loss, gan_loss
    from basicsr.utils import color_util, matlab_functions

    for name in COLOURS:
        vars(matlab_functions).setdefault(name, getattr(color_util, name))
    name = "basicsr.losses.losses"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        module = types.ModuleType(name)
        for source in (basic_loss, gan_loss):
            public = {key: value for key, value in vars(source).items() if not key.startswith("_")}
            vars(module).update(public)
        sys.modules[name] = sys.modules["basicsr.losses"].losses = module


def _refuses_float_quality(add_jpg_compression: Callable) -> bool:
    import cv2
    import numpy as np

    try:
        add_jpg_compression(np.zeros((8, 8, 3), np.float32), 90.5)
    except cv2.error:
        return True
    return False


@repairs("basicsr.data.degradations:add_jpg_compression", _refuses_float_quality)
def add_jpg_compression(original: Callable, img: Any, quality: float = 90) -> Any:
    """Round the quality, since cv2.imencode takes integers only (BasicSR#578)."""
    return original(img, round(quality))


# ---- registries


@repairs("basicsr.utils.registry:Registry._do_register", lacks("_wxr"))
def do_register(
    original: Callable, self: Any, name: str, obj: Any, suffix: str | None = None
) -> None:
    """Let another project's class and ours have one name (see `namesakes`); stock raises AssertionError.

    No upstream thread known.
    """
    from wxr_plugin.utils.namesakes import register

    register(original, self, name, obj, suffix)


@repairs("basicsr.utils.registry:Registry.get", lacks("_wxr"))
def registry_get(original: Callable, self: Any, name: str, suffix: str = "basicsr") -> Any:
    """Find our NAFNet by `NAFNet_wxr`, also where it holds the bare name.

    No upstream thread known.
    """
    from wxr_plugin.utils.namesakes import key_of

    return original(self, key_of(self, name), suffix)


@repairs("basicsr.utils.registry:Registry.__contains__", lacks("_wxr"))
def registry_contains(original: Callable, self: Any, name: str) -> bool:
    """Know the same names as `Registry.get`. No upstream thread known."""
    from wxr_plugin.utils.namesakes import key_of

    return original(self, key_of(self, name))


# ---- options and the start of a run


@repairs("basicsr.utils.options:ordered_yaml", lacks("SafeLoader", "CSafeLoader"))
def ordered_yaml(original: Callable) -> tuple[type, type]:
    """Read option files with a loader that cannot run code and keeps their order; no upstream thread known."""
    from wxr_plugin.options.safe_yaml import OptionLoader

    return OptionLoader, original()[1]


@repairs("basicsr.utils.options:parse_options", lacks("--local-rank"))
def parse_options(original: Callable, root_path: str, is_train: bool = True) -> tuple[dict, Any]:
    """Take `--local-rank` (BasicSR#626), torchrun without --launcher, and --force_yml without eval and exec.

    The file's `plugins` are imported. The process group gets `dist_params` (backend, timeout) under
    every launcher, and the ranks share one seed where the file names none. The rest is the host's,
    which gets the options read here.
    """
    import argparse

    from wxr_plugin.options import command_line

    parser = argparse.ArgumentParser()
    command_line.add_arguments(parser)
    args = parser.parse_args()
    args.launcher = command_line.launcher(args.launcher)
    options = command_line.read_options(args)
    if args.launcher != "none":
        _start_group(args.launcher, options)
    with (
        _handing_over(options),
        command_line.command_line(command_line.words(args, overrides=False)),
    ):
        return original(root_path, is_train)[0], args


def _start_group(launcher: str, options: dict) -> None:
    import torch.distributed as dist
    from basicsr.utils import dist_util

    params = dict(options.get("dist_params") or {})
    if options["num_gpu"] == 0:
        params["backend"] = "gloo"
    dist_util.init_dist(launcher, **params)
    seed = [options.get("manual_seed") or random.randint(1, 10000)]
    if options.get("manual_seed") is None:
        dist.broadcast_object_list(seed)
        options["manual_seed"] = seed[0]


@contextmanager
def _handing_over(options: dict) -> Iterator[None]:
    """Within the block, BasicSR's parse_options gets `options` as the content of the file that it opens."""
    from basicsr.utils import options as host

    loader = types.SimpleNamespace(get_single_data=lambda: options, dispose=lambda: None)
    before, host.ordered_yaml = host.ordered_yaml, lambda: (lambda stream: loader, None)
    try:
        yield
    finally:
        host.ordered_yaml = before


@repairs("basicsr.train:train_pipeline", names("make_exp_dirs"))
def train_pipeline(original: Callable, root_path: str) -> None:
    """Leave the folders of an earlier run in place when the start fails; stock has renamed them by then.

    No upstream thread known.
    """
    from wxr_plugin.options.starting import undone_on_failure

    with undone_on_failure():
        original(root_path)


@repairs("basicsr.test:test_pipeline", names("make_exp_dirs"))
def test_pipeline(original: Callable, root_path: str) -> None:
    """As `train_pipeline`, for the folder below results/. No upstream thread known."""
    from wxr_plugin.options.starting import undone_on_failure

    with undone_on_failure():
        original(root_path)


@repairs("basicsr.utils.misc:mkdir_and_rename", lacks("note_archives"))
def mkdir_and_rename(original: Callable, path: str) -> None:
    """Remember what was renamed, so that a start that fails can undo it. No upstream thread known.

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
    """Take the start for a success: train_pipeline calls this after the first iteration.

    No upstream thread known.
    """
    from wxr_plugin.options.starting import confirm

    confirm()
    original(self)


@repairs("basicsr.utils.logger:MessageLogger.__call__", names("max_iters"))
def log_iteration(original: Callable, self: Any, log_vars: dict) -> None:
    """Write the learning rates to TensorBoard too, and count the time left to the end.

    Stock counts one iteration too few, so that the last one is left with "-1 day, 23:59:59". No
    upstream thread known.
    """
    if self.tb_logger and self.use_tb_logger and "debug" not in self.exp_name:
        rates = log_vars["lrs"]
        for number, rate in enumerate(rates):
            tag = "learning_rate" if len(rates) == 1 else f"learning_rate/{number}"
            self.tb_logger.add_scalar(tag, rate, log_vars["iter"])
    total, self.max_iters = self.max_iters, max(self.max_iters, log_vars["iter"]) + 1
    try:
        original(self, log_vars)
    finally:
        self.max_iters = total


@repairs("basicsr.models.base_model:BaseModel.print_network", names("net_str"))
def print_network(original: Callable, self: Any, net: Any) -> None:
    """Log a line on a network and write its layers to a file of the experiment; stock logs hundreds of lines.

    No upstream thread known.
    """
    from basicsr.utils import get_root_logger
    from basicsr.utils.dist_util import get_dist_info

    from wxr_plugin.utils.files import write_text

    net = self.get_bare_model(net)
    name, count = type(net).__name__, sum(parameter.numel() for parameter in net.parameters())
    line = f"Network: {name}, {count:,} parameters"
    folder = self.opt["path"].get("experiments_root") or self.opt["path"].get("results_root")
    if folder and get_dist_info()[0] == 0:
        file = os.path.join(folder, f"network_{name}.txt")
        write_text(file, f"{net}\n")
        line += f"; its layers are in {file}"
    get_root_logger().info(line)


@repairs("basicsr.train:load_resume_state", names("current_device"))
def load_resume_state(original: Callable, opt: dict) -> dict | None:
    """Resume on any device, from the newest state that can be read, below the experiment's own folder.

    Stock calls CUDA, looks below the working directory, and a truncated newest file stops every
    restart; related
    threads: BasicSR#107 (no CUDA), BasicSR#679 (how to resume).
    """
    from wxr_plugin.checkpoints.resuming import load_resume_state

    return load_resume_state(opt)


@repairs("basicsr.train:create_train_val_dataloader", names("num_iter_per_epoch"))
def create_train_val_dataloader(original: Callable, opt: dict, logger: Any) -> tuple:
    """Count epochs by the batches that the loader has; no upstream thread known.

    Stock counts the last, incomplete batch of an epoch, which the loader drops, so that a training
    of many short epochs ends before total_iter: after 6006 of 7000 iterations with 100 images in
    batches of 16.
    """
    train_loader, sampler, val_loaders, epochs, iterations = original(opt, logger)
    return (
        train_loader,
        sampler,
        val_loaders,
        max(epochs, math.ceil(iterations / len(train_loader))),
        iterations,
    )


# ---- several processes


@repairs("basicsr.utils.dist_util:init_dist", names("spawn"))
def init_dist(original: Callable, launcher: str, backend: str = "nccl", **kwargs: Any) -> None:
    """Start the process group once, and leave the loaders' start method as the platform or the user has it.

    Stock forces spawn, so that each worker imports torch anew at every epoch (see
    benchmarks/dataloader_start.py). Fork, the default on Linux, is sound here: workers touch no
    CUDA, torch gives them one thread, and LMDB environments are opened anew. A start method that
    was set before stays. No upstream thread known.
    """
    import torch.distributed as dist
    import torch.multiprocessing as mp

    if dist.is_initialized():
        return
    mp.get_start_method()  # fixes the platform's own; the host sets spawn only where none is fixed
    original(launcher, backend, **kwargs)


@repairs("basicsr.utils.dist_util:_init_dist_pytorch", lacks("LOCAL_RANK"))
def _init_dist_pytorch(
    original: Callable, backend: str, timeout: float = TIMEOUT, **kwargs: Any
) -> None:
    """LOCAL_RANK's GPU with `backend`; without CUDA gloo, where stock divides by zero GPUs (BasicSR#107 asks for CPU).

    `timeout` is in seconds. A `port`, meant for slurm, is left to torchrun.
    """
    import torch
    import torch.distributed as dist

    kwargs.pop("port", None)
    if torch.cuda.is_available():
        local_rank = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
        torch.cuda.set_device(local_rank % torch.cuda.device_count())
    else:
        backend = "gloo"
    dist.init_process_group(backend=backend, timeout=datetime.timedelta(seconds=timeout), **kwargs)


@repairs("basicsr.utils.dist_util:_init_dist_slurm", lacks("SLURM_LOCALID"))
def _init_dist_slurm(
    original: Callable, backend: str, port: int | None = None, **kwargs: Any
) -> None:
    """As `_init_dist_pytorch`, with the ranks that slurm gives; MASTER_ADDR is the first node unless it is set.

    No upstream thread known.
    """
    from basicsr.utils import dist_util

    environment = os.environ
    if "MASTER_ADDR" not in environment:
        hosts = subprocess.run(
            ["scontrol", "show", "hostnames", environment["SLURM_NODELIST"]],
            capture_output=True,
            text=True,
            check=True,
        )
        environment["MASTER_ADDR"] = hosts.stdout.split()[0]
    environment["MASTER_PORT"] = str(port or environment.get("MASTER_PORT", 29500))
    environment["RANK"], environment["WORLD_SIZE"] = (
        environment["SLURM_PROCID"],
        environment["SLURM_NTASKS"],
    )
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", environment["SLURM_PROCID"])
    dist_util._init_dist_pytorch(backend, **kwargs)


@repairs("basicsr.models.base_model:BaseModel.model_to_device", names("current_device"))
def model_to_device(original: Callable, self: Any, net: Any) -> Any:
    """DistributedDataParallel without GPU numbers on the CPU (BasicSR#107 asks for CPU)."""
    from torch.nn.parallel import DistributedDataParallel

    if not (self.opt["dist"] and self.device.type == "cpu"):
        return original(self, net)
    unused = self.opt.get("find_unused_parameters", False)
    return DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)


# ---- data


@repairs("basicsr.data:worker_init_fn", lacks("get_worker_info", "initial_seed"))
def worker_init_fn(
    original: Callable, worker_id: int, num_workers: int, rank: int, seed: int
) -> None:
    """Seed a worker otherwise at every epoch; stock's crops and flips repeat unless workers persist (pytorch#5059)."""
    from wxr_plugin.data.seeding import seed_worker

    seed_worker(worker_id, num_workers, rank, seed)


@repairs("basicsr.data.data_sampler:EnlargedSampler.__iter__", lacks("seed"))
def enlarged_order(original: Callable, self: Any) -> Iterator[int]:
    """Shuffle by seed and epoch where the sampler has an attribute `seed`, by the epoch alone as in stock otherwise.

    The sampler's constructor takes no seed; `build_dataloader` sets the attribute. No upstream
    thread known.
    """
    from wxr_plugin.data.seeding import mixed

    if getattr(self, "seed", None) is None:
        return original(self)
    epoch = self.epoch
    self.epoch = mixed(self.seed, epoch)  # the host's own shuffle is seeded by it
    try:
        return original(self)
    finally:
        self.epoch = epoch


@repairs("basicsr.data:build_dataloader", lacks("generator"))
def build_dataloader(original: Callable, *args: Any, **kwargs: Any) -> Any:
    """Samples that depend on manual_seed and their place in the training alone (the trap is pytorch#5059)."""
    from wxr_plugin.data.loading import build_dataloader

    return build_dataloader(original, *args, **kwargs)


@repairs("basicsr.data.transforms:paired_random_crop", names("Scale mismatches. GT ("))
def paired_random_crop(
    original: Callable,
    img_gts: Any,
    img_lqs: Any,
    gt_patch_size: int,
    scale: int,
    gt_path: str | None = None,
) -> Any:
    """Name the file in the errors about unequal pairs, which stock names nowhere; no upstream thread known."""
    from wxr_plugin.errors import WxrError

    try:
        return original(img_gts, img_lqs, gt_patch_size, scale, gt_path)
    except ValueError as error:
        what = "".join(map(str, error.args))
        raise WxrError(
            f"{gt_path or 'a pair'}: {what} `wxr check` lists all such pairs."
        ) from error


@repairs("basicsr.data.prefetch_dataloader:PrefetchGenerator.run", lacks("Exception"))
def prefetch_run(original: Callable, self: Any) -> None:
    """Hand an error of the loader on; stock's thread dies and the training waits for ever.

    No upstream thread known.
    """
    try:
        original(self)
    except Exception as error:
        self.failure = error
        self.queue.put(None)


@repairs("basicsr.data.prefetch_dataloader:PrefetchGenerator.__next__", lacks("failure"))
def prefetch_next(original: Callable, self: Any) -> Any:
    """Raise what `prefetch_run` has caught. No upstream thread known."""
    try:
        return original(self)
    except StopIteration:
        if getattr(self, "failure", None) is None:
            raise
        raise self.failure from None


@repairs("basicsr.data.prefetch_dataloader:CPUPrefetcher.__init__", names("iter"))
def cpu_prefetcher(original: Callable, self: Any, loader: Any) -> None:
    """Start no workers before the first use: train_pipeline resets at once, and with prefetch_mode cpu stock never ends
    the threads and workers that were started before. No upstream thread known.
    """
    self.ori_loader = loader
    self.loader = _started_late(loader)


def _started_late(loader: Any) -> Iterator[Any]:
    yield from loader


@repairs(
    "basicsr.data.prefetch_dataloader:CUDAPrefetcher.__new__",
    lambda original: original is object.__new__,
)
def cuda_prefetcher(original: Callable, cls: type, loader: Any, opt: dict) -> Any:
    """A CPUPrefetcher where there is no GPU to fetch to; stock raises (BasicSR#107 asks for CPU)."""
    import torch
    from basicsr.data.prefetch_dataloader import CPUPrefetcher

    if torch.cuda.is_available() and opt["num_gpu"] != 0:
        return original(cls)
    warnings.warn(
        "prefetch_mode cuda without a GPU: batches are fetched as with no prefetch_mode",
        stacklevel=3,
    )
    return CPUPrefetcher(loader)


@repairs("basicsr.utils.file_client:LmdbBackend.__init__", names("open"))
def lmdb_backend(
    original: Callable,
    self: Any,
    db_paths: str | list[str],
    client_keys: str | list[str] = "default",
    readonly: bool = True,
    lock: bool = False,
    readahead: bool = False,
    **kwargs: Any,
) -> None:
    """Share one environment a path and process, opened at the first read; py-lmdb refuses a second one.

    So train and validation sets may use one LMDB, and a backend can be forked and pickled. No
    upstream thread known.
    """
    from wxr_plugin.utils.lmdb_cache import LazyEnvironment

    keys = [client_keys] if isinstance(client_keys, str) else client_keys
    self.db_paths = [str(path) for path in (db_paths if isinstance(db_paths, list) else [db_paths])]
    if len(keys) != len(self.db_paths):
        raise ValueError(f"client_keys {keys} and db_paths {self.db_paths} must be as many")
    options = dict(readonly=readonly, lock=lock, readahead=readahead, **kwargs)
    self._client = {key: LazyEnvironment(path, **options) for key, path in zip(keys, self.db_paths)}


# ---- models


@repairs("basicsr.models.base_model:BaseModel.__init__", lacks("is_available"))
def base_model(original: Callable, self: Any, opt: dict) -> None:
    """Take the CPU where there is no CUDA, whatever num_gpu says, in a model built from a dict too (BasicSR#107).

    `parse_options` does the same for option files.
    """
    from wxr_plugin.options.command_line import usable_gpus

    gpus = usable_gpus(opt["num_gpu"])
    original(self, opt if gpus == opt["num_gpu"] else {**opt, "num_gpu": gpus})


@repairs("basicsr.models.realesrgan_model:RealESRGANModel.__init__", names("cuda"))
@repairs("basicsr.models.realesrnet_model:RealESRNetModel.__init__", names("cuda"))
def degrading_model(original: Callable, self: Any, opt: dict) -> None:
    """Build the JPEG simulator and the sharpener where the model computes; stock calls .cuda() (BasicSR#107)."""
    from wxr_plugin.utils.staying_on_cpu import on_device_of

    with on_device_of(opt):
        original(self, opt)


@repairs("basicsr.models.realesrgan_model:RealESRGANModel._dequeue_and_enqueue", names("cuda"))
@repairs("basicsr.models.realesrnet_model:RealESRNetModel._dequeue_and_enqueue", names("cuda"))
def degrading_pool(original: Callable, self: Any) -> None:
    """Keep the pool of samples where the model computes; stock calls .cuda() (BasicSR#107)."""
    from wxr_plugin.utils.staying_on_cpu import on_device_of

    with on_device_of(self.opt):
        original(self)


@repairs("basicsr.models:build_model", lacks("StayOnCPU"))
def build_model(original: Callable, opt: dict) -> Any:
    """Let another project's model build and degrade its data on the CPU, as BasicSR's own do (BasicSR#107).

    Real-ESRGAN and what derives from it have `.cuda()` in the constructor and in `feed_data`.
    """
    from wxr_plugin.utils.staying_on_cpu import on_device_of, runs_on_cpu, wrapped

    with on_device_of(opt):
        model = original(opt)
    if runs_on_cpu(opt) and type(model).__module__.split(".")[0] not in ("basicsr", "wxr_plugin"):
        model.feed_data = wrapped(model.feed_data)
    return model


def _refuses_channels_last(filter2D: Callable) -> bool:
    import torch

    image = torch.zeros(2, 3, 8, 8).to(memory_format=torch.channels_last)
    try:
        filter2D(image, torch.zeros(2, 3, 3))
    except RuntimeError:
        return True
    return False


@repairs("basicsr.utils.img_process_util:filter2D", _refuses_channels_last)
def filter2d(original: Callable, img: Any, kernel: Any) -> Any:
    """Filter images of any memory format; no upstream thread known.

    On the CPU torch's reflecting pad now keeps channels_last, which JPEG's simulator gives, and
    stock's view fails.
    """
    return original(img.contiguous(), kernel)


def _knows_adam_only(get_optimizer: Callable) -> bool:
    import torch

    try:
        get_optimizer(None, "AdamW", [torch.nn.Parameter(torch.zeros(1))], 0.1)
    except NotImplementedError:
        return True
    return False


@repairs("basicsr.models.base_model:BaseModel.get_optimizer", _knows_adam_only)
def get_optimizer(
    original: Callable,
    self: Any,
    optim_type: str,
    params: Any,
    lr: float | None = None,
    **kwargs: Any,
) -> Any:
    """Return any optimizer of torch.optim by its name (no upstream thread; BasicSR's head has some more than Adam).

    Whole numbers among `betas` become floats: torch refuses `[0, 0.99]`, which GFPGAN and option
    files have.
    """
    from torch import optim

    known = [
        name
        for name, value in vars(optim).items()
        if isinstance(value, type) and name != "Optimizer"
    ]
    if optim_type not in known:
        near = difflib.get_close_matches(str(optim_type), known, n=3, cutoff=0.4) or known
        raise NotImplementedError(
            f"torch.optim has no optimizer {optim_type!r}; near it: {', '.join(near)}"
        )
    rate = {} if lr is None else {"lr": lr}
    if isinstance(kwargs.get("betas"), list | tuple):
        kwargs["betas"] = tuple(
            float(beta) if isinstance(beta, int) else beta for beta in kwargs["betas"]
        )
    return getattr(optim, optim_type)(params, **rate, **kwargs)


@repairs("basicsr.models.base_model:BaseModel.save_network", names("retry"))
def save_network(
    original: Callable,
    self: Any,
    net: Any,
    net_label: str,
    current_iter: int,
    param_key: str | list[str] = "params",
) -> None:
    """Write the weights in one step and raise on failure; stock writes in place, and its third failure is ignored.

    No upstream thread known.
    """
    import torch
    from basicsr.utils.dist_util import get_dist_info

    from wxr_plugin.utils.files import write_with

    if get_dist_info()[0] != 0:
        return
    nets = net if isinstance(net, list) else [net]
    keys = param_key if isinstance(param_key, list) else [param_key]
    if len(nets) != len(keys):
        raise ValueError(f"{len(nets)} networks but {len(keys)} keys: {keys}")
    states = [self.get_bare_model(each).state_dict() for each in nets]
    weights = {
        key: {name.removeprefix("module."): v.cpu() for name, v in s.items()}
        for key, s in zip(keys, states)
    }
    iteration = "latest" if current_iter == -1 else current_iter
    path = os.path.join(self.opt["path"]["models"], f"{net_label}_{iteration}.pth")
    write_with(path, functools.partial(torch.save, weights))


@repairs("basicsr.models.base_model:BaseModel.save_training_state", names("retry"))
def save_training_state(original: Callable, self: Any, epoch: int, current_iter: int) -> None:
    """Write the state in one step, with the seed that a resume needs, and raise on failure.

    As `save_network`; BasicSR#718 may be a case of it.
    """
    from basicsr.utils.dist_util import get_dist_info

    from wxr_plugin.checkpoints.containers import save_state

    if current_iter == -1 or get_dist_info()[0] != 0:
        return
    state = {
        "epoch": epoch,
        "iter": current_iter,
        "manual_seed": self.opt.get("manual_seed"),
        "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
    }
    save_state(os.path.join(self.opt["path"]["training_states"], f"{current_iter}.state"), state)


# ---- metrics


@repairs("basicsr.models.sr_model:SRModel.nondist_validation", lacks("usable_metrics"))
def nondist_validation(
    original: Callable, self: Any, dataloader: Any, *args: Any, **kwargs: Any
) -> None:
    """Validate each set by its own metrics, and a set without ground truth by those that need none (BasicSR#547).

    Stock applies val.metrics to every set, sums under the names of the first one, and compares a
    first image without ground truth with the last one of the training.
    """
    before = self.opt["val"].get("metrics")
    self.opt["val"]["metrics"] = _metrics_of(self, dataloader.dataset, before) or None
    for left_over in ("metric_results", "gt"):
        vars(self).pop(left_over, None)
    try:
        original(self, dataloader, *args, **kwargs)
    finally:
        self.opt["val"]["metrics"] = before


def _metrics_of(model: Any, dataset: Any, common: dict | None) -> dict:
    """The metrics that `dataset` asks for (`common` if it does not say), as far as it has what they need.

    What is left out is logged once for each set that `model` validates.
    """
    from basicsr.utils import get_root_logger

    from wxr_plugin.models.base.val_metrics import usable_metrics
    from wxr_plugin.utils.rng import preserved_rng

    metrics = dataset.opt.get("metrics", common) or {}
    if usable_metrics(metrics, False) == metrics:
        return metrics
    with preserved_rng():
        usable = usable_metrics(metrics, len(dataset) > 0 and "gt" in dataset[0])
    left_out = ", ".join(name for name in metrics if name not in usable)
    told = vars(model).setdefault("told_without_gt", set())
    if left_out and dataset.opt["name"] not in told:
        get_root_logger().warning(
            f"Validation {dataset.opt['name']}: no ground truth, so no {left_out}."
        )
        told.add(dataset.opt["name"])
    return usable


@repairs("basicsr.metrics.niqe:niqe", lacks("LinAlgError"))
def niqe(
    original: Callable,
    img: Any,
    *args: Any,
    block_size_h: int = 96,
    block_size_w: int = 96,
    **kwargs: Any,
) -> float:
    """Say what is wrong with an image too small or too flat for NIQE, where numpy says "SVD did not converge".

    No upstream thread known.
    """
    import numpy as np

    try:
        return original(img, *args, block_size_h=block_size_h, block_size_w=block_size_w, **kwargs)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise ValueError(
            f"NIQE needs at least two textured blocks of {block_size_h}x{block_size_w} pixels; "
            f"this image, after its "
            f"borders were cropped, is {img.shape[0]}x{img.shape[1]}. Leave calculate_niqe out for "
            f"this set."
        ) from error
