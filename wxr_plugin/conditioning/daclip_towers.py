"""Image towers of open_clip, block by block: DA-CLIP's controller and the tower that it steers.

Luo et al., ICLR 2024 (arXiv 2310.01018), section 3.1. The controller is a copy of the tower. After
each of its blocks, a zero-initialised linear layer computes a hidden state, which is added to the
output of a block of the frozen tower.

ViT: as published, the last hidden state is added after the first block and so on (the authors take
them from the end of a list). ModifiedResNet: the published code does not support it. As the sizes
of its stages differ, each hidden state, computed by a 1x1 convolution, is added after the same
stage (our choice).
"""

import copy
from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import Tensor, nn

from wxr_plugin.errors import WxrError


class DaClipError(WxrError):
    """A DA-CLIP that cannot be built or loaded, or that lacks a feature."""


class ControlTransformer(nn.Module):
    """Transformer of a copied ViT with its zero-initialised layers, under published names."""

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.transformer = transformer
        width = transformer.width
        layers = [zeroed(nn.Linear(width, width)) for _ in transformer.resblocks]
        self.zero_modules = nn.ModuleList(layers)


class Tower(NamedTuple):
    """Parts of a type of image tower; each function takes the tower as its first argument."""

    start: Callable[[nn.Module, Tensor], Tensor]
    """Compute the input of the first block from images (N, 3, S, S)."""
    blocks: Callable[[nn.Module], Iterable[nn.Module]]
    """Return the blocks after which hidden states are computed and added."""
    zeros: Callable[[nn.Module], Iterable[nn.Module]]
    """Return the zero-initialised layers of a controller."""
    finish: Callable[[nn.Module, Tensor], Tensor]
    """Compute the embedding (N, D) from the output of the last block."""
    reverse: bool
    """Whether the first hidden state is added after the last block."""


def make_controller(visual: nn.Module) -> nn.Module:
    """Return a trainable copy of the tower `visual` with zero-initialised layers.

    Raises:
        DaClipError: the tower is neither a ViT nor a ResNet of open_clip.
    """
    kind = tower_of(visual)
    control = copy.deepcopy(visual).requires_grad_(True)
    if kind is VIT:
        control.patch_dropout = nn.Identity()  # both towers need the same tokens
        control.transformer = ControlTransformer(control.transformer)
    else:
        widths = [stage[-1].bn3.num_features for stage in kind.blocks(control)]
        layers = [zeroed(nn.Conv2d(width, width, 1)) for width in widths]
        control.zero_modules = nn.ModuleList(layers)
    return control


def run_controller(control: nn.Module, images: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the embedding (N, D) by the controller, and the hidden states for the frozen tower.

    Hidden states are in the order in which they are added. They do not affect the embedding of the
    controller.
    """
    kind = tower_of(control)
    x = kind.start(control, images)
    hidden = []
    blocks = kind.blocks(control)
    for block, zero in zip(blocks, kind.zeros(control), strict=True):
        x = block(x)
        hidden.append(zero(x))
    if kind.reverse:
        hidden.reverse()
    return kind.finish(control, x), hidden


def run_controlled(visual: nn.Module, images: Tensor, hidden: list[Tensor]) -> Tensor:
    """Return the embedding (N, D) by the frozen tower, with `hidden[i]` added after block i."""
    kind = tower_of(visual)
    x = kind.start(visual, images)
    for block, state in zip(kind.blocks(visual), hidden, strict=True):
        x = block(x) + state
    return kind.finish(visual, x)


def tower_of(visual: nn.Module) -> Tower:
    """Return the parts of the tower `visual`.

    Raises:
        DaClipError: the tower is neither a ViT nor a ResNet of open_clip.
    """
    if hasattr(visual, "transformer") and hasattr(visual, "class_embedding"):
        return VIT
    if hasattr(visual, "attnpool") and hasattr(visual, "stem"):
        return RESNET
    raise DaClipError(
        f"DA-CLIP steers the blocks of open_clip's ViT or ResNet, but this CLIP's tower is a "
        f"{type(visual).__name__}: take another CLIP, such as ViT-B-32:laion2b_s34b_b79k"
    )


def zeroed(layer: nn.Module) -> nn.Module:
    """Set weight and bias of `layer` to 0, and return it."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _vit_blocks(tower: nn.Module) -> nn.ModuleList:
    # The transformer of a controller is wrapped in ControlTransformer.
    inner = getattr(tower.transformer, "transformer", tower.transformer)
    return inner.resblocks


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
