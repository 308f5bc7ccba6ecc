"""Training pictures of the tiny LLaVA: views of photos with changed light and synthetic weather."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import uniform_filter
from tiny_data import LUMA, as_bytes, change_light, draw_view, recompress
from tiny_llava_model import MEAN, PATCH, SIDE, STD
from torch.nn.functional import conv2d
from torchvision.transforms.v2 import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather


class Pool(msgspec.Struct):
    """Training pictures, as the vision tower's patch filters see them.

    The filters are not trained, so their answers are computed once, and the pictures need not be
    kept.
    """

    patches: np.ndarray
    """The filters' answers, float16 (N, T, width)."""
    weather: np.ndarray
    """Index in WEATHERS, int64 (N,)."""
    severity: np.ndarray
    """float32 (N,) in [0, 1]; 0 for clear."""
    effect: np.ndarray
    """Effect of the weather on each patch, float16 (N, T, 3); see `patch_effect`."""

    def rows(self, rows: np.ndarray) -> list[torch.Tensor]:
        """Return patches, weather, severity and effect of some pictures, float16 as float32."""
        values = (torch.from_numpy(getattr(self, name)[rows]) for name in self.__struct_fields__)
        return [value.float() if value.is_floating_point() else value for value in values]


def read_photos(folder: str | Path, without: str | Path | None = None) -> list[np.ndarray]:
    """Read the photos below a folder, except those below `without`; uint8 RGB (H, W, 3)."""
    hidden = set() if without is None else set(Path(without).resolve().rglob("*"))
    images = (
        p
        for p in Path(folder).resolve().rglob("*")
        if p.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )
    paths = sorted(set(images) - hidden)
    if not paths:
        raise FileNotFoundError(f"no .jpg or .png photos below {folder}")
    return [np.array(Image.open(path).convert("RGB")) for path in paths]


def make_pool(
    photos: Sequence[np.ndarray], rounds: int, seed: int, filters: np.ndarray, workers: int = 2
) -> Pool:
    """Draw `rounds` views of every photo, and of each four pictures: clear, rain, haze and snow.

    `filters` are the vision tower's (width, 3, PATCH, PATCH).
    """
    jobs = [(photo, (seed, index)) for index, photo in enumerate(photos)]
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as executor:
        parts = list(
            executor.map(partial(_encoded, rounds=rounds, filters=filters), jobs, chunksize=4)
        )
    return Pool(*(np.concatenate(values) for values in zip(*parts)))


def _encoded(
    job: tuple[np.ndarray, tuple[int, int]], rounds: int, filters: np.ndarray
) -> tuple[np.ndarray, ...]:
    torch.set_num_threads(1)
    images, weather, severity, effect = zip(*draw_pictures(*job, rounds))
    answers = conv2d(normalised(np.stack(images)), torch.from_numpy(filters), stride=PATCH)
    patches = answers.flatten(2).transpose(1, 2).half().numpy()
    return patches, np.array(weather), np.array(severity, np.float32), np.stack(effect)


def draw_pictures(photo: np.ndarray, seed: int | tuple[int, ...], rounds: int) -> list[tuple]:
    """Draw the training pictures of one photo, each by `draw_sample`."""
    rng, samples = np.random.default_rng(seed), []
    for _ in range(rounds):
        view = draw_view(photo, rng, crop=0.45, scale=0.4)
        samples += [draw_sample(view, kind, rng) for kind in WEATHERS]
    return samples


def to_square(image: np.ndarray) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (3, SIDE, SIDE) exactly as the shipped image processor does."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return F.resize(tensor, [SIDE, SIDE], F.InterpolationMode.BICUBIC, antialias=True).numpy()


def normalised(images: np.ndarray) -> torch.Tensor:
    """Normalise uint8 (N, 3, S, S) as the image processor does for the network."""
    mean, std = (torch.tensor(v)[:, None, None] * 255 for v in (MEAN, STD))
    return torch.from_numpy(images).float().sub_(mean).div_(std)


def draw_sample(
    view: np.ndarray, kind: str, rng: np.random.Generator
) -> tuple[np.ndarray, int, float, np.ndarray]:
    """Draw a picture of a view (float RGB): square (uint8), weather's index, severity, effect."""
    severity = 0.0 if kind == "clear" else float(rng.uniform(0.0, 1.0) ** rng.choice([1.0, 1.5]))
    style = "default" if rng.random() < 0.8 else "shifted"
    before = view
    if rng.random() < 0.65:
        before = change_light(view, rng, overcast=rng.random() < (0.25 if kind == "clear" else 0.5))
    image = add_weather(before, kind, severity, rng, style)
    if kind in ("rain", "snow") and rng.random() < 0.2:
        veil = float(rng.uniform(0, 0.4)) * severity
        image, severity = (
            add_weather(image, "haze", veil, rng, "default"),
            1 - (1 - severity) * (1 - 0.5 * veil),
        )
    effect = patch_effect(to_square(as_bytes(before)), to_square(as_bytes(image)))
    return (
        to_square(recompress(image, rng, noise=0.1, blur=0.12, jpeg=0.5)),
        WEATHERS.index(kind),
        severity,
        effect,
    )


def patch_effect(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the change of each patch between two uint8 squares, float16 (T, 3), near [0, 1].

    Fitting after = a before + b over each patch's luminance gives 1 - a (the loss of contrast,
    smoothed over the neighbours), twice the rise of the mean, and five times the deviation of what
    is left (streaks and flakes). Such targets at each patch teach a small network from few photos
    far faster than one label a picture. Our choice.
    """
    x, y = (
        _patches(np.tensordot(LUMA, image.astype(np.float32) / 255, (0, 0)))
        for image in (before, after)
    )
    (mx, my) = (v.mean(-1) for v in (x, y))
    variance, covariance = x.var(-1), ((x - mx[..., None]) * (y - my[..., None])).mean(-1)
    slope = (uniform_filter(covariance, 3) + 1e-3) / (uniform_filter(variance, 3) + 1e-3)
    rest = (y - my[..., None]) - slope[..., None] * (x - mx[..., None])
    effect = np.stack([1 - slope, 2 * (my - mx), 5 * rest.std(-1)], -1)
    return np.clip(effect, -1, 2).reshape(-1, 3).astype(np.float16)


def _patches(grey: np.ndarray) -> np.ndarray:
    rows = SIDE // PATCH
    return grey.reshape(rows, PATCH, rows, PATCH).transpose(0, 2, 1, 3).reshape(rows, rows, -1)
