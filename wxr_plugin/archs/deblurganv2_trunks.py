"""Trunks of DeblurGAN-v2: classification networks, cut into the five steps of its pyramid."""

from dataclasses import dataclass

from torch import Tensor, nn

MOBILENET = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""MobileNetV2's table: expansion, channels, number of blocks, stride of the first block."""


@dataclass
class Trunk:
    """A classification network and its five steps."""

    name: str
    """Name of the network in the state dict."""
    network: nn.Module
    """The whole network, as in the authors' files."""
    steps: list[nn.Module]
    """Layers of each step."""
    widths: list[int]
    """Channels that each step returns."""
    unused: list[nn.Module]
    """Layers that no step runs."""
    borders: list[tuple[int, int]]
    """Pixels that each step lacks of its full size: left and right, also above and below."""
    smallest: int
    """Smallest side of an image."""


class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1x1 widening, depthwise 3x3, 1x1 narrowing; residual if shapes fit."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        expansion: int,
    ):
        super().__init__()
        self.added = stride == 1 and inputs == outputs
        inner = inputs * expansion
        widened = _filtered(inputs, inner, 1) if expansion > 1 else []
        narrowed = [nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        depthwise = _filtered(inner, inner, 3, stride, groups=inner)
        self.conv = nn.Sequential(*widened, *depthwise, *narrowed)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return x + y if self.added else y


def mobilenet() -> Trunk:
    """Build MobileNetV2 (Sandler et al., CVPR 2018).

    Names are those of its first ports, which torchvision has since changed.
    """
    layers = [nn.Sequential(*_filtered(3, 32, 3, 2))]
    width = 32
    for expansion, outputs, blocks, stride in MOBILENET:
        for index in range(blocks):
            layers.append(InvertedResidual(width, outputs, 1 if index else stride, expansion))
            width = outputs
    layers.append(nn.Sequential(*_filtered(width, 1280, 1)))
    features = nn.Sequential(*layers)
    # A step ends before the next block of stride 2.
    bounds = ((0, 2), (2, 4), (4, 7), (7, 11), (11, 16))
    return Trunk(
        name="features",
        network=features,
        steps=[nn.Sequential(*features[start:end]) for start, end in bounds],
        widths=[16, 24, 32, 64, 160],
        unused=[features[16:]],
        borders=[(0, 0)] * 5,
        smallest=64,
    )


def inception() -> Trunk:
    """Build Inception-ResNet-v2 (Szegedy et al., AAAI 2017) from timm, with the authors' names."""
    # Imported here, since timm imports all of its networks.
    from timm.models.inception_resnet_v2 import InceptionResnetV2

    net = InceptionResnetV2()
    # The only name that differs: timm calls the classifier `classif`.
    net.last_linear = net.classif
    net.classif = None
    steps = [
        net.conv2d_1a,
        nn.Sequential(net.conv2d_2a, net.conv2d_2b, net.maxpool_3a),
        nn.Sequential(net.conv2d_3b, net.conv2d_4a, net.maxpool_5a),
        nn.Sequential(net.mixed_5b, net.repeat, net.mixed_6a),
        nn.Sequential(net.repeat_1, net.mixed_7a),
    ]
    return Trunk(
        name="inception",
        network=net,
        steps=steps,
        widths=[32, 64, 192, 1088, 2080],
        unused=[net.repeat_2, net.block8, net.conv2d_7b, net.last_linear],
        borders=[(0, 1), (1, 1), (1, 2), (1, 1), (1, 1)],
        smallest=128,
    )


def _filtered(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
) -> list[nn.Module]:
    conv = nn.Conv2d(
        inputs,
        outputs,
        kernel,
        stride,
        kernel // 2,
        groups=groups,
        bias=False,
    )
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU6()]
