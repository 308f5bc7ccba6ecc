"""WGWS-Net (Zhu et al., CVPR 2023): a general network (stage 1) plus weather-specific kernels (2).

Three scales with dense blocks, like MIMO-UNet. In stage 2 each convolution has three additional
kernels, one for each weather, each with a learnt gate. The authors state no licence for code or
weights.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch
from wxr_plugin.utils.sizes import cropped, extended

STRIDE = 4
BRANCHES = (1, 2, 3)
"""Numbers of the weathers' kernels in the authors' names."""
OPEN = 0.1
"""Smallest indicator of an open gate."""

Flag = Sequence[float]
"""Weight of each of the three weathers."""


class GeneralConv(nn.Conv2d):
    """Convolution of stage 1, the same for all weathers."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
    ):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2)

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        return super().forward(x)


class SpecificConv(nn.Conv2d):
    """Convolution of stage 2, with kernels of size min(branch, kernel) for each weather.

    Kernels are summed before the convolution, which equals the sum of their results.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        branch: int,
    ):
        super().__init__(
            inputs,
            outputs,
            kernel,
            stride,
            kernel // 2,
            bias=False,
        )
        side = min(branch, kernel)
        self.margin = (kernel - side) // 2
        for number in BRANCHES:
            residual = nn.Parameter(torch.zeros(outputs, inputs, side, side))
            indicator = nn.Parameter(torch.full((1,), 0.15))
            self.register_parameter(f"B{number}_residual", residual)
            self.register_parameter(f"B{number}_indicator", indicator)

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        added = sum(weight * self._branch(number) for number, weight in zip(BRANCHES, flag))
        # The weathers' kernels lie in the middle of the common one.
        kernel = self.weight + F.pad(added, 4 * [self.margin])
        return F.conv2d(x, kernel, None, self.stride, self.padding)

    def _branch(self, number: int) -> Tensor:
        indicator = getattr(self, f"B{number}_indicator")
        is_open = (indicator >= OPEN).to(indicator)
        # Straight-through estimator: 0 or 1 forward, the gradient of the indicator backward.
        gate = is_open + (indicator - indicator.detach())
        return gate * getattr(self, f"B{number}_residual")


CONVS = {
    "stage1": GeneralConv,
    "K1": lambda *shape: SpecificConv(*shape, branch=1),
    "K3": lambda *shape: SpecificConv(*shape, branch=3),
}


class BasicConv(nn.Module):
    """Convolution of the kind `variant`, and GELU unless `gelu` is False."""

    def __init__(
        self,
        variant: str,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        gelu: bool = True,
    ):
        super().__init__()
        self.layer = CONVS[variant](inputs, outputs, kernel, stride)
        self.gelu = gelu

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        x = self.layer(x, flag)
        return F.gelu(x) if self.gelu else x


class UpConv(nn.Module):
    """Transposed convolution and GELU to half the channels and twice the size, for all weathers."""

    def __init__(self, inputs: int):
        super().__init__()
        self.layer = nn.ConvTranspose2d(inputs, inputs // 2, 4, 2, 1)

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        return F.gelu(self.layer(x))


class DenseConv(nn.Module):
    """Concatenation of the input and its convolution."""

    def __init__(
        self,
        variant: str,
        inputs: int,
        growth: int,
    ):
        super().__init__()
        self.conv = BasicConv(variant, inputs, growth, 3)

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        return torch.cat((x, self.conv(x, flag)), 1)


class DenseBlock(nn.Module):
    """Three dense convolutions and a 1x1 convolution back to the width, added to the input."""

    def __init__(self, variant: str, channels: int):
        super().__init__()
        for number in range(3):
            self.add_module(f"conv{number}", DenseConv(variant, (number + 1) * channels, channels))
        self.LFF = BasicConv(variant, 4 * channels, channels, gelu=False)

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        dense = x
        for conv in (self.conv0, self.conv1, self.conv2):
            dense = conv(dense, flag)
        return self.LFF(dense, flag) + x


class Stage(nn.Module):
    """Chain of dense blocks, called layer1 and so on."""

    def __init__(
        self,
        variant: str,
        channels: int,
        blocks: int,
    ):
        super().__init__()
        for number in range(blocks):
            self.add_module(f"layer{number + 1}", DenseBlock(variant, channels))

    def forward(self, x: Tensor, flag: Flag) -> Tensor:
        for block in self.children():
            x = block(x, flag)
        return x


class ScaleFusion(nn.Module):
    """Fusion of the features of all three scales, resized to one scale (the paper's AFF)."""

    def __init__(
        self,
        variant: str,
        inputs: int,
        outputs: int,
    ):
        super().__init__()
        self.conv1 = BasicConv(variant, inputs, outputs)
        self.conv2 = BasicConv(variant, outputs, outputs, 3, gelu=False)

    def forward(self, x: Sequence[Tensor], flag: Flag) -> Tensor:
        fused = self.conv1(torch.cat(x, 1), flag)
        return self.conv2(fused, flag)


class ImageFeatures(nn.Module):
    """Features of a smaller copy of the image, the copy itself included (the paper's SCM)."""

    def __init__(self, variant: str, channels: int):
        super().__init__()
        # The last layer leaves room for the three colours of the image.
        quarter = channels // 4
        half = channels // 2
        self.layer1 = BasicConv(variant, 3, quarter, 3)
        self.layer2 = BasicConv(variant, quarter, half)
        self.layer3 = BasicConv(variant, half, half, 3)
        self.layer4 = BasicConv(variant, half, channels - 3)
        self.conv = BasicConv(variant, channels, channels, gelu=False)

    def forward(self, image: Tensor, flag: Flag) -> Tensor:
        x = image
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x, flag)
        return self.conv(torch.cat((image, x), 1), flag)


