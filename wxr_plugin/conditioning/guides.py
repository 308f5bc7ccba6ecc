"""The frozen guide that a steered network needs, told from what the network takes."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from wxr_plugin.archs.context import Context


class Guide(Protocol):
    """What steers a network: a DaClipGuide, a ClipGuide, or one of a third party."""

    name: str
    """What it was loaded by."""
    gives: tuple[str, ...]
    """Which of `context.NAMES` it makes."""
    dim: int
    """Length of its embeddings; the network's `context_dim`."""

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Embeddings of images (N, 3, H, W) in [0, 1], float32, without gradients."""


def load_guide(inputs: Sequence[str], name: str, device: torch.device | str | None = None) -> Guide:
    """The guide `name` of a network that takes the embeddings `inputs`, loaded once a process and device.

    `image` is made by a CLIP, named as `load_clip` takes it; content and degradation by a DA-CLIP, as `load_daclip`.
    Raises WxrError where it cannot be loaded.
    """
    if "image" in inputs:
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(name, device)
    from wxr_plugin.conditioning.daclip import load_daclip

    return load_daclip(name, device)
