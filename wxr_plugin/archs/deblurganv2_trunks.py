"""The networks for classification whose features DeblurGAN-v2 uses, cut where its pyramid takes them.

A trunk is the whole network as it lies in the authors' files, what each of the five steps of the
pyramid runs of it, their channels, and the parts that nothing runs.
"""

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
"""MobileNetV2's table: expansion, channels, blocks, stride of the first."""


@dataclass
class Trunk:
    """`name`: of the network in the state dict.

    `borders`: what each step lacks of its full size, left and right (and
    above and below). `smallest`: side of the least images."""

    name: str
    network: nn.Module
    steps: list[nn.Module]
    widths: list[int]
    unused: list[nn.Module]
    borders: list[tuple[int, int]]
    smallest: int


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widened by 1x1, filtered channel by channel, narrowed again; the input where it fits."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        self.added = stride == 1 and inputs == outputs
        inner = inputs * expansion
        widened = _filtered(inputs, inner, 1) if expansion > 1 else []
        narrowed = [nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
        self.conv = nn.Sequential(
            *widened, *_filtered(inner, inner, 3, stride, groups=inner), *narrowed
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.added else self.conv(x)


def mobilenet() -> Trunk:
    """MobileNetV2 (Sandler et al., CVPR 2018) in the naming of its first ports, which torchvision has since changed."""
    layers, width = [nn.Sequential(*_filtered(3, 32, 3, 2))], 32
    for expansion, outputs, blocks, stride in MOBILENET:
        for index in range(blocks):
            layers.append(InvertedResidual(width, outputs, 1 if index else stride, expansion))
            width = outputs
    layers.append(nn.Sequential(*_filtered(width, 1280, 1)))
    features = nn.Sequential(*layers)
    steps = [
        nn.Sequential(*features[start:end])
        for start, end in ((0, 2), (2, 4), (4, 7), (7, 11), (11, 16))
    ]
    return Trunk(
        "features", features, steps, [16, 24, 32, 64, 160], [features[16:]], [(0, 0)] * 5, 64
    )


def inception() -> Trunk:
    """Inception-ResNet-v2 (Szegedy et al., AAAI 2017): timm's, with the authors' names but for the classifier's."""
    from timm.models.inception_resnet_v2 import InceptionResnetV2  # imports every network it has

    net = InceptionResnetV2()
    net.last_linear, net.classif = net.classif, None
    steps = [
        net.conv2d_1a,
        nn.Sequential(net.conv2d_2a, net.conv2d_2b, net.maxpool_3a),
        nn.Sequential(net.conv2d_3b, net.conv2d_4a, net.maxpool_5a),
        nn.Sequential(net.mixed_5b, net.repeat, net.mixed_6a),
        nn.Sequential(net.repeat_1, net.mixed_7a),
    ]
    borders = [(0, 1), (1, 1), (1, 2), (1, 1), (1, 1)]
    unused = [net.repeat_2, net.block8, net.conv2d_7b, net.last_linear]
    return Trunk("inception", net, steps, [32, 64, 192, 1088, 2080], unused, borders, 128)


def _filtered(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU6()]
