"""GPUs of a training: each process uses one, so several need torchrun."""

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from wxr_plugin.errors import OptionError


def check_one_gpu(num_gpu: int, distributed: bool, file: str = "FILE") -> None:
    """Raise OptionError if a single process is to train on several GPUs."""
    if num_gpu > 1 and not distributed:
        raise OptionError(
            f"num_gpu is {num_gpu}, and one process trains on one GPU: start {num_gpu} processes "
            f"with `{torchrun(num_gpu, file)}`, or set num_gpu: 1"
        )


def note_idle_gpus(opt: Mapping[str, Any], file: str = "FILE") -> None:
    """Log the command that uses all GPUs if this process uses one of several."""
    from basicsr.utils import get_root_logger

    count = torch.cuda.device_count()
    if opt["num_gpu"] == 1 and count > 1 and not opt["dist"]:
        command = torchrun(count, file, "train" if opt["is_train"] else "test")
        get_root_logger().info(
            f"This process uses 1 of {count} GPUs. To use all of them: {command}"
        )


def torchrun(processes: int, file: str, module: str = "train") -> str:
    """Return the command that starts `processes` processes on the option file `file`."""
    launch = f"torchrun --nproc_per_node {processes} -m wxr_plugin.{module}"
    return f"{launch} -opt {file} --launcher pytorch"


def local_rank() -> int:
    """Return the rank of this process on its node; 0 where training is not distributed."""
    if not dist.is_initialized():
        return 0
    # torchrun sets LOCAL_RANK, Slurm SLURM_LOCALID; without either, one node is assumed.
    by_slurm = os.environ.get("SLURM_LOCALID", dist.get_rank())
    return int(os.environ.get("LOCAL_RANK", by_slurm))
