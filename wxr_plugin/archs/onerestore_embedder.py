"""The embedder of OneRestore: embeddings of degradations, chosen by an image or by name."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

TYPES = (
    "clear",
    "low",
    "haze",
    "rain",
    "snow",
    "low_haze",
    "low_rain",
    "low_snow",
    "haze_rain",
    "haze_snow",
    "low_haze_rain",
    "low_haze_snow",
)
"""Degradations that the published embedder distinguishes, in its order; `low` is low light."""
EMBEDDING = 324
"""Length of an embedding."""
WORD = 300
"""Length of the word vector of a type (GloVe)."""
SIDE = 224
"""Side in pixels at which images are classified."""
MEAN = (0.485, 0.456, 0.406)
"""ImageNet's mean of red, green and blue."""
STD = (0.229, 0.224, 0.225)
"""ImageNet's standard deviation of red, green and blue."""


class Embedder(nn.Module):
    """Table of one embedding per type, and a ResNet-18 that looks up an image's type in it.

    State-dict names are the authors'. Images are RGB (N, 3, H, W) in [0, 1], any size.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedder = nn.Embedding(len(TYPES), WORD)
        self.mlp = nn.Sequential(
            nn.Linear(WORD, EMBEDDING),
            nn.ReLU(),
        )
        self.feat_extractor = _trunk()
        self.img_embedder = nn.Sequential(
            nn.Conv2d(512, 1024, 1, bias=False),
            nn.BatchNorm2d(1024),
            nn.ReLU(),
            nn.Dropout2d(0.35),
        )
        self.img_final = nn.Linear(1024, EMBEDDING)
        for name, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the embedding (N, 324) of the type with the largest cosine to each image's own."""
        table = self.table()
        visual = F.normalize(self.visual(image), dim=1)
        cosines = visual @ F.normalize(table, dim=1).T  # (N, 12)
        return table[cosines.argmax(1)]

    def named(self, kind: str) -> Tensor:
        """Return the embedding (324,) of a type.

        Raises:
            ValueError: `kind` is not one of `TYPES`.
        """
        if kind not in TYPES:
            raise ValueError(
                f"OneRestore knows no degradation {kind!r}; take one of {', '.join(TYPES)}"
            )
        return self.table()[TYPES.index(kind)]

    def table(self) -> Tensor:
        """Return the embeddings (12, 324) of all types."""
        return self.mlp(self.embedder.weight)

    def visual(self, image: Tensor) -> Tensor:
        """Return the images' own embeddings (N, 324), computed at 224x224 as by the authors."""
        if image.shape[-2:] != (SIDE, SIDE):
            image = F.interpolate(
                image, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
            )
        features = self.feat_extractor((image - self.mean) / self.std)
        features = self.img_embedder(features)  # (N, 1024, 7, 7)
        return self.img_final(features.mean((2, 3)))


def _trunk() -> nn.Sequential:
    net = resnet18(weights=None)
    trunk = nn.Sequential()
    trunk.add_module("block0", nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool))
    for number, layer in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), 1):
        trunk.add_module(f"block{number}", layer)
    return trunk
