"""OneRestore (Guo et al., A Universal Restoration Framework for Composite Degradation, ECCV 2024).

Blocks of attention over channels on four levels; each block also attends to an embedding of the
degradation. State-dict names are those of the authors' code, so that their weights load; they state
no licence.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wxr_plugin.archs.onerestore_embedder import EMBEDDING, Embedder
from wxr_plugin.archs.transposed import (
    ChannelNorm,
    GatedFeedForward,
    TransposedAttention,
    attended,
    by_head,
)
from wxr_plugin.registry import register_arch

HEADS = 8
KEY_SIDE = 18
"""Side of the keys' maps: 18^2 = 324 is the length of an embedding."""
EXPANSION = 2.66
"""Hidden channels of the feed-forwards, in multiples of their channels."""


class EmbeddingAttention(nn.Module):
    """Attention of the embedding to the channels, whose keys are maps resized to 18x18 pixels.

    As in the authors' code, all channels have the same query; so one result per head is computed
    and repeated.
    """

    def __init__(self, channels: int, antialias: bool):
        super().__init__()
        self.antialias = antialias
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))
        self.q = nn.Linear(EMBEDDING, EMBEDDING, bias=False)
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(
            2 * channels,
            2 * channels,
            3,
            padding=1,
            groups=2 * channels,
            bias=False,
        )
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        k, v = self.kv_dwconv(self.kv(x)).chunk(2, dim=1)
        # torch has no antialiased resize for bfloat16.
        wide = k.to(torch.promote_types(k.dtype, torch.float32))
        size = (KEY_SIDE, KEY_SIDE)
        small = F.interpolate(
            wide, size, mode="bilinear", align_corners=False, antialias=self.antialias
        )
        # (N, 324) -> (N, heads, 1, 324); keys and values have C / heads rows.
        q = self.q(embedding)[:, None, None].expand(-1, HEADS, -1, -1)
        result = attended(
            q,
            by_head(small, HEADS),
            by_head(v, HEADS),
            self.temperature,
        )
        result = result.expand(-1, -1, x.shape[1] // HEADS, -1)
        return self.project_out(result.reshape(x.shape))


class EmbeddingBlock(nn.Module):
    """Restormer's block after attention to the embedding."""

    def __init__(self, channels: int, antialias: bool):
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        self.norm3 = ChannelNorm(channels)
        self.cross_attn = EmbeddingAttention(channels, antialias)
        self.self_attn = TransposedAttention(channels, HEADS)
        self.ffn = GatedFeedForward(channels, EXPANSION)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        x = x + self.cross_attn(self.norm1(x), embedding)
        x = x + self.self_attn(self.norm2(x))
        return x + self.ffn(self.norm3(x))


class Restorer(nn.Module):
    """The authors' network, which takes the embedding; `OneRestore` adds an embedder."""

    def __init__(self, channel: int = 32, antialias: bool = False):
        super().__init__()
        if channel % HEADS:
            raise ValueError(
                f"OneRestore has {HEADS} heads; channel must be a multiple of them, not {channel}"
            )
        widths = [channel << level for level in range(4)]
        self.in_conv = _mixed(3, channel)
        self.out_conv = _mixed(channel, 3)
        self.encoder = _stages(("el", "em", "es", "ess"), widths, antialias)
        self.middle = _stages(("s1", "s2"), [widths[3]] * 2, antialias)
        self.decoder = _stages(("dss", "ds", "dm", "dl"), widths[::-1], antialias)
        for level, name in enumerate(("eltem", "emtes", "estess", "esstesss")):
            self.encoder.add_module(f"conv_{name}", _mixed(widths[level], 2 * widths[level]))
        # In the authors' files, but not used.
        self.encoder.conv_esstesss.requires_grad_(False)
        for level, name in enumerate(("dmtdl", "dstdm", "dsstds")):
            self.decoder.add_module(f"conv_{name}", _mixed(2 * widths[level], widths[level]))

    def published(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Run the authors' network: RGB (N, 3, H, W) in [0, 1] and embeddings (N, 324) to RGB.

        The result has the same shape and scale and is not clamped.
        """
        skips = self._encode(self.in_conv(2 * image - 1), embedding)
        x = skips[-1]
        for name in ("s1", "s2"):
            x = self.middle.get_submodule(name).el(x, embedding)
        x = self._decode(x, skips, embedding)
        # The authors add the image in [0, 1] to a residual in [-1, 1].
        return (self.out_conv(x) + image + 1) / 2

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """Restore images as `published` does."""
        return self.published(image, embedding)

    def _encode(self, x: Tensor, embedding: Tensor) -> list[Tensor]:
        encoder = self.encoder
        skips = []
        for name, widen in zip(("el", "em", "es", "ess"), (None, "eltem", "emtes", "estess")):
            if widen:
                x = F.max_pool2d(x, 3, stride=2, padding=1)
                x = encoder.get_submodule(f"conv_{widen}")(x)
            x = encoder.get_submodule(name).el(x, embedding)
            skips.append(x)
        return skips

    def _decode(self, x: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        decoder = self.decoder
        stages = ("dss", "ds", "dm", "dl")
        narrowings = (None, "dsstds", "dstdm", "dmtdl")
        for name, narrow, skip in zip(stages, narrowings, skips[::-1]):
            if narrow:
                x = F.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
                x = decoder.get_submodule(f"conv_{narrow}")(x)
            x = decoder.get_submodule(name).el(x + skip, embedding)
        return x


@register_arch
class OneRestore(Restorer):
    """OneRestore: one network for low light, haze, rain, snow and their mixtures.

    The degradation comes from `embedder`, which is not trained here (the authors train it first)
    and has a weight file of its own; `joined` merges the two state dicts.

    Args:
        channel: channels at full size, a multiple of 8; doubles with each of the four levels.
        degradation: type of `onerestore_embedder.TYPES` to restore. By default the embedder
            estimates the type of each image, as in the authors' test script.
        antialias: resize keys with antialiasing. The authors' torchvision (0.14) did not.
    """

    smoke = {"channel": 8}
    """Constructor arguments of a small instance for the tests of all networks."""
    unused = ("encoder.conv_esstesss.",)
    """Name prefixes of parameters that do not affect the result."""

    def __init__(
        self,
        channel: int = 32,
        degradation: str | None = None,
        antialias: bool = False,
    ):
        super().__init__(channel, antialias)
        self.embedder = Embedder().requires_grad_(False)
        self.degradation = degradation
        if degradation is not None:
            # Raises ValueError for an unknown type now, not in the first forward.
            self.embedder.named(degradation)
        self.train()

    def forward(self, lq: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Restore RGB images `lq` (N, 3, H, W) in [0, 1].

        H and W are arbitrary; the result has the same shape and is not clamped. `embedding` (N,
        324) replaces the result of `look`, for example because the images are tiles of one photo.
        """
        if embedding is None:
            embedding = self.look(lq)
        return self.published(lq, embedding)

    def look(self, lq: Tensor) -> Tensor:
        """Return the embeddings (N, 324) of the degradations of images as in `forward`."""
        with torch.no_grad():
            if self.degradation is None:
                return self.embedder(lq)
            return self.embedder.named(self.degradation).expand(len(lq), -1)

    def train(self, mode: bool = True) -> "OneRestore":
        """Set the mode of the restorer; the embedder stays in evaluation mode."""
        super().train(mode)
        self.embedder.eval()
        return self


def joined(restorer: Mapping[str, Tensor], embedder: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge the authors' two state dicts, onerestore_*.tar and embedder_model.tar, into ours."""
    return dict(restorer) | {f"embedder.{name}": tensor for name, tensor in embedder.items()}


def _stages(names: tuple[str, ...], widths: list[int], antialias: bool) -> nn.Module:
    """Return blocks under the authors' names; they wrap each block once more, as `el`."""
    stages = nn.Module()
    for name, width in zip(names, widths):
        stages.add_module(name, nn.Module())
        stages.get_submodule(name).el = EmbeddingBlock(width, antialias)
    return stages


def _mixed(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)
