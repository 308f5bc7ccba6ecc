"""Encoder of Depth Anything as a frozen guide: patch tokens, differentiable to the image.

WResVLM (Xu et al., ECCV 2024, arXiv 2409.02101) compares such features in L_feat. The paper does
not state the layer; here it is the last block, after the norm (our choice).
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
from wxr_plugin.hub import is_reference
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
        self,
        backbone: nn.Module,
        name: str,
        device: torch.device | str,
        size: int | None = None,
    ):
        self.name = name
        """Name that `load_depth` was called with."""
        self.device = torch.device(device)
        self.size = size
        """Shorter side that images are resized to, in pixels; None: nearest whole patches."""
        self._backbone = backbone.float().eval().requires_grad_(False).to(self.device)
        # Feature maps (N, C, h, w) after the layer norm.
        self._backbone.config.reshape_hidden_states = True
        self._backbone.config.apply_layernorm = True
        self.sha256 = hash_weights(backbone)
        """Hash of the weights, independent of the file format and the machine."""

    @property
    def patch(self) -> int:
        """Return the side of a patch in pixels (14 for every Depth Anything)."""
        return self._backbone.config.patch_size

    def encode(self, images: Tensor) -> Tensor:
        """Return the patch tokens (N, T, C) of the last block after the norm, row by row.

        Gradients flow to the images (N, 3, H, W). Each image is clamped to [0, 1], resized
        (bicubic, antialiased, see `fit`) and normalised with ImageNet's statistics. T is the number
        of patches of the resized image.
        """
        from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

        # (1, 3, 1, 1), to broadcast over images and pixels.
        mean = images.new_tensor(IMAGENET_DEFAULT_MEAN).view(1, 3, 1, 1)
        std = images.new_tensor(IMAGENET_DEFAULT_STD).view(1, 3, 1, 1)
        height, width = images.shape[-2:]
        size = fit(height, width, self.patch, self.size)
        resized = images.clamp(0, 1)
        if size != (height, width):
            resized = F.interpolate(resized, size, mode="bicubic", antialias=True)
        inputs = (resized - mean) / std
        outputs = self._backbone(inputs)
        last = outputs.feature_maps[-1]  # (N, C, h, w)
        return last.flatten(2).transpose(1, 2)


def fit(height: int, width: int, patch: int, size: int | None = None) -> tuple[int, int]:
    """Return the height and width to resize an image to, multiples of `patch`.

    With `size`, the shorter side becomes the multiple nearest to it and the aspect ratio is kept as
    far as patches allow, as in the preprocessing of Depth Anything with 518. Without `size`, an
    image keeps its scale (our choice): a crop of 128 becomes 126, so that noise of one pixel stays
    at that frequency, and it has a seventeenth of the tokens that 518 would yield.
    """
    scale = 1.0
    if size:
        scale = size / min(height, width)

    def rounded(side: int) -> int:
        patches = round(side * scale / patch)
        return max(1, patches) * patch

    return rounded(height), rounded(width)


def load_depth(
    name: str = "tiny", device: torch.device | str | None = None, size: int | None = None
) -> DepthGuide:
    """Return the depth encoder called `name`, loaded once per process, device and size.

    Args:
        name: an entry of `depth_models.yml` ("tiny" is packaged; "depth-anything-small",
            "depth-anything-v2-base", …), a folder written by `save_pretrained`, or a hub id. The
            model is a Depth Anything or a bare backbone of transformers (DINOv2).
        device: by default CUDA if available, else the CPU.
        size: see `fit`.

    Raises:
        DepthError: the name is unknown, or the folder does not hold such a model.
        WxrError: the model is not cached and cannot be downloaded.
    """
    return _guide(name, str(numbered(device)), size)


@cache
def _guide(name: str, device: str, size: int | None) -> DepthGuide:
    guide = DepthGuide(_backbone(name, device), name, device, size)
    logging.getLogger("basicsr").info(f"depth encoder {name} loaded on {device}")
    return guide


@cache
def _backbone(name: str, device: str) -> nn.Module:
    """Return the module of a device, which guides of different sizes share."""
    from wxr_plugin.vlm.fetch import local_folder

    folder = str(local_folder(_source(name)))
    try:
        with quiet_transformers():
            module, report = _read(folder)
    except (KeyError, OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DepthError(
            f"depth encoder '{name}': {folder} holds neither a Depth Anything nor a backbone of "
            f"transformers ({reason})"
        ) from error
    # transformers would initialise missing weights at random.
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
    # AutoBackbone of transformers 5 contacts the hub even for a folder, hence the concrete class.
    backbone = MODEL_FOR_BACKBONE_MAPPING[type(config)]
    return backbone.from_pretrained(folder, output_loading_info=True)


def _source(name: str) -> str:
    """Return the folder or hub id of the encoder `name`."""
    sources = yaml.safe_load(NAMES.read_text(encoding="utf-8"))
    if name in sources:
        source = sources[name]
        return str(_PACKAGE / source) if source.startswith("assets/") else source
    if Path(name).is_dir() or _HUB_ID.fullmatch(name) or is_reference(name):
        return name
    raise DepthError(
        f"unknown depth encoder '{name}': take {', '.join(sources)}, a folder that exists, a hub "
        "id, or hf://OWNER/NAME"
    )
