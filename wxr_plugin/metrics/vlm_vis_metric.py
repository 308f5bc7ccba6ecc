"""VLM-Vis: visibility of a scene, rated by a vision-language model (Xu et al., ECCV 2024)."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.metrics.no_reference_metric import cropped_rgb
from wxr_plugin.schema import Rater

if TYPE_CHECKING:
    from wxr_plugin.vlm.rater import Rater as BuiltRater


def visibility(rating: float) -> float:
    """Return (rating - 1) / 4, which maps [1, 5] to [0, 1].

    Our reading: the paper defines no scale, but its values (0.22 to 0.44) rule out rating / 5.
    """
    return (rating - 1) / 4


@METRIC_REGISTRY.register()
def calculate_vlm_vis(
    img: np.ndarray, rater: Rater | None = None, crop_border: int = 0, better: str = "higher"
) -> float:
    """Rate the `visibility` of one image, in [0, 1]; higher is better.

    Args:
        img: uint8 BGR (H, W, 3).
        rater: block of a rater as in `train.rater` (docs/raters.md), with the visibility prompt
            unless it sets another; by default the packaged tiny model. It should not be the rater
            of the training, whose preferences a network learns; WResVLMModel warns about that.
        crop_border: pixels at each edge that are ignored.
        better: whether lower or higher is better; used by the model, ignored here.

    Returns:
        The visibility; NaN if the rater gives no usable answer.

    Raises:
        WxrError: the rater cannot be loaded or does not answer.
    """
    # lru_cache needs a hashable argument.
    block = json.dumps(rater or {}, sort_keys=True)
    answer = _rater(block).rate([cropped_rgb(img, crop_border)])
    return visibility(answer.rating.item())


@lru_cache
def _rater(block: str) -> "BuiltRater":
    from wxr_plugin.vlm.rater import build_rater

    return build_rater(json.loads(block))
