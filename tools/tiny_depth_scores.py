"""Held-out scores of the tiny depth encoder: of its depth, and of its features for L_feat."""

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import spearmanr
from tiny_data import as_bytes, as_jpeg
from torch import Tensor
from transformers import DepthAnythingForDepthEstimation

from wxr_plugin.conditioning.depth import DepthGuide
from wxr_plugin.data.weather.fields import guess_depth
from wxr_plugin.data.weather.synthesis import KINDS, WEATHERS, add_weather
from wxr_plugin.utils.progress import track

SIDE = 224
SEVERITY = 0.5
GREEN = np.float32([-0.05, 0.05, -0.05])

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _noise(sigma: float) -> Change:
    return lambda image, rng: np.clip(image + rng.normal(0, sigma, image.shape), 0, 1).astype(
        np.float32
    )


def _blur(sigma: float) -> Change:
    return lambda image, rng: cv2.GaussianBlur(image, (0, 0), sigma)


def _green(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image + GREEN, 0, 1)


def _jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.float32(as_jpeg(Image.fromarray(as_bytes(image)), 90)) / 255


CHANGES: dict[str, Change] = {
    "JPEG 90": _jpeg,
    "noise 0.02": _noise(0.02),
    "noise 0.05": _noise(0.05),
    "noise 0.1": _noise(0.1),
    "blur 1 px": _blur(1),
    "blur 2 px": _blur(2),
    "green cast 0.05": _green,
}
"""Faults that a restored photo must not have, and JPEG, which is harmless."""


def depth_rows(
    model: DepthAnythingForDepthEstimation, photos: list[np.ndarray], seed: int
) -> list[str]:
    """Return, for each weather, mean Spearman's rho of drawn nearness with two predictors.

    These are the predicted nearness and the row in the picture.
    """
    correlations = {kind: [] for kind in WEATHERS}
    for index, photo in enumerate(track(photos, "depth")):
        rng = np.random.default_rng((seed, index))
        clean = np.float32(photo) / 255
        for kind in WEATHERS:
            depth = guess_depth(clean, rng)
            image = add_weather(clean, kind, rng.uniform(0.25, 1), rng, "default", depth)
            correlations[kind].append(_correlations(model, image, depth))
    means = {kind: np.mean(pairs, axis=0) for kind, pairs in correlations.items()}
    return [
        f"| {kind} | {model_rho:.2f} | {row_rho:.2f} |"
        for kind, (model_rho, row_rho) in means.items()
    ]


@torch.no_grad()
def _correlations(
    model: DepthAnythingForDepthEstimation, image: np.ndarray, depth: np.ndarray
) -> tuple[float, float]:
    side = model.config.patch_size
    height, width = (round(length / side) * side for length in depth.shape)
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    pixels = (cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA) - mean) / std
    near = model(torch.from_numpy(pixels).permute(2, 0, 1)[None]).predicted_depth[0].numpy()
    near, true = (
        cv2.resize(plane, (48, 48), interpolation=cv2.INTER_AREA) for plane in (near, 1 - depth)
    )
    rows = np.repeat(np.arange(48), 48)
    return tuple(
        float(spearmanr(values, true.ravel()).statistic) for values in (near.ravel(), rows)
    )


class Views:
    """A square of each photo, clean, changed and under weather, as tensors (N, 3, SIDE, SIDE)."""

    def __init__(self, photos: list[np.ndarray], seed: int):
        views = [
            self._of(np.float32(photo) / 255, np.random.default_rng((seed, i)))
            for i, photo in enumerate(photos)
        ]
        self.images = {
            name: torch.from_numpy(np.stack([view[name] for view in views])).permute(0, 3, 1, 2)
            for name in views[0]
        }

    @staticmethod
    def _of(photo: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        top, left = (int(rng.integers(length - SIDE + 1)) for length in photo.shape[:2])
        square = (slice(top, top + SIDE), slice(left, left + SIDE))
        clean = np.ascontiguousarray(photo[square])
        weathered = {kind: add_weather(photo, kind, SEVERITY, rng)[square] for kind in KINDS}
        return {
            "clean": clean,
            **weathered,
            **{name: change(clean, rng) for name, change in CHANGES.items()},
        }


@torch.no_grad()
def feature_scores(guide: DepthGuide, views: Views) -> dict[str, float]:
    """Return how far each change moves the tokens, as a share of the distance of two photos.

    "other photo" is that distance itself. "own photo found": share of weathered photos whose
    nearest clean photo is their own. "own before another": share of pairs in which the own clean
    photo is nearer than the other one. "gradient": cosine of the way down from a photo with noise
    0.05 and the way to the clean one, over pixels.
    """
    tokens = {name: _tokens(guide, images) for name, images in views.images.items()}
    clean = tokens.pop("clean")
    apart = ~torch.eye(len(clean), dtype=torch.bool)
    # The unit of all other scores: the mean distance of two clean photos.
    unit = _distances(clean, clean)[apart].mean()
    scores = {
        name: (_paired(changed, clean).mean() / unit).item() for name, changed in tokens.items()
    }
    weathered = [_distances(tokens[kind], clean) for kind in KINDS]
    own = [(d.argmin(1) == torch.arange(len(d))).float().mean() for d in weathered]
    before = [(d.diagonal()[:, None] < d)[apart].float().mean() for d in weathered]
    own, before = torch.stack(own).mean().item(), torch.stack(before).mean().item()
    ends = {
        "own photo found": own,
        "own before another": before,
        "gradient": _gradient(guide, views.images),
    }
    return {"other photo": unit.item(), **scores, **ends}


@torch.enable_grad()
def _gradient(guide: DepthGuide, images: dict[str, Tensor], count: int = 40) -> float:
    clean, noisy = images["clean"][:count], images["noise 0.05"][:count].clone().requires_grad_()
    _paired(guide.encode(noisy), guide.encode(clean)).sum().backward()
    return (
        F.cosine_similarity(-noisy.grad.flatten(1), (clean - noisy.detach()).flatten(1))
        .mean()
        .item()
    )


def _tokens(guide: DepthGuide, images: Tensor) -> Tensor:
    return torch.cat([guide.encode(part) for part in images.split(10)])


def _paired(first: Tensor, second: Tensor) -> Tensor:
    return (1 - F.cosine_similarity(first, second, dim=-1)).mean(-1)


def _distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the distances of all pairs of images, (N, N), from tokens (N, patches, width)."""
    patches = first.shape[1]
    # The product of flattened unit tokens is the sum of the cosines over the patches.
    first, second = (F.normalize(tokens, dim=-1).flatten(1) for tokens in (first, second))
    return 1 - first @ second.T / patches
