"""Repairs of models: the CPU, optimizers, and writing checkpoints."""

import difflib
import functools
import os
from collections.abc import Callable
from typing import Any

from wxr_plugin.compat.machinery import lacks, repairs, uses


@repairs("basicsr.models.base_model:BaseModel.__init__", lacks("is_available"))
def base_model(original: Callable, self: Any, opt: dict) -> None:
    """Use the CPU without CUDA, whatever num_gpu says, also for a model of a dict (BasicSR#107).

    `parse_options` does the same for option files.
    """
    from wxr_plugin.options.command_line import usable_gpus

    gpus = usable_gpus(opt["num_gpu"])
    original(self, opt if gpus == opt["num_gpu"] else {**opt, "num_gpu": gpus})


@repairs("basicsr.models.base_model:BaseModel.print_network", uses("net_str"))
def print_network(original: Callable, self: Any, net: Any) -> None:
    """Log one line and write the layers to a file of the experiment; stock logs all of them.

    No upstream thread known.
    """
    from basicsr.utils import get_root_logger
    from basicsr.utils.dist_util import get_dist_info

    from wxr_plugin.utils.files import write_text

    net = self.get_bare_model(net)
    name = type(net).__name__
    count = sum(parameter.numel() for parameter in net.parameters())
    line = f"Network: {name}, {count:,} parameters"
    folder = self.opt["path"].get("experiments_root") or self.opt["path"].get("results_root")
    if folder and get_dist_info()[0] == 0:
        file = os.path.join(folder, f"network_{name}.txt")
        write_text(file, f"{net}\n")
        line += f"; its layers are in {file}"
    get_root_logger().info(line)


@repairs("basicsr.models.realesrgan_model:RealESRGANModel.__init__", uses("cuda"))
@repairs("basicsr.models.realesrnet_model:RealESRNetModel.__init__", uses("cuda"))
def degrading_model(original: Callable, self: Any, opt: dict) -> None:
    """Build the JPEG simulator and the sharpener on the model's device; stock calls .cuda().

    BasicSR#107 asks for CPU.
    """
    from wxr_plugin.utils.staying_on_cpu import on_device_of

    with on_device_of(opt):
        original(self, opt)


@repairs("basicsr.models.realesrgan_model:RealESRGANModel._dequeue_and_enqueue", uses("cuda"))
@repairs("basicsr.models.realesrnet_model:RealESRNetModel._dequeue_and_enqueue", uses("cuda"))
def degrading_pool(original: Callable, self: Any) -> None:
    """Keep the pool of samples on the model's device; stock calls .cuda() (BasicSR#107)."""
    from wxr_plugin.utils.staying_on_cpu import on_device_of

    with on_device_of(self.opt):
        original(self)


@repairs("basicsr.models:build_model", lacks("StayOnCPU"))
def build_model(original: Callable, opt: dict) -> Any:
    """Let models of other projects build and degrade their data on the CPU (BasicSR#107).

    Real-ESRGAN and its relatives call `.cuda()` in the constructor and in `feed_data`.
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

    The JPEG simulator returns channels-last images, which torch's reflecting pad now preserves on
    the CPU; stock then calls `view`, which fails.
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
    """Return any optimizer of torch.optim by its name, where stock knows Adam only.

    Whole numbers among `betas` become floats: torch refuses `[0, 0.99]`, which GFPGAN's option
    files have. No upstream thread known; BasicSR's head has some more optimizers.
    """
    from torch import optim

    classes = {name: value for name, value in vars(optim).items() if isinstance(value, type)}
    del classes["Optimizer"]
    if optim_type not in classes:
        near = difflib.get_close_matches(str(optim_type), classes, n=3, cutoff=0.4) or classes
        raise NotImplementedError(
            f"torch.optim has no optimizer {optim_type!r}; near it: {', '.join(near)}"
        )
    # Without lr, the optimizer has its own default.
    rate = {} if lr is None else {"lr": lr}
    if isinstance(kwargs.get("betas"), list | tuple):
        betas = [float(beta) if isinstance(beta, int) else beta for beta in kwargs["betas"]]
        kwargs["betas"] = tuple(betas)
    return classes[optim_type](params, **rate, **kwargs)


@repairs("basicsr.models.base_model:BaseModel.save_network", uses("retry"))
def save_network(
    original: Callable,
    self: Any,
    net: Any,
    net_label: str,
    current_iter: int,
    param_key: str | list[str] = "params",
) -> None:
    """Write the weights atomically and raise on failure; no upstream thread known.

    Stock overwrites the file in place, and ignores its third failure.
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
    weights = {}
    for key, network in zip(keys, nets):
        # On the CPU and without the prefix of DistributedDataParallel, any host can load it.
        state = self.get_bare_model(network).state_dict()
        weights[key] = {name.removeprefix("module."): v.cpu() for name, v in state.items()}
    iteration = "latest" if current_iter == -1 else current_iter
    path = os.path.join(self.opt["path"]["models"], f"{net_label}_{iteration}.pth")
    write_with(path, functools.partial(torch.save, weights))


@repairs("basicsr.models.base_model:BaseModel.save_training_state", uses("retry"))
def save_training_state(original: Callable, self: Any, epoch: int, current_iter: int) -> None:
    """Write the state atomically, with the seed that a resume needs, and raise on failure.

    The fault of stock is that of `save_network`; BasicSR#718 may be a case of it.
    """
    from basicsr.utils.dist_util import get_dist_info

    from wxr_plugin.checkpoints.containers import save_state

    # BasicSR saves no state with the final network, whose iteration is -1.
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
