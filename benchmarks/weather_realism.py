"""Measure how well a small classifier separates real weather from synthetic, by kind and style.

    python benchmarks/weather_realism.py --real REAL --clean CLEAN/test

REAL holds rain/, haze/ and snow/, CLEAN/test clear photos. Both are shrunk to SIDE pixels,
described by statistics of tone, colour, veil and detail, and classified by a network of one hidden
layer. Figures are balanced accuracies on photos that the classifier did not see (five folds, mean
of three seeds): 50 % is chance. The row `clear` has no weather drawn: a difference that the
classifier sees there and with weather alike lies in the scenes and cameras, not in the weather.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.weather.synthesis import KINDS, STYLES, add_weather

SIDE = 256
FOLDS, SEEDS, STEPS, HIDDEN = 5, 3, 300, 16
QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
SCALES = 4
DIRECTIONS = 8


def shrunk(file: Path) -> np.ndarray:
    """Return the photo as float32 RGB in [0, 1], its longer side SIDE pixels."""
    photo = read_image(file)
    scale = SIDE / max(photo.shape[:2])
    size = (max(round(photo.shape[1] * scale), 32), max(round(photo.shape[0] * scale), 32))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def statistics(image: np.ndarray) -> np.ndarray:
    """Return features of an RGB image in [0, 1]: tone, colour, veil, detail and direction."""
    grey = image.mean(axis=2)
    dark = cv2.erode(image.min(axis=2), np.ones((9, 9), np.uint8))
    saturation = image.max(axis=2) - image.min(axis=2)
    parts = [
        np.quantile(plane, QUANTILES)
        for plane in (grey, dark, saturation, image[..., 0] - image[..., 2])
    ]
    parts.append(cv2.resize(dark, (3, 4), interpolation=cv2.INTER_AREA).ravel())
    level = grey
    for _ in range(SCALES):
        smooth = cv2.GaussianBlur(level, (0, 0), 1.0)
        parts.append(_detail(level - smooth))
        level = smooth[::2, ::2]
    parts.append(_directions(grey))
    return np.concatenate(parts).astype(np.float32)


def _detail(band: np.ndarray) -> np.ndarray:
    """Return deviation (log), skewness and excess of a band of detail, and its unevenness."""
    deviation = band.std() + 1e-4
    normal = band / deviation
    strength = cv2.resize(np.abs(band), (4, 4), interpolation=cv2.INTER_AREA)
    moments = np.log(deviation), (normal**3).mean(), np.log((normal**4).mean() + 1e-3)
    return np.array([*moments, strength.std() / (strength.mean() + 1e-4)])


def _directions(grey: np.ndarray) -> np.ndarray:
    """Return the share of the gradients' energy in each direction: streaks have one."""
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    energy = across**2 + down**2
    bins = ((np.arctan2(down, across) % np.pi) / np.pi * DIRECTIONS).astype(int) % DIRECTIONS
    return np.bincount(bins.ravel(), energy.ravel(), DIRECTIONS) / (energy.sum() + 1e-6)


def separation(real: np.ndarray, drawn: np.ndarray) -> float:
    """Return the mean accuracy over seeds, balanced, on unseen photos: features (N, D), (M, D)."""
    return float(np.mean([_cross_validated(real, drawn, seed) for seed in range(SEEDS)]))


def _cross_validated(real: np.ndarray, drawn: np.ndarray, seed: int) -> float:
    rng = np.random.default_rng(seed)
    folds = [rng.permutation(len(features)) % FOLDS for features in (real, drawn)]
    right = [[], []]
    for fold in range(FOLDS):
        train = [features[part != fold] for features, part in zip((real, drawn), folds)]
        judge = _fit(*train, seed)
        for label, (features, part) in enumerate(zip((real, drawn), folds)):
            right[label] += ((judge(features[part == fold]) > 0) == bool(label)).tolist()
    return float(np.mean([np.mean(label) for label in right]))


def _fit(real: np.ndarray, drawn: np.ndarray, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of features (N, D) whose result (N,) is positive for drawn weather."""
    torch.manual_seed(seed)
    features = torch.from_numpy(np.concatenate((real, drawn)))
    labels = torch.cat((torch.zeros(len(real)), torch.ones(len(drawn))))
    weights = torch.where(labels > 0, 0.5 / len(drawn), 0.5 / len(real))
    mean, deviation = features.mean(0), features.std(0) + 1e-4
    net = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(STEPS):
        score = net((features - mean) / deviation).squeeze(1)
        loss = (weights * F.binary_cross_entropy_with_logits(score, labels, reduction="none")).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda part: net((torch.from_numpy(part) - mean) / deviation).squeeze(1).detach().numpy()


def drawn_statistics(photos: list[np.ndarray], kind: str, style: str) -> np.ndarray:
    """Return the statistics of the photos under weather; `style` "clear" draws none."""
    rows = []
    for number, photo in enumerate(photos):
        rng = np.random.default_rng((number, KINDS.index(kind)))
        severity = rng.uniform(0.3, 1.0)
        image = photo if style == "clear" else add_weather(photo, kind, severity, rng, style)
        rows.append(statistics((image * 255).round().astype(np.float32) / 255))
    return np.stack(rows)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--real", type=Path, required=True, help="folder with rain/, haze/ and snow/"
    )
    parser.add_argument("--clean", type=Path, required=True, help="folder of clear photos")
    args = parser.parse_args()
    torch.set_num_threads(1)
    photos = [shrunk(file) for file in list_images(args.clean)]
    print(f"| style | {' | '.join(KINDS)} |\n|---|" + "---|" * len(KINDS))
    real = {
        kind: np.stack([statistics(shrunk(file)) for file in list_images(args.real / kind)])
        for kind in KINDS
    }
    for style in (*STYLES, "clear"):
        figures = [
            f"{separation(real[kind], drawn_statistics(photos, kind, style)):.0%}" for kind in KINDS
        ]
        print(f"| {style} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
