"""DA-CLIP as a network of an option file, to be trained by DaCLIPModel.

Restoration networks get embeddings as inputs and load no CLIP. This network is the guide itself:
its controller is a copy of the image tower of a CLIP, which the option file names. It is therefore
not in `archs`.
"""

import math
from typing import TYPE_CHECKING

import torch

from wxr_plugin.registry import register_arch

if TYPE_CHECKING:
    from wxr_plugin.conditioning import daclip


@register_arch
def DaCLIP(clip: str = "tiny", logit_scale: float | None = None) -> "daclip.DaCLIP":
    """Build a frozen CLIP with a new controller (Luo et al., ICLR 2024).

    Args:
        clip: the CLIP (see `load_clip`): tiny, ARCHITECTURE:WEIGHTS of open_clip
            (ViT-B-32:laion2b_s34b_b79k is the published one), local-dir:FOLDER, hf-hub:ORG/NAME.
        logit_scale: initial factor on the cosines; by default that of the CLIP, 100 for the
            published one and 13 for tiny. The latter is too small, as the degradation words are
            close to each other in its feature space.
    """
    from wxr_plugin.conditioning import daclip
    from wxr_plugin.conditioning.clip import build_clip

    model = daclip.DaCLIP(*build_clip(clip), name=clip)
    if logit_scale is not None:
        # The parameter is the logarithm of the factor.
        torch.nn.init.constant_(model.logit_scale, math.log(logit_scale))
    return model


DaCLIP.waived = {"restores": "a guide: returns embeddings of images of one size, not images"}
