"""DehazeFormer (Song et al., Vision Transformers for Single Image Dehazing, IEEE TIP 2023).

The authors' code and weights are under the MIT licence. Kept as they have it: blocks without
attention are not normalised, and the differences of places lie in the state dict.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wxr_plugin.archs.dehazeformer_layers import WINDOW, Block, SKFusion, initialise
from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
SMALLEST = 28  # of the sides at a quarter, 7 is the least that reflection fills up to whole windows


class Conv(nn.Module):
    """A convolution that takes so many pixels to one: patches."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        pad = (kernel - stride + 1) // 2
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, pad, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Unembed(nn.Module):
    """A convolution that makes `scale` x `scale` pixels of every pixel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, scale: int):
        super().__init__()
        conv = nn.Conv2d(
            inputs, outputs * scale**2, kernel, padding=kernel // 2, padding_mode="reflect"
        )
        self.proj = nn.Sequential(conv, nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class Layer(nn.Module):
    """Blocks of one size; of the last ones, which attend, every other has its windows shifted by half."""

    def __init__(
        self, width: int, depth: int, heads: int, mlp_ratio: float, share: float, depthwise: bool
    ):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                mlp_ratio,
                WINDOW // 2 * (index % 2),
                index >= depth - share * depth,
                depthwise,
            )
            for index in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


@register_arch
class DehazeFormer(nn.Module):
    """A U-Net of transformer blocks, of whose result one channel scales the image and three are taken from it.

    State-dict names are those of the authors' code. The defaults are DehazeFormer-B; what the
    others have instead:
    T: depths [4, 4, 4, 2, 2], attn_ratio [0, 0.5, 1, 0, 0]; S: depths [8, 8, 8, 4, 4]; D: [32, 32,
    32, 16, 16];
    W: embed_dims [48, 96, 192, 96, 48]; M: depths [12, 12, 12, 6, 6], conv_type Conv; L: the widths
    of W, depths [16, 16, 16, 12, 12], conv_type Conv.

    Args:
        embed_dims: channels of the five layers, at full size, 1/2, 1/4, 1/2 and full size.
        depths: their blocks.
        num_heads: their attention heads; each divides its layer's channels.
        mlp_ratios: channels inside their MLPs, in multiples of their own.
        attn_ratio: which share of their blocks attends, the last ones.
        conv_type: DWConv (a depthwise 5x5 convolution in each block) or Conv (two full 3x3 ones).
    """

    smoke = {"embed_dims": [8, 8, 8, 8, 8], "depths": [1, 1, 2, 1, 1], "num_heads": [1, 1, 2, 1, 1]}
    """Arguments of a quick instance, for the tests that walk all networks."""

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
        kinds = zip(embed_dims, depths, num_heads, mlp_ratios, attn_ratio, strict=True)
        for number, kind in enumerate(kinds, 1):
            self.add_module(f"layer{number}", Layer(*kind, depthwise=conv_type == "DWConv"))
            initialise(self.get_submodule(f"layer{number}"), sum(depths))
        full, half, quarter, half_up, full_up = embed_dims
        self.patch_embed = Conv(3, full, 3, 1)
        self.patch_merge1, self.patch_merge2 = Conv(full, half, 2, 2), Conv(half, quarter, 2, 2)
        self.skip1, self.skip2 = nn.Conv2d(full, full_up, 1), nn.Conv2d(half, half_up, 1)
        self.patch_split1, self.patch_split2 = (
            Unembed(quarter, half_up, 1, 2),
            Unembed(half_up, full_up, 1, 2),
        )
        self.fusion1, self.fusion2 = SKFusion(half_up), SKFusion(full_up)
        self.patch_unembed = Unembed(full_up, 4, 3, 1)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images (N, 3, H, W) in [0, 1], any H and W; the result is of that size and not clamped.

        Sides that are no multiple of 4 are extended right and below by reflection and the result is
        cropped, as published; so are those below 28, which the authors do not take (our choice; by
        repetition below 15).
        """
        return cropped(self.published(2 * extended(lq, STRIDE, SMALLEST) - 1), lq) * 0.5 + 0.5

    def published(self, x: Tensor) -> Tensor:
        """The authors' network: images in [-1, 1] of sides that are multiples of 4 and at least 28, to the same."""
        full = self.layer1(self.patch_embed(x))
        half = self.layer2(self.patch_merge1(full))
        y = self.patch_split1(self.layer3(self.patch_merge2(half)))
        y = self.layer4(self.fusion1(y, self.skip2(half)) + y)
        y = self.patch_split2(y)
        y = self.layer5(self.fusion2(y, self.skip1(full)) + y)
        scale, taken = torch.split(self.patch_unembed(y), (1, 3), dim=1)
        return scale * x - taken + x
