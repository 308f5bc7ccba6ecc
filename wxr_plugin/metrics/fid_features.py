"""Inception features of images as pyiqa takes them for FID, and the distance of two sets of features."""

import contextlib
import hashlib
import io
import pickle
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.feature_cache import FeatureCache
from wxr_plugin.utils.patching import patched

SIDE = 299
Mode = Literal["clean", "legacy_pytorch"]
KEPT = FeatureCache(100)
"""Of 12,000 photos, in 100 MB."""


@lru_cache
def load_inception(weights: str | None, device: torch.device) -> nn.Module:
    """The Inception network of FID, loaded once a process: pyiqa's, with the weights of a file or those it fetches.

    Raises:
        WxrError: a file that is missing and how to give it, or weights that do not fit.
    """
    from pyiqa.archs import inception

    from wxr_plugin.vlm.pyiqa_metrics import failure_message

    # pyiqa downloads its weights and takes no file in their place.
    given = patched(inception, "load_pretrained_network", partial(_load, weights))
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            given if weights else contextlib.nullcontext(),
        ):
            net = inception.InceptionV3(
                output_blocks=[inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]
            )
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise WxrError(failure_message("fid", weights, error)) from error
    return net.eval().requires_grad_(False).to(device)


def _load(weights: str, net: nn.Module, url: str) -> None:
    """In place of pyiqa's: the state dict of a file, all of it."""
    if not Path(weights).is_file():
        raise WxrError(f"weights of the metric 'fid': {weights} does not exist; correct the path")
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))


def features(net: nn.Module, images: list[np.ndarray], mode: Mode = "clean") -> np.ndarray:
    """Features float32 (N, 2048) of uint8 RGB images (H, W, 3) of any sizes."""
    prepare = {"clean": _clean, "legacy_pytorch": _legacy}[mode]
    batch = torch.stack([prepare(image) for image in images]).to(next(net.parameters()).device)
    with torch.inference_mode(), torch.autocast(batch.device.type, enabled=False):
        return net(batch)[0].flatten(1).float().cpu().numpy()


def kept_features(
    weights: str | None, device: torch.device, image: np.ndarray, mode: Mode = "clean"
) -> np.ndarray:
    """As `features` of one image (2048,), computed once a process for the same pixels: for what comes again.

    Ground truth does, in every validation. A photo that was changed on disk has other pixels, hence
    a key of its own.
    """
    key = (
        weights,
        str(device),
        mode,
        image.shape,
        hashlib.sha256(np.ascontiguousarray(image)).digest(),
    )
    compute = lambda _: torch.from_numpy(features(load_inception(weights, device), [image], mode))  # noqa: E731
    return KEPT.features([key], compute)[0].numpy()


def _clean(image: np.ndarray) -> Tensor:
    """Float32 (3, 299, 299) in about [-1, 1], resized without aliasing: clean-fid (Parmar et al., CVPR 2022)."""
    planes = [
        Image.fromarray(image[..., c].astype(np.float32)).resize((SIDE, SIDE), Image.BICUBIC)
        for c in range(3)
    ]
    return (
        torch.from_numpy(np.stack([np.asarray(plane).clip(0, 255) for plane in planes])) - 128
    ) / 128


def _legacy(image: np.ndarray) -> Tensor:
    """The same as pytorch-fid has it: bilinear, with aliasing."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]
    resized = nn.functional.interpolate(
        pixels, size=(SIDE, SIDE), mode="bilinear", align_corners=False
    )[0]
    return 2 * (resized / 255) - 1


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """Frechet distance of two sets of features (N, D) and (M, D) taken as Gaussians (Heusel et al., NeurIPS 2017).

    |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2). The last trace is the sum of the singular
    values of A B^T, where S1 = A^T A and S2 = B^T B: exact also for fewer images than features,
    where a matrix root is slow and unstable. NaN for fewer than two images.
    """
    if min(len(one), len(other)) < 2:
        return float("nan")
    means = [values.mean(0, dtype=np.float64) for values in (one, other)]
    roots = [
        (values - mean) / np.sqrt(len(values) - 1) for values, mean in zip((one, other), means)
    ]
    roots = [np.linalg.qr(root, mode="r") if len(root) > root.shape[1] else root for root in roots]
    shared = np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum()
    return float(
        ((means[0] - means[1]) ** 2).sum() + sum((root**2).sum() for root in roots) - 2 * shared
    )
