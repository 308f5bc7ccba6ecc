"""No-reference metrics of pyiqa for `metrics` of an option file, such as NIMA and NIQE."""

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
    """Score an image by a no-reference metric of pyiqa, on that metric's own scale.

    Args:
        img: uint8 BGR (H, W, 3).
        metric: pyiqa's name of the metric: nima, musiq, clipiqa, liqe, qalign, niqe, … Where lower
            is better (niqe, brisque, piqe) add `better: lower`.
        weights: file of the metric's weights; by default pyiqa's own, downloaded once.
        device: cpu, cuda, …; by default the GPU if there is one.
        crop_border: pixels at each edge that are ignored.
        better: whether lower or higher is better; used by the model, ignored here.

    Returns:
        The score; NaN if the metric fails, for example because the image is too small; the log
        gives the reason.

    Raises:
        WxrError: no such metric, or weights that are missing or do not fit; the message names the
            file and its place.
    """
    scores = _scores(metric, weights, device)
    return scores([cropped_rgb(img, crop_border)]).item()


def cropped_rgb(img: np.ndarray, border: int) -> np.ndarray:
    """Convert uint8 BGR (H, W, 3) to RGB without `border` pixels at each edge."""
    height, width = img.shape[:2]
    # torch.from_numpy takes no negative strides, which the flip of channels makes.
    return np.ascontiguousarray(img[border : height - border, border : width - border, ::-1])


@lru_cache
def _scores(metric: str, weights: str | None, device: str | None) -> "PyiqaScores":
    from wxr_plugin.vlm.pyiqa_scores import PyiqaScores

    return PyiqaScores(metric, weights, device)
