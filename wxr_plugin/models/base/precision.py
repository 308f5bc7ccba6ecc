"""Number format, memory layout and compilation of the trained networks."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from wxr_plugin.options.train import WxrTrainOptions

DTYPES = {None: None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Value of `train.amp` -> number format of the forward pass."""


class Precision:
    """How networks and batches are stored and computed.

    Args:
        options: the `train` block, of which `amp`, `channels_last` and `compile` are used; its
            defaults (float32, uncompiled) when a run only tests.

    Attributes:
        dtype: number format under autocast, or None for float32.
    """

    def __init__(self, options: WxrTrainOptions):
        self.dtype = DTYPES[options.amp]
        self.channels_last = options.channels_last
        self.compile = options.compile

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which networks are called; it does nothing without `amp`."""
        return torch.autocast(device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def make_scaler(self, device: torch.device, distributed: bool) -> torch.amp.GradScaler:
        """Return the scaler of the loss; it is disabled unless `amp` is fp16."""
        # bf16 has the exponents of float32, so only gradients of fp16 underflow without a scale
        return loss_scaler(device, self.dtype is torch.float16, distributed)

    def prepare(self, net: nn.Module) -> None:
        """Apply `channels_last` and `compile` to `net` in place; weights keep their names."""
        if self.channels_last:
            to_channels_last(net)
        if self.compile:
            arguments = self.compile if isinstance(self.compile, dict) else {}
            net.compile(**arguments)

    def uncompiled(self) -> AbstractContextManager:
        """Return a context in which compiled networks run eagerly.

        Validation images come in many sizes; compiling for each takes longer than restoring it.
        """
        return torch.compiler.set_stance("force_eager") if self.compile else nullcontext()

    def move(self, value: Any, device: torch.device) -> Any:
        """Return a tensor on `device`, images in the layout of the weights; other values as is."""
        if not isinstance(value, torch.Tensor):
            return value
        is_channels_last = self.channels_last and value.dim() == 4
        layout = torch.channels_last if is_channels_last else torch.preserve_format
        return value.to(device, non_blocking=True, memory_format=layout)


def loss_scaler(device: torch.device, enabled: bool, distributed: bool) -> torch.amp.GradScaler:
    """Return the scaler of the fp16 loss on `device`; a disabled one changes nothing.

    When training is `distributed`, an infinite gradient on any rank counts on all of them, so that
    every rank lowers its scale at the same update and the gradients that DDP averages have the same
    scale.
    """
    if not (enabled and distributed):
        return torch.amp.GradScaler(device.type, enabled=enabled)
    from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler

    return ShardedGradScaler(device.type, process_group=torch.distributed.group.WORLD)


def to_channels_last(net: nn.Module) -> nn.Module:
    """Store 4-D parameters and buffers of `net` in channels-last order, in place; return `net`."""
    # nn.Module.to refuses a network that has 5-D parameters as well, such as PromptIR's prompts
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return net
