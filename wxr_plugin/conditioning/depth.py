"""Depth Anything's encoder as a frozen guide: patch tokens that are differentiable to the image.

WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101) compares such features in L_feat. Which layer is
not stated; here it is the last block, after the norm (our choice).
"""

import logging
import re
from functools import cache
from importlib import resources
from importlib.resources import files as package_files
from pathlib import Path

import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from wxr_plugin.conditioning.clip import hash_weights, numbered
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.quiet import quiet_transformers

_PACKAGE = Path(str(package_files("wxr_plugin")))
TINY = _PACKAGE / "assets" / "tiny_depth"
NAMES = resources.files(__package__) / "depth_models.yml"
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class DepthError(WxrError):
    """A depth encoder that cannot be loaded."""


class DepthGuide:
    """A frozen encoder of Depth Anything.

    Images are float RGB (N, 3, H, W) in [0, 1] of any size.
    """

    def __init__(
        self, backbone: nn.Module, name: str, device: torch.device | str, size: int | None = None
    ):
        self.name = name
        """What `load_depth` was called with."""
        self.device = torch.device(device)
        self.size = size
        """Shorter side in pixels to which images are resized; None: their own size, to the nearest whole patches."""
        self._backbone = backbone.float().eval().requires_grad_(False).to(self.device)
        self._backbone.config.reshape_hidden_states = self._backbone.config.apply_layernorm = True
        self.sha256 = hash_weights(backbone)
        """Hash of the encoder's weights: the same on every machine, whatever file they came from."""

    @property
    def patch(self) -> int:
        """Side of a patch in pixels (14 for every Depth Anything)."""
        return self._backbone.config.patch_size

    def encode(self, images: Tensor) -> Tensor:
        """Patch tokens (N, T, C) of the last block after the norm, row by row; gradients flow to the images.

        Each image is clamped to [0, 1], resized (bicubic, antialiased, see `fit`) and normalised as
        for ImageNet. T is the number of whole patches of the resized image.
        """
        from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        mean, std = (
            images.new_tensor(v).view(1, 3, 1, 1)
            for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        )
        height, width = fit(*images.shape[-2:], self.patch, self.size)
        resized = images.clamp(0, 1)
        if (height, width) != images.shape[-2:]:
            resized = F.interpolate(resized, (height, width), mode="bicubic", antialias=True)
        maps = self._backbone((resized - mean) / std).feature_maps[-1]
        return maps.flatten(2).transpose(1, 2)


def fit(height: int, width: int, patch: int, size: int | None = None) -> tuple[int, int]:
    """Height and width to resize an image to: the nearest multiples of `patch`, one patch at least.

    With `size` the shorter side becomes the nearest multiple to it and the aspect ratio is kept as
    nearly as patches allow, as Depth Anything's own preprocessing does with 518. Without, an image
    keeps its scale (our choice): a crop of 128 becomes 126, so that noise of a pixel stays one, and
    has a seventeenth of the tokens that 518 would give.
    """
    scale = size / min(height, width) if size else 1.0
    return tuple(max(1, round(side * scale / patch)) * patch for side in (height, width))


def load_depth(
    name: str = "tiny", device: torch.device | str | None = None, size: int | None = None
) -> DepthGuide:
    """Return the depth encoder of that name, loaded once a process, device and size.

    `name` is one of `depth_models.yml` ("tiny" is packaged; "depth-anything-small",
    "depth-anything-v2-base", …), a folder that `save_pretrained` wrote, or a hub id: a Depth
    Anything, or a backbone of transformers alone (DINOv2). `device` is CUDA where there is one,
    unless given; for `size` see `fit`.

    Raises:
        DepthError: no such name, or a folder that holds something else.
        WxrError: a model that is neither here nor cached, with no network to fetch it.
    """
    return _guide(name, str(numbered(device)), size)


@cache
def _guide(name: str, device: str, size: int | None) -> DepthGuide:
    guide = DepthGuide(_backbone(name, device), name, device, size)
    logging.getLogger("basicsr").info(f"depth encoder {name} loaded on {device}")
    return guide


@cache
def _backbone(name: str, device: str) -> nn.Module:
    """One module a device, whatever the sizes that guides use it with."""
    from wxr_plugin.vlm.fetch import local_folder

    folder = str(local_folder(_source(name)))
    try:
        with quiet_transformers():
            module, report = _read(folder)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DepthError(
            f"depth encoder '{name}': {folder} holds no Depth Anything and no backbone of "
            f"transformers ({reason})"
        ) from error
    if missing := sorted(report["missing_keys"]):
        raise DepthError(
            f"depth encoder '{name}' lacks {len(missing)} of its weights "
            f"({', '.join(missing[:3])}, …)"
        )
    return module.to(device)


def _read(folder: str) -> tuple[nn.Module, dict]:
    from transformers import AutoConfig, AutoModelForDepthEstimation
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if config.model_type == "depth_anything":
        model, report = AutoModelForDepthEstimation.from_pretrained(
            folder, output_loading_info=True
        )
        return model.backbone, report
    # AutoBackbone of transformers 5 asks the hub even for a folder, hence the class behind it.
    return MODEL_FOR_BACKBONE_MAPPING[type(config)].from_pretrained(
        folder, output_loading_info=True
    )


def _source(name: str) -> str:
    known = yaml.safe_load(NAMES.read_text(encoding="utf-8"))
    if name in known:
        source = known[name]
        return str(_PACKAGE / source) if source.startswith("assets/") else source
    if Path(name).is_dir() or _HUB_ID.fullmatch(name):
        return name
    raise DepthError(
        f"unknown depth encoder '{name}': take {', '.join(known)}, a folder that exists, or a hub "
        f"id"
    )