class FeatureAttention(nn.Module):
    """Features modulated by those of the smaller image: x + conv(x * image) (the paper's FAM)."""

    def __init__(self, variant: str, channels: int):
        super().__init__()
        self.merge = BasicConv(variant, channels, channels, 3, gelu=False)

    def forward(self, x: Tensor, image: Tensor, flag: Flag) -> Tensor:
        return x + self.merge(x * image, flag)


@register_arch
class WGWSNet(nn.Module):
    """WGWS-Net with the authors' state-dict names, so that their weights load.

    Args:
        variant: 'K1' (published weights) and 'K3': stage 2, with kernels for the weathers of at
            most 1x1 or 3x3; 'stage1': the network of stage 1, without these kernels but with
            biases.
        base_channel: channels at full size, at least 6: 18 in the authors' setting 1, 20 in their
            setting 2; for setting 3 their README says 18 and their script 20: the number of outputs
            of the first convolution in the file decides.
        blocks: dense blocks of each stage, 6 as published.
        flag: weight of each of the three weathers in `forward`, one of them 1 as published. Setting
            1: snow, rain with fog, raindrops; setting 2: snow, rain, haze; setting 3: haze, rain,
            snow. All 0: no weather-specific kernels.
    """

    smoke = {"base_channel": 8, "blocks": 1}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        variant: str = "K1",
        base_channel: int = 18,
        blocks: int = 6,
        flag: Flag = (1, 0, 0),
    ):
        super().__init__()
        if variant not in CONVS:
            raise ValueError(f"WGWSNet: variant is one of {', '.join(CONVS)}, not {variant!r}")
        if len(flag) != len(BRANCHES):
            raise ValueError(
                f"WGWSNet: flag has a weight for each of three weathers; it is {list(flag)}"
            )
        self.flag = tuple(flag)
        widths = [base_channel, 2 * base_channel, 4 * base_channel]
        self.Encoder = nn.ModuleList(Stage(variant, width, blocks) for width in widths)
        self.Decoder = nn.ModuleList(Stage(variant, width, blocks) for width in reversed(widths))
        self._build_joints(variant, *widths)

    def _build_joints(
        self,
        variant: str,
        fine: int,
        middle: int,
        coarse: int,
    ) -> None:
        self.feat_extract = nn.ModuleList(
            [
                BasicConv(variant, 3, fine, 3),
                BasicConv(variant, fine, middle, 3, stride=2),
                BasicConv(variant, middle, coarse, 3, stride=2),
                UpConv(coarse),
                UpConv(middle),
                BasicConv(variant, fine, 3, 3, gelu=False),
            ]
        )
        self.Convs = nn.ModuleList(
            [BasicConv(variant, coarse, middle), BasicConv(variant, middle, fine)]
        )
        widths = (fine, middle, coarse)
        self.AFFs = nn.ModuleList(ScaleFusion(variant, sum(widths), width) for width in widths)
        self.FAM1 = FeatureAttention(variant, coarse)
        self.SCM1 = ImageFeatures(variant, coarse)
        self.FAM2 = FeatureAttention(variant, middle)
        self.SCM2 = ImageFeatures(variant, middle)

    def forward(self, lq: Tensor) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1] from the weather of the argument `flag`.

        H and W are arbitrary; the result has the same shape and is not clamped. Sides that are not
        a multiple of 4 are extended right and below by reflection and the result is cropped (our
        choice; the authors' loader resizes to multiples of 16).
        """
        restored = self.published(extended(lq, STRIDE), self.flag)
        return cropped(restored, lq)

    def published(self, image: Tensor, flag: Flag) -> Tensor:
        """Run the authors' network on RGB images (N, 3, H, W) in [0, 1] and the weathers' weights.

        H and W are multiples of 4.
        """
        features = self._encode(image, flag)
        fine, middle, coarse = self._fused(*features, flag)
        # A quarter of the size.
        x = self.Decoder[0](coarse, flag)
        x = self.feat_extract[3](x, flag)
        # Half the size.
        x = self.Convs[0](torch.cat((x, middle), 1), flag)
        x = self.Decoder[1](x, flag)
        x = self.feat_extract[4](x, flag)
        # Full size.
        x = self.Convs[1](torch.cat((x, fine), 1), flag)
        x = self.Decoder[2](x, flag)
        return self.feat_extract[5](x, flag) + image

    def _encode(self, image: Tensor, flag: Flag) -> tuple[Tensor, Tensor, Tensor]:
        half = _resized(image, 0.5)
        quarter = _resized(half, 0.5)
        fine = self.feat_extract[0](image, flag)
        fine = self.Encoder[0](fine, flag)
        # Smaller scales take the features of the finer scale and those of a smaller image.
        middle = self.feat_extract[1](fine, flag)
        middle = self.FAM2(middle, self.SCM2(half, flag), flag)
        middle = self.Encoder[1](middle, flag)
        coarse = self.feat_extract[2](middle, flag)
        coarse = self.FAM1(coarse, self.SCM1(quarter, flag), flag)
        coarse = self.Encoder[2](coarse, flag)
        return fine, middle, coarse

    def _fused(
        self,
        fine: Tensor,
        middle: Tensor,
        coarse: Tensor,
        flag: Flag,
    ) -> tuple[Tensor, Tensor, Tensor]:
        at_full = (fine, _resized(middle, 2), _resized(coarse, 4))
        at_half = (_resized(fine, 0.5), middle, _resized(coarse, 2))
        at_quarter = (_resized(fine, 0.25), _resized(middle, 0.5), coarse)
        return (
            self.AFFs[0](at_full, flag),
            self.AFFs[1](at_half, flag),
            self.AFFs[2](at_quarter, flag),
        )


def _resized(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor)
