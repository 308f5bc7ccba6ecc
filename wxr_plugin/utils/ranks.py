"""Values from all processes of a distributed training."""

import torch
import torch.distributed as dist


def any_rank(flag: bool, device: torch.device) -> bool:
    """Return whether `flag` is true on any rank; collective when training is distributed."""
    if not dist.is_initialized():
        return flag
    shared = torch.tensor(float(flag), device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    return bool(shared.item())


def gathered(item: object) -> list:
    """Return the list of `item` of every rank, in the order of ranks, on every rank."""
    if not dist.is_initialized():
        return [item]
    items = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items
