"""Metrics that need ground truth, through pyiqa: LPIPS and its like of one image, FID of a set."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

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
    """Score of one image beside its ground truth by a full-reference metric of pyiqa, on that metric's own scale.

    Args:
        img, img2: uint8 BGR (H, W, 3) of one size: the restored image and the ground truth.
        metric: as pyiqa calls it: lpips (AlexNet), lpips-vgg, dists, … For LPIPS write `better:
            lower` beside it.
        weights: file of the whole network's weights (docs/degradations.md says how to make it);
            pyiqa's and torchvision's own, fetched once, when None.
        device: cpu, cuda, …; the GPU if there is one when None.
        crop_border: pixels at each edge that do not count.
        better: read by the model, which keeps the best value; changes nothing here.

    Returns:
        NaN where the metric refuses the images, say because they are too small; the log gives the
        reason.

    Raises:
        WxrError: no such metric, or weights that are missing or do not fit; it says which file and
            where to put it.
    """
    from wxr_plugin.vlm.pyiqa_scores import log_once

    net = _metric(metric, weights, device)
    pair = [
        torch.from_numpy(cropped_rgb(image, crop_border)).permute(2, 0, 1)[None] / 255
        for image in (img, img2)
    ]
    try:
        with torch.inference_mode(), torch.autocast(net.device.type, enabled=False):
            return net(*(image.to(net.device) for image in pair)).item()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a metric makes of an image that is too small for it
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log_once(f"{metric} gives no score for an image of {img.shape[1]}x{img.shape[0]}: {reason}")
        return float("nan")


@dataclass(eq=False)
class FidShare(SetShare):
    """Inception features of a restored image and of its ground truth, float32 (2048,) each."""

    restored: np.ndarray
    clean: np.ndarray

    @classmethod
    def over(cls, shares: Sequence[Self]) -> float:
        """FID between the restored images and their ground truth; NaN for fewer than two images."""
        sides = [
            np.stack([getattr(share, side) for share in shares]) for side in ("restored", "clean")
        ]
        return fid_features.frechet(*sides)


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
    """What one image adds to the FID of the set, which WxrModel works out when all are restored.

    Features of ground truth are kept, so that the next validation need not compute them again.

    Args:
        img, img2: uint8 BGR (H, W, 3): the restored image and the ground truth.
        weights: file of Inception's weights, pt_inception-2015-12-05-6726825d.pth; pyiqa fetches it
            once when None.
        mode: clean, as pyiqa and clean-fid resize, or legacy_pytorch, as pytorch-fid does; write
            `better: lower`.
        device: cpu, cuda, …; the GPU if there is one when None.
        crop_border: pixels at each edge that do not count.
        better: read by the model, which keeps the best value; changes nothing here.

    Raises:
        WxrError: weights that are missing or do not fit; it says which file and where to put it.
    """
    from wxr_plugin.utils.devices import device_of

    device = device_of(device)
    restored, clean = (cropped_rgb(image, crop_border) for image in (img, img2))
    net = fid_features.load_inception(weights, device)
    own = fid_features.features(net, [restored], mode)[0]
    return FidShare(own, fid_features.kept_features(weights, device, clean, mode))


@lru_cache
def _metric(name: str, weights: str | None, device: str | None) -> torch.nn.Module:
    from wxr_plugin.utils.devices import device_of
    from wxr_plugin.vlm.pyiqa_metrics import check_name, load_metric

    check_name(name, "FR")
    return load_metric(name, weights, device_of(device))
