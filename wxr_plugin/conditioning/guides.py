"""The frozen guide that a steered network needs, told from what the network takes."""

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from wxr_plugin.archs.context import Context
from wxr_plugin.conditioning.daclip import TINY, DaClipGuide
from wxr_plugin.conditioning.daclip_checkpoint import read_daclip
from wxr_plugin.conditioning.daclip_towers import DaClipError


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

    `image` is made by a CLIP, named as `load_clip` takes it; content and degradation by a DA-CLIP,
    as `load_daclip`. Raises WxrError where it cannot be loaded.
    """
    if "image" in inputs:
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(name, device)

    return load_daclip(name, device)


def load_daclip(name: str = "tiny", device: torch.device | str | None = None) -> DaClipGuide:
    """Return the DA-CLIP of that name, loaded once a process and device.

    `name` is "tiny" (the packaged one) or a checkpoint: a published one (daclip_ViT-B-32.pt,
    wild-daclip_ViT-L-14.pt) or one that DaCLIPModel wrote, .pt, .pth or .safetensors. Its
    architecture is told from the shapes in it. `device` is CUDA where there is one, unless given.
    Raises WxrError for a file that holds no DA-CLIP.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return _load(name, str(device))


@cache
def _load(name: str, device: str) -> DaClipGuide:
    path = TINY if name == "tiny" else Path(name).expanduser()
    if not path.is_file():
        where = "; take tiny, or a published file (`wxr zoo show daclip` says where it is)"
        other = ": install wxr_plugin again" if name == "tiny" else where
        raise DaClipError(f"DA-CLIP '{name}': there is no file {path}{other}")
    guide = DaClipGuide(read_daclip(path), name, device)
    logging.getLogger("basicsr").info(f"DA-CLIP {name} loaded on {device}")
    return guide
