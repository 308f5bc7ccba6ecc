"""How many GPUs a training uses: one for each process, so all of them only under torchrun."""

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from wxr_plugin.errors import OptionError


def check_one_gpu(num_gpu: int, distributed: bool, file: str = "FILE") -> None:
    """Raise OptionError if one process is to train on several GPUs, which needs a process for each."""
    if num_gpu > 1 and not distributed:
        raise OptionError(
            f"num_gpu is {num_gpu}, and one process trains on one GPU: start {num_gpu} processes "
            f"with "
            f"`{torchrun(num_gpu, file)}`, or set num_gpu: 1"
        )


def note_idle_gpus(opt: Mapping[str, Any], file: str = "FILE") -> None:
    """Log that this process uses one GPU of several, and the command that uses all of them."""
    from basicsr.utils import get_root_logger

    count = torch.cuda.device_count()
    if opt["num_gpu"] == 1 and count > 1 and not opt["dist"]:
        command = torchrun(count, file, "train" if opt["is_train"] else "test")
        get_root_logger().info(
            f"This process uses 1 of {count} GPUs. To use all of them: {command}"
        )


def torchrun(processes: int, file: str, module: str = "train") -> str:
    """Return the command that starts `processes` of them on the option file `file`."""
    return f"torchrun --nproc_per_node {processes} -m wxr_plugin.{module} -opt {file} --launcher pytorch"


def local_rank() -> int:
    """Return the number of this process among those of its node; 0 where training is not distributed."""
    if not dist.is_initialized():
        return 0
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", dist.get_rank())))
