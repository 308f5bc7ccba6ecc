"""DA-CLIP as a network of an option file, for DaCLIPModel to train.

Networks are steered by what they are given and load no CLIP. This one is itself the guide: its
controller is a copy of a CLIP's image tower, so it names that CLIP. Hence it lies here and not
among the restoration networks of `archs`.
"""

import math
from typing import TYPE_CHECKING

import torch

from wxr_plugin.registry import register_arch

if TYPE_CHECKING:
    from wxr_plugin.conditioning import daclip


@register_arch
def DaCLIP(clip: str = "tiny", logit_scale: float | None = None) -> "daclip.DaCLIP":
    """A frozen CLIP with a new controller (Luo et al., ICLR 2024).

    Args:
        clip: the CLIP, as `load_clip` takes it: tiny, ARCHITECTURE:WEIGHTS of open_clip
            (ViT-B-32:laion2b_s34b_b79k is the published one), local-dir:FOLDER, hf-hub:ORG/NAME.
        logit_scale: the factor on the cosines that training starts with; by default the CLIP's own,
            100 for the published one and 13 for tiny, whose words for degradations are too close to
            each other for so little.
    """
    from wxr_plugin.conditioning import daclip
    from wxr_plugin.conditioning.clip import build_clip

    model = daclip.DaCLIP(*build_clip(clip), name=clip)
    if logit_scale is not None:
        torch.nn.init.constant_(model.logit_scale, math.log(logit_scale))
    return model


DaCLIP.waived = {"restores": "a guide: it makes embeddings of images of one size, and no images"}
