"""Metrics with ground truth, by pyiqa: LPIPS and similar ones of one image, FID of a set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY

from wxr_plugin.metrics import fid_features
from wxr_plugin.metrics.no_reference_metric import cropped_rgb
from wxr_plugin.metrics.set_share import SetShare


@METRIC_REGISTRY.register()
def calculate_fr_iqa(
    img: np.ndarray,
    img2: np.ndarray,
    metric: str = "lpips",
    weights: str | None = None,
    device: str | None = None,
    crop_border: int = 0,
    better: str = "lower",
) -> float:
    """Score an image against its ground truth by a full-reference metric of pyiqa, on its scale.

    Args:
        img: restored image, uint8 BGR (H, W, 3).
        img2: ground truth, like `img`.
        metric: pyiqa's name of the metric: lpips (AlexNet), lpips-vgg, dists, … For LPIPS add
            `better: lower`.
        weights: file with the weights of the whole network (docs/degradations.md shows how to make
            it); by default pyiqa's and torchvision's own, downloaded once.
        device: cpu, cuda, …; by default the GPU if there is one.
        crop_border: pixels at each edge that are ignored.
        better: whether lower or higher is better; used by the model, ignored here.

    Returns:
        The score; NaN if the metric fails, for example because the images are too small; the log
        gives the reason.

    Raises:
        WxrError: no such metric, or weights that are missing or do not fit; the message names the
            file and its place.
    """
    from wxr_plugin.vlm.pyiqa_scores import log_once

    net = _metric(metric, weights, device)
    restored = _batch(img, crop_border).to(net.device)
    clean = _batch(img2, crop_border).to(net.device)
    try:
        with torch.inference_mode(), torch.autocast(net.device.type, enabled=False):
            return net(restored, clean).item()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # Each metric fails in its own way on images that are too small for it.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log_once(f"{metric} gives no score for an image of {img.shape[1]}x{img.shape[0]}: {reason}")
        return float("nan")


def _batch(img: np.ndarray, border: int) -> torch.Tensor:
    """Convert uint8 BGR (H, W, 3) to RGB (1, 3, H, W) in [0, 1], without `border` pixels."""
    rgb = torch.from_numpy(cropped_rgb(img, border))
    return rgb.permute(2, 0, 1)[None] / 255


@dataclass(eq=False)
class FidShare(SetShare):
    """Inception features of a restored image and of its ground truth, float32 (2048,) each."""

    restored: np.ndarray
    clean: np.ndarray

    @classmethod
    def over(cls, shares: Sequence[Self]) -> float:
        """Return the FID of restored images and ground truth; NaN for fewer than two images."""
        restored = np.stack([share.restored for share in shares])
        clean = np.stack([share.clean for share in shares])
        return fid_features.frechet(restored, clean)


@METRIC_REGISTRY.register()
def calculate_fid(
    img: np.ndarray,
    img2: np.ndarray,
    weights: str | None = None,
    mode: Literal["clean", "legacy_pytorch"] = "clean",
    device: str | None = None,
    crop_border: int = 0,
    better: str = "lower",
) -> FidShare:
    """Compute one image's share of a set's FID; WxrModel combines the shares of all images.

    Features of ground truth are cached for the next validation.

    Args:
        img: restored image, uint8 BGR (H, W, 3).
        img2: ground truth, uint8 BGR (H, W, 3).
        weights: file of Inception's weights, pt_inception-2015-12-05-6726825d.pth; by default pyiqa
            downloads it once.
        mode: clean, resizing as pyiqa and clean-fid, or legacy_pytorch, as pytorch-fid; add
            `better: lower`.
        device: cpu, cuda, …; by default the GPU if there is one.
        crop_border: pixels at each edge that are ignored.
        better: whether lower or higher is better; used by the model, ignored here.

    Raises:
        WxrError: weights that are missing or do not fit; the message names the file and its place.
    """
    from wxr_plugin.utils.devices import device_of

    place = device_of(device)
    net = fid_features.load_inception(weights, place)
    restored = fid_features.features(net, [cropped_rgb(img, crop_border)], mode)[0]
    ground_truth = cropped_rgb(img2, crop_border)
    clean = fid_features.cached_features(weights, place, ground_truth, mode)
    return FidShare(restored, clean)


@lru_cache
def _metric(name: str, weights: str | None, device: str | None) -> Any:
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.vlm.pyiqa_metrics import check_name, load_metric

    check_name(name, "FR")
    return load_metric(name, weights, device_of(device))
