"""No-reference metrics of pyiqa, for `metrics` of an option file: NIMA, MUSIQ, CLIP-IQA, LIQE, Q-Align, NIQE, …"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

if TYPE_CHECKING:
    from wxr_plugin.vlm.pyiqa_scores import PyiqaScores


@METRIC_REGISTRY.register()
def calculate_iqa(
    img: np.ndarray,
    metric: str,
    weights: str | None = None,
    device: str | None = None,
    crop_border: int = 0,
    better: str = "higher",
) -> float:
    """Score of one image by a no-reference metric of pyiqa, on that metric's own scale.

    Args:
        img: uint8 BGR (H, W, 3).
        metric: as pyiqa calls it: nima, musiq, clipiqa, liqe, qalign, niqe, … For those where lower
            is better (niqe, brisque, piqe) write `better: lower` beside it.
        weights: file of the metric's weights; pyiqa's own, fetched once, when None.
        device: cpu, cuda, …; the GPU if there is one when None.
        crop_border: pixels at each edge that do not count.
        better: read by the model, which keeps the best value; changes nothing here.

    Returns:
        NaN where the metric refuses the image, say because it is too small; the log gives the
        reason.

    Raises:
        WxrError: no such metric, or weights that are missing or do not fit; it says which file and
            where to put it.
    """
    return _scores(metric, weights, device)([cropped_rgb(img, crop_border)]).item()


def cropped_rgb(img: np.ndarray, border: int) -> np.ndarray:
    """uint8 BGR (H, W, 3) as RGB, without `border` pixels at each edge."""
    return np.ascontiguousarray(
        img[border : img.shape[0] - border, border : img.shape[1] - border, ::-1]
    )


@lru_cache
def _scores(metric: str, weights: str | None, device: str | None) -> "PyiqaScores":
    from wxr_plugin.vlm.pyiqa_scores import PyiqaScores

    return PyiqaScores(metric, weights, device)
