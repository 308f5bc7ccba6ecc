"""Training pictures of the tiny depth encoder: weathered crops, depth, and clean structure."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from tiny_data import LUMA, as_bytes, change_light
from tiny_depth_model import PATCH, SIDE
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from wxr_plugin.data.weather.fields import guess_depth
from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.utils.progress import track

BINS = 8
CELLS = 2


class Sample(NamedTuple):
    """One crop, or a batch of them with one more axis in front."""

    image: np.ndarray
    """With weather: uint8 (3, SIDE, SIDE)."""
    depth: np.ndarray
    """Depth for the weather: float16 (SIDE / 2, SIDE / 2), 1 the farthest."""
    structure: np.ndarray
    """Of the clean crop, see `structure`: float16 (tokens, 4 * BINS + 3)."""


def make_pool(photos: list[np.ndarray], rounds: int, crops: int, seed: int, workers: int) -> Sample:
    """Draw `rounds` looks of each photo under each weather, and `crops` of each, as one batch."""
    jobs = [(photo, (seed, index), rounds, crops) for index, photo in enumerate(photos)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
        parts = list(track(pool.map(_photo_samples, jobs, chunksize=4), "pictures", len(jobs)))
    samples = [sample for part in parts for sample in part]
    return Sample(*(np.stack(field) for field in zip(*samples)))


def _photo_samples(job: tuple[np.ndarray, tuple[int, int], int, int]) -> list[Sample]:
    torch.set_num_threads(1)
    photo, seed, rounds, crops = job
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(rounds):
        clean = change_light(np.float32(photo) / 255, rng, overcast=rng.random() < 0.3)
        clean = clean[:, ::-1] if rng.random() < 0.5 else clean
        for kind in WEATHERS:
            depth = guess_depth(clean, rng)
            image = add_weather(clean, kind, rng.uniform(0.15, 1.0), rng, "default", depth)
            samples += [_crop(image, clean, depth, rng) for _ in range(crops)]
    return samples


def _crop(
    image: np.ndarray, clean: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> Sample:
    side = int(rng.integers(SIDE, min(depth.shape) + 1))
    top, left = (int(rng.integers(length - side + 1)) for length in depth.shape)
    image, clean, depth = (
        whole[top : top + side, left : left + side] for whole in (image, clean, depth)
    )
    image, clean = (
        cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for part in (image, clean)
    )
    depth = cv2.resize(depth, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    tokens = structure(torch.from_numpy(clean).permute(2, 0, 1)[None])[0]
    return Sample(as_bytes(image).transpose(2, 0, 1), np.float16(depth), np.float16(tokens.numpy()))


def spoil(images: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return images (N, 3, H, W) in [0, 1], half noisy, a quarter blurred, and the amounts (N, 2).

    Noise has a deviation of up to 0.1, blur one of 0.5 to 2 px; the two levels are log(1 +
    deviation / 0.02) and log(1 + deviation / 0.5 px), because the eye distinguishes weak ones
    better than strong ones.
    """
    count = len(images)
    noise = rng.uniform(0, 0.1, count) * (rng.random(count) < 0.5)
    blur = rng.uniform(0.5, 2, count) * (rng.random(count) < 0.25)
    blurred = [
        gaussian_blur(image, 9, sigma) if sigma else image
        for image, sigma in zip(images, blur.tolist())
    ]
    noise_map = torch.from_numpy(rng.normal(0, noise[:, None, None, None], images.shape)).float()
    levels = np.stack([np.log1p(noise / 0.02), np.log1p(blur / 0.5)], axis=1)
    return (torch.stack(blurred) + noise_map).clamp(0, 1), torch.from_numpy(levels).float()


def structure(images: Tensor) -> Tensor:
    """Return descriptors of each patch of images (N, 3, H, W): (N, tokens, 4 * BINS + 3).

    Histograms of the gradient's direction, weighted by its length, in 2 x 2 cells of the patch
    (HOG, the target of MaskFeat, Wei et al., CVPR 2022), with the square root taken and no contrast
    normalisation, and the mean colour as brightness and two differences (green against red and
    blue, red against blue).
    """
    grey = (images * torch.from_numpy(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    grey = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx, dy = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2], grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
    place = torch.atan2(dy, dx).remainder(torch.pi) * (BINS / torch.pi)
    bins = torch.arange(BINS).view(1, -1, 1, 1)
    apart = (place - bins).abs()
    share = (1 - torch.minimum(apart, BINS - apart)).clamp_min(
        0
    )  # each gradient counts for its two nearest bins
    cells = F.avg_pool2d(share * torch.hypot(dx, dy), PATCH // CELLS)
    cells = F.pixel_unshuffle(cells, CELLS).clamp_min(0).sqrt()
    red, green, blue = F.avg_pool2d(images, PATCH).split(1, dim=1)
    colour = [(red + green + blue) / 3, green - (red + blue) / 2, red - blue]
    return torch.cat([cells, *colour], dim=1).flatten(2).transpose(1, 2)
