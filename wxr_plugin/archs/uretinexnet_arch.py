"""URetinex-Net (Wu et al., Retinex-based Deep Unfolding Network, CVPR 2022).

The authors' code and weights are under the MIT licence. An image is modelled as the product of
reflectance and illumination. Three rounds solve for both, each with learnt priors; then the
illumination is brightened.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.registry import register_arch


class Decomposition(nn.Module):
    """Initial split of an image into reflectance (N, 3, H, W) and illumination (N, 1, H, W)."""

    def __init__(self, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (3, width, width):
            layers += [_conv(inputs, width, 3), nn.LeakyReLU(0.2)]
        self.decom = nn.Sequential(
            *layers,
            _conv(width, 4, 3),
            nn.ReLU(),
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.decom(image).split((3, 1), dim=1)


class ChannelWeights(nn.Module):
    """Squeeze and excitation: weights of channels from the means of all channels."""

    def __init__(self, channels: int):
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        weights = self.fc(x.mean((2, 3)))  # (N, C)
        return x * weights[..., None, None]


class Reflectance(nn.Module):
    """Denoiser of the reflectance, given the illumination."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = _conv(3, width, 3)
        self.conv2 = _conv(1, width, 3)
        self.se_layer = ChannelWeights(2 * width)
        for number in range(3, 8):
            self.add_module(f"conv{number}", _conv(2 * width, 2 * width, 3))
        self.conv8 = _conv(2 * width, 3, 3)

    def forward(self, reflectance: Tensor, illumination: Tensor) -> Tensor:
        from_reflectance = F.relu(self.conv1(reflectance))
        from_illumination = F.relu(self.conv2(illumination))
        x = torch.cat((from_reflectance, from_illumination), dim=1)
        x = self.se_layer(x)
        for number in range(3, 8):
            x = F.relu(getattr(self, f"conv{number}")(x))
        return reflectance + self.conv8(x)


class Illumination(nn.Module):
    """Smoother of the illumination, or brightener with the ratio as a second input channel."""

    def __init__(
        self,
        inputs: int,
        width: int,
        inner: int,
        last_kernel: int,
    ):
        super().__init__()
        self.inner = inner
        for number in range(1, inner + 1):
            self.add_module(f"conv{number}", _conv(inputs if number == 1 else width, width, 5))
        self.add_module(f"conv{inner + 1}", _conv(width, 1, last_kernel))

    def forward(self, x: Tensor) -> Tensor:
        for number in range(1, self.inner + 1):
            x = F.leaky_relu(getattr(self, f"conv{number}")(x), 0.2)
        return F.relu(getattr(self, f"conv{self.inner + 1}")(x))


@register_arch
class URetinexNet(nn.Module):
    """URetinex-Net; `wxr_plugin/zoo/uretinexnet.yml` maps the authors' three files to its parts.

    Args:
        ratio: factor by which the illumination is brightened; the authors recommend 3 to 5, and in
            the paper take it from the ground truth.
        rounds: rounds of solving for reflectance and illumination.
        gamma: weight of the learnt reflectance against the image.
        lamda: weight of the learnt illumination against the image.
        offset: increment of both weights with every round after the first.
        width: channels of the features.
    """

    smoke = {"width": 8}
    """Constructor arguments of a small instance for the tests of all networks."""

    def __init__(
        self,
        ratio: float = 5,
        rounds: int = 3,
        gamma: float = 0.1,
        lamda: float = 0.5,
        offset: float = 0.05,
        width: int = 32,
    ):
        super().__init__()
        self.ratio = ratio
        self.rounds = rounds
        self.gamma = gamma
        self.lamda = lamda
        self.offset = offset
        self.model_Decom_low = Decomposition(width)
        self.model_R = Reflectance(width)
        self.model_L = Illumination(1, width, inner=4, last_kernel=1)
        self.adjust_model = Illumination(2, width, inner=3, last_kernel=5)

    def forward(self, lq: Tensor) -> Tensor:
        """Brighten RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped.
        """
        return self.published(lq)[0]

    def published(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the brightened images, and reflectance and illumination of the dark ones.

        Shapes are (N, 3, H, W), (N, 3, H, W) and (N, 1, H, W).
        """
        # p and q solve the data terms; reflectance and illumination are their learnt refinements.
        p, q = self.model_Decom_low(image)
        reflectance = self.model_R(p, q)
        illumination = self.model_L(q)
        for number in range(1, self.rounds):
            # Closed-form solutions of the data terms, then the learnt priors.
            gamma = self.gamma + self.offset * number
            lamda = self.lamda + self.offset * number
            p = _reflectance(image, q, reflectance, gamma)
            q = _illumination(image, p, illumination, lamda)
            reflectance = self.model_R(p, q)
            illumination = self.model_L(q)
        # The ratio is a second input channel, constant over the image.
        ratio = torch.full_like(illumination, self.ratio)
        brightened = self.adjust_model(torch.cat((illumination, ratio), dim=1))
        return brightened * reflectance, reflectance, illumination


def _reflectance(
    image: Tensor,
    q: Tensor,
    prior: Tensor,
    weight: float,
) -> Tensor:
    """Return the P that minimises |image - P q|^2 + weight |P - prior|^2."""
    return (image * q + weight * prior) / (q * q + weight)


def _illumination(
    image: Tensor,
    p: Tensor,
    prior: Tensor,
    weight: float,
) -> Tensor:
    """Return the Q that minimises |image - p Q|^2, summed over colours, + weight |Q - prior|^2."""
    numerator = (image * p).sum(1, keepdim=True) + weight * prior
    denominator = (p * p).sum(1, keepdim=True) + weight
    return numerator / denominator


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
