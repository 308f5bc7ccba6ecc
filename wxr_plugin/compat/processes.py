"""Repairs of training in several processes."""

import datetime
import os
import subprocess
from collections.abc import Callable
from typing import Any

from wxr_plugin.compat.machinery import lacks, repairs, uses
from wxr_plugin.utils.start_method import worker_method

TIMEOUT = 1800
"""Seconds for which a process waits for the others.

NCCL's default of 600 is too short: stock models validate on rank 0 alone.
"""


@repairs("basicsr.utils.dist_util:init_dist", uses("spawn"))
def init_dist(original: Callable, launcher: str, backend: str = "nccl", **kwargs: Any) -> None:
    """Start the process group once, and keep the start method of the platform or the user.

    Stock forces spawn, so that each loading worker imports torch again at every epoch (see
    benchmarks/dataloader_start.py and `start_method.worker_method`). No upstream thread known.
    """
    import torch.distributed as dist
    import torch.multiprocessing as mp

    if dist.is_initialized():
        return
    # BasicSR sets spawn only if no method is fixed; get_start_method fixes that of the platform.
    mp.set_start_method(worker_method() or mp.get_start_method(), force=True)
    original(launcher, backend, **kwargs)


@repairs("basicsr.utils.dist_util:_init_dist_pytorch", lacks("LOCAL_RANK"))
def _init_dist_pytorch(
    original: Callable, backend: str, timeout: float = TIMEOUT, **kwargs: Any
) -> None:
    """Use the GPU of LOCAL_RANK, or gloo without CUDA, where stock divides by zero GPUs.

    `timeout` is in seconds. BasicSR#107 asks for CPU.
    """
    import torch
    import torch.distributed as dist

    kwargs.pop("port", None)  # for slurm; torchrun has set MASTER_PORT
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
    """Start as `_init_dist_pytorch` does, with slurm's ranks and its first node as MASTER_ADDR.

    A MASTER_ADDR that is set stays. No upstream thread known.
    """
    from basicsr.utils import dist_util

    environment = os.environ
    if "MASTER_ADDR" not in environment:
        command = ["scontrol", "show", "hostnames", environment["SLURM_NODELIST"]]
        hosts = subprocess.run(command, capture_output=True, text=True, check=True)
        environment["MASTER_ADDR"] = hosts.stdout.split()[0]
    # 29500 is the default of torch.
    environment["MASTER_PORT"] = str(port or environment.get("MASTER_PORT", 29500))
    environment["RANK"] = environment["SLURM_PROCID"]
    environment["WORLD_SIZE"] = environment["SLURM_NTASKS"]
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", environment["SLURM_PROCID"])
    dist_util._init_dist_pytorch(backend, **kwargs)


@repairs("basicsr.models.base_model:BaseModel.model_to_device", uses("current_device"))
def model_to_device(original: Callable, self: Any, net: Any) -> Any:
    """Use DistributedDataParallel without GPU numbers on the CPU (BasicSR#107 asks for CPU)."""
    from torch.nn.parallel import DistributedDataParallel

    if not (self.opt["dist"] and self.device.type == "cpu"):
        return original(self, net)
    unused = self.opt.get("find_unused_parameters", False)
    return DistributedDataParallel(net.to(self.device), find_unused_parameters=unused)
