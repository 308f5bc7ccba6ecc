"""Number formats and memory order of a training: the loss scale of fp16, and channels-last weights."""

import torch
from torch import nn


def loss_scaler(device: torch.device, enabled: bool, distributed: bool) -> torch.amp.GradScaler:
    """Return the scaler of fp16's loss on `device`; one that is not `enabled` changes nothing.

    When training is `distributed`, an infinite gradient on any rank counts on all of them, so that
    every rank lowers its scale at the same update and the gradients that DDP averages stay scaled
    alike.
    """
    if not (enabled and distributed):
        return torch.amp.GradScaler(device.type, enabled=enabled)
    from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

    return ShardedGradScaler(device.type, process_group=torch.distributed.group.WORLD)


def to_channels_last(net: nn.Module) -> nn.Module:
    """Lay the 4-D parameters and buffers of `net` out in channels-last order, in place, and return it.

    `nn.Module.to` refuses a network that has 5-D parameters as well, such as PromptIR's prompts.
    """
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return net
