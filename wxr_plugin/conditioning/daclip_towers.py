"""Image towers of open_clip, block by block: the controller of DA-CLIP and the frozen tower that it steers.

Luo et al., ICLR 2024 (arXiv 2310.01018), section 3.1. The controller is a copy of the tower; after
each of its blocks a linear layer that starts from zero makes a hidden state, which is added behind
a block of the frozen tower.

ViT: as published, the last hidden state is added behind the first block and so on (the authors take
them from the end of a list). ModifiedResNet: the published code has none, and the sizes of its
stages differ, so each hidden state, made by a 1x1 convolution, is added behind the same stage (our
choice).
"""

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn

from wxr_plugin.errors import WxrError


class DaClipError(WxrError):
    """A DA-CLIP that cannot be built or loaded, or that cannot do what is asked."""


class ControlTransformer(nn.Module):
    """The transformer of a copied ViT with its zero-initialised layers, under the published names."""

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.transformer = transformer
        width, layers = transformer.width, len(transformer.resblocks)
        self.zero_modules = nn.ModuleList(zeroed(nn.Linear(width, width)) for _ in range(layers))


class Tower(NamedTuple):
    """How one kind of image tower is taken apart; each entry takes the tower."""

    start: Callable[[nn.Module, Tensor], Tensor]
    """What comes before the first block."""
    blocks: Callable[[nn.Module], Iterable[nn.Module]]
    """The blocks behind which hidden states are made and added."""
    zeros: Callable[[nn.Module], Iterable[nn.Module]]
    """The zero-initialised layers of a controller."""
    finish: Callable[[nn.Module, Tensor], Tensor]
    """From the last block's output to the embedding (N, D)."""
    reverse: bool
    """Whether the first hidden state is added behind the last block."""


def make_controller(visual: nn.Module) -> nn.Module:
    """A trainable copy of the tower `visual` with zero-initialised layers.

    Raises DaClipError for a foreign tower.
    """
    kind = tower_of(visual)
    control = copy.deepcopy(visual).requires_grad_(True)
    if kind is VIT:
        control.patch_dropout = nn.Identity()  # both towers need the same tokens
        control.transformer = ControlTransformer(control.transformer)
    else:
        widths = [stage[-1].bn3.num_features for stage in kind.blocks(control)]
        control.zero_modules = nn.ModuleList(zeroed(nn.Conv2d(width, width, 1)) for width in widths)
    return control


def run_controller(control: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The controller's own embedding (N, D) of prepared images, and a hidden state for each block of the other tower.

    Hidden states come in the order in which they are added. They do not change what the controller
    itself computes.
    """
    kind = tower_of(control)
    x, hidden = kind.start(control, images), []
    for block, zero in zip(kind.blocks(control), kind.zeros(control), strict=True):
        x = block(x)
        hidden.append(zero(x))
    return kind.finish(control, x), hidden[::-1] if kind.reverse else hidden


def run_controlled(visual: nn.Module, images: Tensor, hidden: list[Tensor]) -> Tensor:
    """The embedding (N, D) of prepared images by the frozen tower, `hidden[i]` added behind its block i."""
    kind = tower_of(visual)
    x = kind.start(visual, images)
    for block, more in zip(kind.blocks(visual), hidden, strict=True):
        x = block(x) + more
    return kind.finish(visual, x)


def tower_of(visual: nn.Module) -> Tower:
    """How to take `visual` apart. Raises DaClipError for a tower that is not open_clip's own."""
    if hasattr(visual, "transformer") and hasattr(visual, "class_embedding"):
        return VIT
    if hasattr(visual, "attnpool") and hasattr(visual, "stem"):
        return RESNET
    raise DaClipError(
        f"DA-CLIP steers the blocks of open_clip's own ViT or ResNet; this CLIP's image tower is a "
        f"{type(visual).__name__}: take another CLIP, such as ViT-B-32:laion2b_s34b_b79k"
    )


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with weight and bias 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _vit_blocks(tower: nn.Module) -> nn.ModuleList:
    return getattr(tower.transformer, "transformer", tower.transformer).resblocks


def _vit_finish(tower: nn.Module, x: Tensor) -> Tensor:
    pooled, _ = tower._pool(x)
    return pooled if tower.proj is None else pooled @ tower.proj


VIT = Tower(
    start=lambda tower, images: tower._embeds(images),
    blocks=_vit_blocks,
    zeros=lambda tower: tower.transformer.zero_modules,
    finish=_vit_finish,
    reverse=True,
)
RESNET = Tower(
    start=lambda tower, images: tower.stem(images),
    blocks=lambda tower: (tower.layer1, tower.layer2, tower.layer3, tower.layer4),
    zeros=lambda tower: tower.zero_modules,
    finish=lambda tower, x: tower.attnpool(x),
    reverse=False,
)
