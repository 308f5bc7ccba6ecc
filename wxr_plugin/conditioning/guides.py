"""Loading of the frozen guide that a steered network needs, chosen by its inputs."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import torch
from torch import Tensor

from wxr_plugin.archs.context import Context
from wxr_plugin.conditioning.daclip import TINY, DaClipGuide
from wxr_plugin.conditioning.daclip_checkpoint import read_daclip
from wxr_plugin.conditioning.daclip_towers import DaClipError
from wxr_plugin.hub import fetched_file


class Guide(Protocol):
    """Interface of a guide: DaClipGuide, ClipGuide, or a class of a plug-in."""

    name: str
    """Name that the guide was loaded by."""
    gives: tuple[str, ...]
    """Names of its embeddings, a subset of `context.NAMES`."""
    dim: int
    """Length of its embeddings, the `context_dim` of the network."""

    def embed(self, images: Tensor, bf16: bool = False) -> Context:
        """Return embeddings (N, dim), float32, no gradients, of images (N, 3, H, W) in [0, 1]."""


def load_guide(inputs: Sequence[str], name: str, device: torch.device | str | None = None) -> Guide:
    """Return the guide `name` for a network with the embeddings `inputs`.

    A CLIP (see `load_clip`) computes `image`; a DA-CLIP (see `load_daclip`) computes `content` and
    `degradation`. A guide is loaded once per process and device.

    Raises:
        WxrError: the guide cannot be loaded.
    """
    if "image" in inputs:
        from wxr_plugin.conditioning.clip import load_clip

        return load_clip(name, device)

    return load_daclip(name, device)


def load_daclip(name: str = "tiny", device: torch.device | str | None = None) -> DaClipGuide:
    """Return the DA-CLIP called `name`, loaded once per process and device.

    Args:
        name: "tiny" (packaged) or a checkpoint, .pt, .pth or .safetensors, which may be a reference
            to the hub (hf://OWNER/NAME/FILE): a published one
            (daclip_ViT-B-32.pt, wild-daclip_ViT-L-14.pt) or one written by DaCLIPModel. The
            architecture is inferred from its shapes.
        device: by default CUDA if available, else the CPU.

    Raises:
        WxrError: the file is missing or does not hold a DA-CLIP.
    """
    default = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device or default)
    return _load(name, str(place))


@cache
def _load(name: str, device: str) -> DaClipGuide:
    path = TINY if name == "tiny" else fetched_file(name)
    if not path.is_file():
        fix = "; take tiny, or a published file (`wxr zoo show daclip` says where it is)"
        if name == "tiny":
            fix = ": install wxr_plugin again"
        raise DaClipError(f"DA-CLIP '{name}': there is no file {path}{fix}")
    guide = DaClipGuide(read_daclip(path), name, device)
    logging.getLogger("basicsr").info(f"DA-CLIP {name} loaded on {device}")
    return guide
