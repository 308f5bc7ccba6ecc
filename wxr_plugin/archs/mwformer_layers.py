"""Layers of MWFormer: TransWeather's, generated or modulated by a vector of the photo's weather.

`vector` is (N, C); each image of a batch has its own vector and thus its own weights.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.transweather_layers import (
    RATIO,
    REDUCTIONS,
    Attention,
    Block,
    Encoder,
    channels_first,
    channels_last,
)


def hypernet(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return an MLP that generates `outputs` weights from a vector."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs),
    )


class HyperAttention(Attention):
    """Attention whose projections to queries, keys and values are generated from the vector.

    The authors' files also hold fixed projections, which are not used and frozen here.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        reduction: int,
        vector: int,
    ):
        super().__init__(channels, heads, reduction)
        self.q.requires_grad_(False)
        self.kv.requires_grad_(False)
        self.hypernet1 = hypernet(vector, vector, channels * channels)
        self.hypernet2 = hypernet(vector, vector, 2 * channels * channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        q = _projected(x, self.hypernet1(vector))
        kv = _projected(self._reduced(x), self.hypernet2(vector))
        return self._attended(x, q, kv)


def _projected(x: Tensor, weights: Tensor) -> Tensor:
    """Project channel-last `x` by the matrix (outputs, channels) of each image."""
    # (N, outputs * channels) -> (N, channels, outputs)
    matrices = weights.unflatten(1, (-1, x.shape[-1])).transpose(1, 2)
    return x.flatten(1, 2) @ matrices


class HyperMlp(nn.Module):
    """Two linear layers around a depthwise 3x3 convolution with kernels for each image."""

    def __init__(
        self,
        channels: int,
        ratio: int,
        vector: int,
    ):
        super().__init__()
        hidden = ratio * channels
        self.fc1 = nn.Linear(channels, hidden)
        self.hypernet = hypernet(vector, 3 * hidden, 9 * hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        hidden = channels_first(self.fc1(x))
        # (N * hidden, 1, 3, 3): the images become groups of one convolution.
        kernels = self.hypernet(vector).view(-1, 1, 3, 3)
        maps = hidden.flatten(0, 1)[None]
        convolved = F.conv2d(maps, kernels, padding=1, groups=len(kernels))
        convolved = channels_last(convolved.view(hidden.shape))
        return self.fc2(F.gelu(convolved))


def hyper_block(
    vector: int,
    stage: int,
    channels: int,
    heads: int,
    drop_path: float,
) -> Block:
    """Return a block of a stage; in the first stage also its attention depends on the vector."""
    mlp = HyperMlp(channels, RATIO, vector)
    if stage == 0:
        attention = HyperAttention(channels, heads, REDUCTIONS[stage], vector)
    else:
        attention = Attention(channels, heads, REDUCTIONS[stage])
    return Block(channels, attention, mlp, drop_path)


class Film(nn.Module):
    """Convolution (N, inputs, H, W) to (N, outputs, H, W), modulated by the vector."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        vector: int,
    ):
        super().__init__()
        self.Conv_0 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.Conv_1 = nn.Conv2d(vector, outputs, 1)
        for name in ("x", "y"):
            self.add_module(f"LayerNorm_{name}", nn.LayerNorm(outputs))
            self.add_module(f"in_project_{name}", nn.Linear(outputs, outputs))
        self.w_project_y = nn.Linear(outputs, outputs)
        self.b_project_y = nn.Linear(outputs, outputs)
        self.out_project_x = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor, vector: Tensor) -> Tensor:
        x = channels_last(self.Conv_0(x))
        # A map of one pixel, as the weather is the same everywhere: (N, 1, 1, outputs).
        y = channels_last(self.Conv_1(vector[..., None, None]))
        weather = F.gelu(self.in_project_y(self.LayerNorm_y(y)))
        feature = F.gelu(self.in_project_x(self.LayerNorm_x(x)))
        modulated = feature * self.w_project_y(weather) + self.b_project_y(weather)
        return channels_first(self.out_project_x(modulated) + x)


class SteeredEncoder(Encoder):
    """TransWeather's encoder with a `Film` before each stage and vector-dependent blocks."""

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        drop_path: float,
        vector: int,
    ):
        make_block = partial(hyper_block, vector)
        super().__init__(
            dims,
            depths,
            heads,
            drop_path,
            inputs=dims[0],
            make_block=make_block,
        )
        # Not used; in the authors' files.
        self.layernorm = nn.LayerNorm(dims[0]).requires_grad_(False)
        self.input_film = Film(3, dims[0], vector)
        for stage, width in enumerate(dims[:-1], 1):
            self.add_module(f"film{stage}", Film(width, width, vector))

    def _embed(self, stage: int, x: Tensor, vector: Tensor) -> Tensor:
        film = self.input_film if stage == 1 else getattr(self, f"film{stage - 1}")
        return super()._embed(stage, film(x, vector))


class GramHead(nn.Module):
    """MLP from the upper triangle of the Gram matrix of features to `outputs` values.

    Args:
        channels: channels C of the features; the triangle has C (C + 1) / 2 values.
        shares: hidden layer i has 1 / shares[i] of the triangle's number of values.
        outputs: length of the result.
    """

    def __init__(
        self,
        channels: int,
        shares: Sequence[int],
        outputs: int,
    ):
        super().__init__()
        triangle = channels * (channels + 1) // 2
        self.names = (*("hidden", "hidden2")[: len(shares)], "output")
        widths = [triangle, *(triangle // share for share in shares), outputs]
        for name, inputs, width in zip(self.names, widths, widths[1:]):
            self.add_module(name, nn.Linear(inputs, width))

    def forward(self, feature: Tensor) -> Tensor:
        # (N, C, H W); the Gram matrix is (N, C, C).
        tokens = feature.flatten(2)
        row, column = torch.triu_indices(tokens.shape[1], tokens.shape[1], device=tokens.device)
        x = (tokens @ tokens.transpose(1, 2))[:, row, column]
        for name in self.names[:-1]:
            x = F.leaky_relu(getattr(self, name)(x))
        return self.output(x)


class StyleFilter(nn.Module):
    """Style filter: RGB (N, 3, H, W) in [-1, 1] to a vector (N, vector) of the photo's weather.

    As in the authors' code, Gram matrices are summed over the photo and not divided by its size.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        drop_path: float,
        vector: int,
    ):
        super().__init__()
        self.encoder = Encoder(
            dims[:2],
            depths[:2],
            heads[:2],
            drop_path,
        )
        self.style_filter1 = GramHead(dims[0], (2, 4), vector)
        self.style_filter2 = GramHead(dims[1], (8,), vector)
        self.out1_fc = nn.Linear(2 * vector, vector)
        self.layernorm = nn.LayerNorm(vector)

    def forward(self, image: Tensor) -> Tensor:
        fine, coarse = self.encoder(image)
        both = torch.cat((self.style_filter1(fine), self.style_filter2(coarse)), 1)
        return self.layernorm(self.out1_fc(both))
