"""VLM-Vis: how visible the scene is to a vision-language model (Xu et al., ECCV 2024, arXiv 2409.02101)."""

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
    """(rating - 1) / 4, which takes [1, 5] to [0, 1].

    Our reading: the paper defines no scale, but its values (0.22 to 0.44) rule out rating / 5.
    """
    return (rating - 1) / 4


@METRIC_REGISTRY.register()
def calculate_vlm_vis(
    img: np.ndarray, rater: Rater | None = None, crop_border: int = 0, better: str = "higher"
) -> float:
    """`visibility` of one image, in [0, 1], higher being better.

    Args:
        img: uint8 BGR (H, W, 3).
        rater: block of a rater as in `train.rater` (docs/raters.md), with the visibility prompt
            unless it says else; the packaged tiny model when None. It should not be one that
            training was rated by: a network learns what its judge likes. WResVLMModel warns of
                that.
        crop_border: pixels at each edge that do not count.
        better: read by the model; higher is.

    Returns:
        NaN where the rater gives no usable answer.

    Raises:
        WxrError: the rater cannot be loaded or does not answer.
    """
    rating = (
        _rater(json.dumps(rater or {}, sort_keys=True)).rate([cropped_rgb(img, crop_border)]).rating
    )
    return visibility(rating.item())


@lru_cache
def _rater(block: str) -> "BuiltRater":
    from wxr_plugin.vlm.rater import build_rater

    return build_rater(json.loads(block))
