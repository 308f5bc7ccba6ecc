"""Small CLIPs and DA-CLIPs."""

import torch
from open_clip import CLIP, SimpleTokenizer, set_model_preprocess_cfg

from wxr_plugin.conditioning.clip import ClipGuide, build_clip
from wxr_plugin.conditioning.daclip import DaCLIP

TEXT = {"context_length": 77, "vocab_size": 49408}
SMALL_VIT = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8},
    "text_cfg": {**TEXT, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
}


def small() -> DaCLIP:
    torch.manual_seed(0)
    return DaCLIP(CLIP(**SMALL_VIT))


def packaged() -> DaCLIP:
    return DaCLIP(*build_clip("tiny"))


def trained(model: DaCLIP) -> DaCLIP:
    """With a controller that adds something."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, weights in model.visual_control.named_parameters():
            if "zero_modules" in name:
                weights.normal_(std=0.3 * weights.shape[-1] ** -0.5 if weights.dim() == 2 else 0.02)
    return model


def random_clip(name: str, seed: int):
    """Write a small CLIP of random weights, of which prompts need the text tower alone."""
    torch.manual_seed(seed)
    vision = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    text = {"context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    model = CLIP(16, vision, text)
    set_model_preprocess_cfg(
        model, {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
    )
    return ClipGuide(model, SimpleTokenizer(context_length=20), name, "cpu")
