"""GridDehazeNet (Liu et al., Attention-Based Multi-Scale Network for Image Dehazing, ICCV 2019).

The authors' README says MIT; their repository has no licence file. As in their code, the learnt
weights of all positions of the grid are one parameter, many entries of which are never used.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch

ROWS, COLUMNS = 3, 6
DOWN = range(COLUMNS // 2)
"""Columns in which features go down to coarser rows."""
UP = range(COLUMNS // 2, COLUMNS)
"""Columns in which features go up to finer rows."""


class DenseLayer(nn.Module):
    """Concatenation of the input and the ReLU of its convolution."""

    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.relu(self.conv(x))), dim=1)


class ResidualDenseBlock(nn.Module):
    """Dense layers and a 1x1 convolution back to the width, added to the input."""

    def __init__(
        self,
        channels: int,
        layers: int,
        growth: int,
    ):
        super().__init__()
        self.residual_dense_layers = nn.Sequential(
            *(DenseLayer(channels + growth * number, growth) for number in range(layers))
        )
        self.conv_1x1 = nn.Conv2d(channels + growth * layers, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_1x1(self.residual_dense_layers(x)) + x


class DownSample(nn.Module):
    """Half the size, twice the channels."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(channels, 2 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        return F.relu(self.conv2(x))


class UpSample(nn.Module):
    """Transposed convolution to `size` (H, W), twice the input's, then half the channels."""

    def __init__(self, channels: int):
        super().__init__()
        # Twice the input; the last row or column is cut off where `size` is odd.
        self.deconv = nn.ConvTranspose2d(
            channels, channels, 3, stride=2, padding=1, output_padding=1
        )
        self.conv = nn.Conv2d(channels, channels // 2, 3, padding=1)

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        height, width = size
        x = F.relu(self.deconv(x)[..., :height, :width])
        return F.relu(self.conv(x))


@register_arch
class GridDehazeNet(nn.Module):
    """Grid of residual dense blocks: three rows, each half the size of the one above, six columns.

    State-dict names are those of the authors' code.

    Args:
        width: channels of the first row; doubles with each row.
        layers: dense layers of a block.
        growth: channels that each dense layer adds.
    """

    smoke = {
        "width": 8,
        "layers": 1,
        "growth": 8,
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        width: int = 16,
        layers: int = 4,
        growth: int = 16,
    ):
        super().__init__()
        widths = [width << row for row in range(ROWS)]
        self.coefficient = nn.Parameter(torch.ones(ROWS, COLUMNS, 2, widths[-1]))
        self.rdb_module = nn.ModuleDict(
            {
                f"{i}_{j}": ResidualDenseBlock(widths[i], layers, growth)
                for i, j in product(range(ROWS), range(COLUMNS - 1))
            }
        )
        # Steps between row i and row i + 1 in column j.
        steps = range(ROWS - 1)
        self.downsample_module = nn.ModuleDict(
            {f"{i}_{j}": DownSample(widths[i]) for i, j in product(steps, DOWN)}
        )
        self.upsample_module = nn.ModuleDict(
            {f"{i}_{j}": UpSample(widths[i + 1]) for i, j in product(steps, UP)}
        )
        self.conv_in = nn.Conv2d(3, width, 3, padding=1)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)
        self.rdb_in = ResidualDenseBlock(width, layers, growth)
        self.rdb_out = ResidualDenseBlock(width, layers, growth)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is never below 0.
        """
        return self.published(2 * lq - 1)

    def published(self, x: Tensor) -> Tensor:
        """Run the authors' network: images (N, 3, H, W) in [-1, 1] to images from 0 up."""
        # Features of the column before, full size first.
        rows: list[Tensor] = []
        for column in range(COLUMNS):
            rows = self._up(rows, column) if column in UP else self._down(rows, column, x)
        return F.relu(self.conv_out(self.rdb_out(rows[0])))

    def _down(self, before: list[Tensor], column: int, x: Tensor) -> list[Tensor]:
        """Return a column of the first half; each row adds the features of the one above."""
        # The first column has no column before it: it starts from the image.
        first = self._block(0, column, before) if column else self.rdb_in(self.conv_in(x))
        rows = [first]
        for row in range(1, ROWS):
            lowered = self.downsample_module[f"{row - 1}_{column}"](rows[-1])
            rows.append(self._joined(row, column, before, lowered) if column else lowered)
        return rows

    def _up(self, before: list[Tensor], column: int) -> list[Tensor]:
        """Return a column of the second half; each row adds the features of the one below."""
        rows = [self._block(ROWS - 1, column, before)]
        for row in reversed(range(ROWS - 1)):
            size = before[row].shape[-2:]
            raised = self.upsample_module[f"{row}_{column}"](rows[0], size)
            rows.insert(0, self._joined(row, column, before, raised))
        return rows

    def _joined(
        self,
        row: int,
        column: int,
        before: list[Tensor],
        vertical: Tensor,
    ) -> Tensor:
        # (2, C, 1, 1): a weight for each channel of the horizontal and of the vertical features.
        weights = self.coefficient[row, column, :, : vertical.shape[1], None, None]
        horizontal = self._block(row, column, before)
        return weights[0] * horizontal + weights[1] * vertical

    def _block(self, row: int, column: int, before: list[Tensor]) -> Tensor:
        return self.rdb_module[f"{row}_{column - 1}"](before[row])
