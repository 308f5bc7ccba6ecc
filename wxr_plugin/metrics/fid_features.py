"""Inception features for FID, as computed by pyiqa, and the distance of two sets of features."""

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
from wxr_plugin.hub import fetched_file
from wxr_plugin.utils.extras import imported
from wxr_plugin.utils.feature_cache import FeatureCache
from wxr_plugin.utils.patching import patched

SIDE = 299
"""Side of Inception's input in pixels."""
Mode = Literal["clean", "legacy_pytorch"]
"""Resizing as in clean-fid or as in pytorch-fid."""
CACHE = FeatureCache(100)
"""Features of ground truth: 100 MB hold 12,000 photos."""


@lru_cache
def load_inception(weights: str | None, device: torch.device) -> nn.Module:
    """Load pyiqa's Inception network for FID, once per process.

    Args:
        weights: weight file; by default pyiqa downloads one.
        device: device of the network.

    Raises:
        WxrError: the file is missing (the message says how to provide it) or does not fit.
    """
    from wxr_plugin.vlm.pyiqa_metrics import failure_message

    inception = imported("pyiqa.archs.inception")
    # pyiqa always downloads its weights and cannot load a file.
    loading: contextlib.AbstractContextManager = contextlib.nullcontext()
    if weights:
        loading = patched(inception, "load_pretrained_network", partial(_load, weights))
    try:
        # pyiqa prints a line for each network.
        with contextlib.redirect_stdout(io.StringIO()), loading:
            net = inception.InceptionV3(
                output_blocks=[inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]
            )
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise WxrError(failure_message("fid", weights, error)) from error
    return net.eval().requires_grad_(False).to(device)


def _load(weights: str, net: nn.Module, url: str) -> None:
    """Load the state dict of a file into `net`, in place of pyiqa's download from `url`."""
    weights = str(fetched_file(weights))
    if not Path(weights).is_file():
        raise WxrError(f"weights of the metric 'fid': {weights} does not exist; correct the path")
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))


def features(net: nn.Module, images: list[np.ndarray], mode: Mode = "clean") -> np.ndarray:
    """Compute features float32 (N, 2048) of uint8 RGB images (H, W, 3) of any sizes."""
    prepare = {"clean": _clean, "legacy_pytorch": _legacy}[mode]
    device = next(net.parameters()).device
    batch = torch.stack([prepare(image) for image in images]).to(device)
    # FID is defined in float32, whatever the precision of the training.
    with torch.inference_mode(), torch.autocast(device.type, enabled=False):
        return net(batch)[0].flatten(1).float().cpu().numpy()


def cached_features(
    weights: str | None, device: torch.device, image: np.ndarray, mode: Mode = "clean"
) -> np.ndarray:
    """Compute the features (2048,) of one image, once per process for the same pixels.

    Meant for ground truth, which is the same in every validation. The key contains a hash of the
    pixels, so a photo that changed on disk is computed again.
    """
    digest = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
    key = (weights, str(device), mode, image.shape, digest)

    def compute(_: list[int]) -> Tensor:
        net = load_inception(weights, device)
        return torch.from_numpy(features(net, [image], mode))

    return CACHE.features([key], compute)[0].numpy()


def _clean(image: np.ndarray) -> Tensor:
    """Resize to float32 (3, 299, 299) in about [-1, 1] as clean-fid (Parmar et al., CVPR 2022)."""
    planes = []
    for channel in range(3):
        # Pillow antialiases; float planes avoid the rounding to 8 bits.
        plane = Image.fromarray(image[..., channel].astype(np.float32))
        resized = plane.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        planes.append(np.asarray(resized).clip(0, 255))
    return (torch.from_numpy(np.stack(planes)) - 128) / 128


def _legacy(image: np.ndarray) -> Tensor:
    """Resize to float32 (3, 299, 299) in [-1, 1] as pytorch-fid: bilinear, with aliasing."""
    pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).float()[None]
    resized = nn.functional.interpolate(
        pixels, size=(SIDE, SIDE), mode="bilinear", align_corners=False
    )[0]
    return 2 * (resized / 255) - 1


def frechet(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Frechet distance of features (N, D) and (M, D) (Heusel et al., NeurIPS 2017).

    Both sets are modelled as Gaussians: |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2). The last
    trace is the sum of the singular values of A B^T, where S1 = A^T A and S2 = B^T B: this is exact
    also for fewer images than features, where a matrix root is slow and unstable. Returns NaN for
    fewer than two images.
    """
    if min(len(first), len(second)) < 2:
        return float("nan")
    first_mean, first_root = _gaussian(first)
    second_mean, second_root = _gaussian(second)
    distance = ((first_mean - second_mean) ** 2).sum()
    traces = (first_root**2).sum() + (second_root**2).sum()
    shared = np.linalg.svd(first_root @ second_root.T, compute_uv=False).sum()
    return float(distance + traces - 2 * shared)


def _gaussian(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (D,) and a root A (at most D, D) of the covariance A^T A, in float64."""
    mean = features.mean(0, dtype=np.float64)
    root = (features - mean) / np.sqrt(len(features) - 1)
    # R of a QR decomposition has the same A^T A and no more rows than columns.
    if len(root) > root.shape[1]:
        root = np.linalg.qr(root, mode="r")
    return mean, root
