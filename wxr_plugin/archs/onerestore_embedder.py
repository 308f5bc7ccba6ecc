"""The embedder of OneRestore: what the restorer is told of the degradation, from the image or from its name."""

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
"""Degradations that the published embedder tells apart, in its order; `low` is too little light."""
EMBEDDING = 324
WORD = 300
SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Embedder(nn.Module):
    """A table of one embedding a type, and a ResNet-18 that finds an image's place in it.

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
        """The embedding (N, 324) of the type that each image looks most like (by the cosine)."""
        table = self.table()
        likeness = F.normalize(self.visual(image), dim=1) @ F.normalize(table, dim=1).T
        return table[likeness.argmax(1)]

    def named(self, kind: str) -> Tensor:
        """The embedding (324,) of a type; raises ValueError for a name that is not one of `TYPES`."""
        if kind not in TYPES:
            raise ValueError(
                f"OneRestore knows no degradation {kind!r}; take one of {', '.join(TYPES)}"
            )
        return self.table()[TYPES.index(kind)]

    def table(self) -> Tensor:
        """The embeddings (12, 324) of all types."""
        return self.mlp(self.embedder.weight)

    def visual(self, image: Tensor) -> Tensor:
        """The image's own embedding (N, 324), seen at 224x224 as the authors' test does."""
        if image.shape[-2:] != (SIDE, SIDE):
            image = F.interpolate(
                image, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
            )
        features = self.img_embedder(self.feat_extractor((image - self.mean) / self.std))
        return self.img_final(features.mean((2, 3)))


def _trunk() -> nn.Sequential:
    net = resnet18(weights=None)
    trunk = nn.Sequential()
    trunk.add_module("block0", nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool))
    for number, layer in enumerate((net.layer1, net.layer2, net.layer3, net.layer4), 1):
        trunk.add_module(f"block{number}", layer)
    return trunk
