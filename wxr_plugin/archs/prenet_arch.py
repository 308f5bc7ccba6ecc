"""PReNet (Ren et al., Progressive Image Deraining Networks: A Better and Simpler Baseline, CVPR 2019).

The authors' repository states no licence. An oddity of theirs is kept, which their weights expect:
in the residual blocks a ReLU follows both convolutions and, once more, the sum.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch

BLOCKS = 5


@register_arch
class PReNet(nn.Module):
    """One small network, run stage after stage on the rainy image and its own last estimate, with an LSTM as memory.

    State-dict names are those of the authors' code.

    Args:
        stages: how often the network runs; its weights are shared by all stages.
        width: channels of its features.
        memory_last: the memory follows the residual blocks and a stage gives the image itself, not
            what is added to the rainy one; so, with 4 stages, is the authors' network for real
            photos, whose files have the same names.
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
            self.add_module(
                f"res_conv{number}",
                nn.Sequential(
                    *_relu_conv(width, width),
                    *_relu_conv(width, width),
                ),
            )
        for gate in "ifgo":
            self.add_module(f"conv_{gate}", nn.Sequential(_conv(2 * width, width)))
        self.conv = nn.Sequential(_conv(width, 3))

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq)[0]

    def published(self, lq: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The restored image, and the estimates of all stages, of which it is the last."""
        hidden = cell = lq.new_zeros(lq.shape[0], self.width, *lq.shape[2:])
        estimates = [lq]
        for _ in range(self.stages):
            feature = self.conv0(torch.cat((lq, estimates[-1]), dim=1))
            if self.memory_last:
                feature = self._residual_blocks(feature)
            hidden, cell = self._remember(torch.cat((feature, hidden), dim=1), cell)
            estimates.append(
                self.conv(hidden)
                if self.memory_last
                else self.conv(self._residual_blocks(hidden)) + lq
            )
        return estimates[-1], estimates[1:]

    def _remember(self, x: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """A step of the convolutional LSTM: its output and its cell."""
        keep, write, show = (
            torch.sigmoid(gate(x)) for gate in (self.conv_f, self.conv_i, self.conv_o)
        )
        cell = keep * cell + write * torch.tanh(self.conv_g(x))
        return show * torch.tanh(cell), cell

    def _residual_blocks(self, x: Tensor) -> Tensor:
        for number in range(1, BLOCKS + 1):
            x = F.relu(getattr(self, f"res_conv{number}")(x) + x)
        return x


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _relu_conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        _conv(inputs, outputs),
        nn.ReLU(),
    )
