"""PReNet (Ren et al., Progressive Image Deraining Networks, CVPR 2019).

The authors' repository states no licence. A peculiarity of their code is kept, which their weights
expect: in the residual blocks a ReLU follows both convolutions and also the sum.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch

BLOCKS = 5
"""Residual blocks of a stage."""


@register_arch
class PReNet(nn.Module):
    """Recurrent network whose stages take the rainy image, the last estimate and an LSTM state.

    State-dict names are those of the authors' code.

    Args:
        stages: number of stages; all share their weights.
        width: channels of the features.
        memory_last: the LSTM follows the residual blocks, and a stage predicts the image itself
            instead of a residual. With 4 stages, this is the authors' network for real photos,
            whose files have the same keys.
    """

    smoke = {"stages": 2, "width": 8}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        stages: int = 6,
        width: int = 32,
        memory_last: bool = False,
    ):
        super().__init__()
        self.stages = stages
        self.width = width
        self.memory_last = memory_last
        self.conv0 = _relu_conv(6, width)
        for number in range(1, BLOCKS + 1):
            layers = nn.Sequential(*_relu_conv(width, width), *_relu_conv(width, width))
            self.add_module(f"res_conv{number}", layers)
        for gate in "ifgo":
            self.add_module(f"conv_{gate}", nn.Sequential(_conv(2 * width, width)))
        self.conv = nn.Sequential(_conv(width, 3))

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq)[0]

    def published(self, lq: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the restored image, and the estimates of all stages, the last of which it is."""
        hidden = cell = lq.new_zeros(lq.shape[0], self.width, *lq.shape[2:])
        estimates = [lq]
        for _ in range(self.stages):
            feature = self.conv0(torch.cat((lq, estimates[-1]), dim=1))
            if self.memory_last:
                feature = self._residual_blocks(feature)
            hidden, cell = self._remember(torch.cat((feature, hidden), dim=1), cell)
            if self.memory_last:
                estimate = self.conv(hidden)
            else:
                estimate = self.conv(self._residual_blocks(hidden)) + lq
            estimates.append(estimate)
        return estimates[-1], estimates[1:]

    def _remember(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Run a step of the convolutional LSTM; return its output and its cell."""
        forget = torch.sigmoid(self.conv_f(x))
        write = torch.sigmoid(self.conv_i(x))
        output = torch.sigmoid(self.conv_o(x))
        # c_t = f c_{t-1} + i tanh(g), h_t = o tanh(c_t)
        cell = forget * cell + write * torch.tanh(self.conv_g(x))
        return output * torch.tanh(cell), cell

    def _residual_blocks(self, x: Tensor) -> Tensor:
        for number in range(1, BLOCKS + 1):
            # The block itself ends with a ReLU, too.
            x = F.relu(getattr(self, f"res_conv{number}")(x) + x)
        return x


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _relu_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, outputs),
        nn.ReLU(),
    )
