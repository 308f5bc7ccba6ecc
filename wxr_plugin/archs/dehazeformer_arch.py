"""DehazeFormer (Song et al., Vision Transformers for Single Image Dehazing, IEEE TIP 2023).

The authors' code and weights are under the MIT licence. As in their code, blocks without attention
are not normalised, and the relative positions are part of the state dict.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wxr_plugin.archs.dehazeformer_layers import WINDOW, Block, SKFusion, initialise
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
SMALLEST = 28
"""Smallest side: at a quarter of it, 7 is the least that reflection can extend to whole windows."""


class Conv(nn.Module):
    """Convolution with reflected borders, from patches of `stride` x `stride` pixels to one."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
    ):
        super().__init__()
        pad = (kernel - stride + 1) // 2
        self.proj = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            pad,
            padding_mode="reflect",
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Unembed(nn.Module):
    """Convolution and pixel shuffle: `scale` x `scale` pixels from every pixel."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        scale: int,
    ):
        super().__init__()
        conv = nn.Conv2d(
            inputs,
            outputs * scale**2,
            kernel,
            padding=kernel // 2,
            padding_mode="reflect",
        )
        self.proj = nn.Sequential(
            conv,
            nn.PixelShuffle(scale),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Layer(nn.Module):
    """Blocks of one size; the last `share` of them attends, every other with shifted windows."""

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        share: float,
        depthwise: bool,
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio,
                shift=WINDOW // 2 * (index % 2),
                attends=index >= depth - share * depth,
                depthwise=depthwise,
            )
            for index in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@register_arch
class DehazeFormer(nn.Module):
    """U-Net of transformer blocks that predicts K (N, 1, H, W) and B (N, 3, H, W): J = K I - B + I.

    State-dict names are those of the authors' code. The defaults are DehazeFormer-B. The other
    variants differ by:

    - T: depths [4, 4, 4, 2, 2], attn_ratio [0, 0.5, 1, 0, 0]
    - S: depths [8, 8, 8, 4, 4]
    - D: depths [32, 32, 32, 16, 16]
    - W: embed_dims [48, 96, 192, 96, 48]
    - M: depths [12, 12, 12, 6, 6], conv_type Conv
    - L: embed_dims of W, depths [16, 16, 16, 12, 12], conv_type Conv

    Args:
        embed_dims: channels of the five layers, at full size, 1/2, 1/4, 1/2 and full size.
        depths: number of blocks of each layer.
        num_heads: attention heads of each layer; must divide its channels.
        mlp_ratios: hidden channels of the MLPs of each layer, in multiples of its channels.
        attn_ratio: share of the blocks of each layer, its last ones, that attend.
        conv_type: DWConv (a depthwise 5x5 convolution in each block) or Conv (two full 3x3 ones).
    """

    smoke = {
        "embed_dims": [8, 8, 8, 8, 8],
        "depths": [1, 1, 2, 1, 1],
        "num_heads": [1, 1, 2, 1, 1],
    }
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        embed_dims: Sequence[int] = (24, 48, 96, 48, 24),
        depths: Sequence[int] = (16, 16, 16, 8, 8),
        num_heads: Sequence[int] = (2, 4, 6, 1, 1),
        mlp_ratios: Sequence[float] = (2, 4, 4, 2, 2),
        attn_ratio: Sequence[float] = (0.25, 0.5, 0.75, 0, 0),
        conv_type: str = "DWConv",
    ):
        super().__init__()
        if conv_type not in ("DWConv", "Conv"):
            raise ValueError(f"DehazeFormer: conv_type is {conv_type!r}; take DWConv or Conv")
        shapes = zip(
            embed_dims,
            depths,
            num_heads,
            mlp_ratios,
            attn_ratio,
            strict=True,
        )
        for number, shape in enumerate(shapes, 1):
            layer = Layer(*shape, depthwise=conv_type == "DWConv")
            self.add_module(f"layer{number}", layer)
            initialise(layer, sum(depths))
        full, half, quarter, half_up, full_up = embed_dims
        self.patch_embed = Conv(3, full, 3, 1)
        self.patch_merge1 = Conv(full, half, 2, 2)
        self.patch_merge2 = Conv(half, quarter, 2, 2)
        self.skip1 = nn.Conv2d(full, full_up, 1)
        self.skip2 = nn.Conv2d(half, half_up, 1)
        self.patch_split1 = Unembed(quarter, half_up, 1, 2)
        self.patch_split2 = Unembed(half_up, full_up, 1, 2)
        self.fusion1 = SKFusion(half_up)
        self.fusion2 = SKFusion(full_up)
        self.patch_unembed = Unembed(full_up, 4, 3, 1)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 4 are extended right and below by reflection and the result is cropped, as
        published; so are those below 28, which the authors do not take (our choice; by repetition
        below 15).
        """
        # [0, 1] -> [-1, 1] and back.
        image = 2 * extended(lq, STRIDE, SMALLEST) - 1
        return cropped(self.published(image), lq) * 0.5 + 0.5

    def published(self, x: Tensor) -> Tensor:
        """Run the authors' network: images (N, 3, H, W) in [-1, 1] to restored ones, not clamped.

        H and W are multiples of 4 and at least 28.
        """
        full = self.layer1(self.patch_embed(x))
        half = self.layer2(self.patch_merge1(full))
        y = self.patch_split1(self.layer3(self.patch_merge2(half)))
        # Skips are fused by learnt weights and then added.
        y = self.layer4(self.fusion1(y, self.skip2(half)) + y)
        y = self.patch_split2(y)
        y = self.layer5(self.fusion2(y, self.skip1(full)) + y)
        # Soft reconstruction: J = K I - B + I, with one K for all colours.
        scale, offset = torch.split(self.patch_unembed(y), (1, 3), dim=1)
        return scale * x - offset + x
