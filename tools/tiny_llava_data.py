"""Training pictures of the tiny LLaVA: views of photos with weather, restorations and damage."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import uniform_filter
from tiny_data import LUMA, as_bytes, change_light, draw_view, recompress
from tiny_llava_damage import draw_damage
from tiny_llava_model import MEAN, PATCH, SIDE, STD
from tiny_llava_scene import scene_traits
from torch.nn.functional import conv2d
from torchvision.transforms.v2 import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.inference.restorer import Restorer


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
    """Severity of the weather, float32 (N,) in [0, 1]; 0 for clear."""
    loss: np.ndarray
    """Loss of visibility by weather and damage together, float32 (N,) in [0, 1]."""
    scene: np.ndarray
    """Traits of the clear view, int64 (N, 5); see tiny_llava_scene."""
    effect: np.ndarray
    """Effect of the weather on each patch, float16 (N, T, 3); see `patch_effect`."""

    def rows(self, rows: np.ndarray, device: torch.device) -> list[torch.Tensor]:
        """Return all fields of some pictures as tensors on `device`, float16 as float32."""
        fields = (getattr(self, name)[rows] for name in self.__struct_fields__)
        values = (torch.from_numpy(field).to(device) for field in fields)
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
    photos: Sequence[np.ndarray],
    rounds: int,
    seed: int,
    filters: np.ndarray,
    restorers: Sequence[str] = (),
    workers: int = 2,
) -> Pool:
    """Draw `rounds` views of every photo, and the pictures of each view.

    `filters` are the vision tower's (width, 3, PATCH, PATCH); `restorers` are checkpoints.
    """
    jobs = [(photo, (seed, index)) for index, photo in enumerate(photos)]
    encode = partial(_encoded, rounds=rounds, filters=filters, restorers=tuple(restorers))
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as executor:
        parts = []
        for part in executor.map(encode, jobs, chunksize=4):
            parts.append(part)
            if len(parts) % 50 == 0:
                print(f"pictures of {len(parts)}/{len(photos)} photos", flush=True)
    return Pool(*(np.concatenate(values) for values in zip(*parts)))


def _encoded(
    job: tuple[np.ndarray, tuple[int, int]],
    rounds: int,
    filters: np.ndarray,
    restorers: tuple[str, ...],
) -> tuple[np.ndarray, ...]:
    """Return the fields of Pool for the pictures of one photo."""
    torch.set_num_threads(1)
    samples = draw_pictures(*job, rounds, restorers)
    squares = np.stack([sample.square for sample in samples])
    answers = conv2d(normalised(squares), torch.from_numpy(filters), stride=PATCH)
    return (
        answers.flatten(2).transpose(1, 2).half().numpy(),
        np.array([sample.weather for sample in samples]),
        np.array([sample.severity for sample in samples], np.float32),
        np.array([sample.loss for sample in samples], np.float32),
        np.stack([sample.scene for sample in samples]),
        np.stack([sample.effect for sample in samples]),
    )


class Sample(msgspec.Struct):
    """One training picture and what is true of it; see the fields of Pool."""

    square: np.ndarray
    """uint8 (3, SIDE, SIDE)."""
    weather: int
    severity: float
    loss: float
    scene: np.ndarray
    effect: np.ndarray


def draw_pictures(
    photo: np.ndarray, seed: int | tuple[int, ...], rounds: int, restorers: Sequence[str] = ()
) -> list[Sample]:
    """Draw the training pictures of one photo.

    Each view is drawn clear, under each weather, damaged, and, if there are restorers, as several
    restorations of one degraded crop.
    """
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(rounds):
        view = draw_view(photo, rng, crop=0.45, scale=0.4)
        samples += [draw_sample(view, kind, rng) for kind in WEATHERS]
        samples.append(draw_sample(view, "clear", rng, damage=True))
        if restorers:
            samples += draw_restorations(_part(view, rng), restorers, rng)
    return samples


def _part(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a crop of at most RESTORED pixels a side: crops are rated in training, and fast."""
    height, width = (min(side, RESTORED) for side in view.shape[:2])
    top = int(rng.integers(view.shape[0] - height + 1))
    left = int(rng.integers(view.shape[1] - width + 1))
    return np.ascontiguousarray(view[top : top + height, left : left + width])


def to_square(image: np.ndarray) -> np.ndarray:
    """Resize uint8 (H, W, 3) to (3, SIDE, SIDE) exactly as the shipped image processor does."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return F.resize(tensor, [SIDE, SIDE], F.InterpolationMode.BICUBIC, antialias=True).numpy()


def normalised(images: np.ndarray) -> torch.Tensor:
    """Normalise uint8 (N, 3, S, S) as the image processor does for the network."""
    mean, std = (torch.tensor(v)[:, None, None] * 255 for v in (MEAN, STD))
    return torch.from_numpy(images).float().sub_(mean).div_(std)


RESTORED = 112
"""Longest side in pixels of a crop that is restored: that of the crops in small trainings."""
STYLES = ("default", "default", "realistic", "published", "dusk", "shifted")
"""Styles of the weather; each is drawn as often as it is listed."""


RESTORATIONS, DAMAGED = 3, 2
"""Restorations of one degraded crop, and how many more are damaged."""


class Degraded(msgspec.Struct):
    """A view before and after weather."""

    before: np.ndarray
    """The clear view in its light, float32 RGB."""
    image: np.ndarray
    """The same under weather."""
    weather: int
    severity: float


def draw_degraded(view: np.ndarray, kind: str, rng: np.random.Generator) -> Degraded:
    """Draw light and weather of a view (float RGB)."""
    severity = 0.0 if kind == "clear" else float(rng.uniform(0.0, 1.0) ** rng.choice([1.0, 1.5]))
    before = view
    if rng.random() < 0.65:
        before = change_light(view, rng, overcast=rng.random() < (0.25 if kind == "clear" else 0.5))
    image = add_weather(before, kind, severity, rng, str(rng.choice(STYLES)))
    if kind in ("rain", "snow") and rng.random() < 0.2:
        veil = float(rng.uniform(0, 0.4)) * severity
        image = add_weather(image, "haze", veil, rng, "default")
        severity = 1 - (1 - severity) * (1 - 0.5 * veil)
    return Degraded(before, image, WEATHERS.index(kind), severity)


def draw_sample(
    view: np.ndarray, kind: str, rng: np.random.Generator, damage: bool = False
) -> Sample:
    """Draw a picture of a view (float RGB) under weather, perhaps damaged."""
    drawn = draw_degraded(view, kind, rng)
    return _sample(drawn, drawn.image, drawn.severity, drawn.severity, rng, damage)


def draw_restorations(
    view: np.ndarray, restorers: Sequence[str], rng: np.random.Generator
) -> list[Sample]:
    """Draw restorations of one degraded view, the last DAMAGED of them damaged.

    Which of two restorations is better is what a gate asks, so there are several of each picture.
    """
    kind = str(rng.choice(WEATHERS, p=(0.1, 0.3, 0.3, 0.3)))
    drawn = draw_degraded(view, kind, rng)
    samples = []
    for number in range(RESTORATIONS + DAMAGED):
        restored = _restored(drawn.image, str(rng.choice(restorers)), rng)
        severity, loss = _left(restored, drawn)
        is_damaged = number >= RESTORATIONS
        samples.append(_sample(drawn, restored, severity, loss, rng, is_damaged))
    return samples


def _sample(
    drawn: Degraded,
    image: np.ndarray,
    severity: float,
    loss: float,
    rng: np.random.Generator,
    damage: bool,
) -> Sample:
    """Return the picture `image` as the model sees it, damaged or as a camera stores it."""
    if damage:
        image, harm = draw_damage(image, rng)
        loss = 1 - (1 - loss) * (1 - harm)
    else:
        # No noise without a loss: a rater that saw it so prefers noise.
        image = recompress(image, rng, noise=0, blur=0.05, jpeg=0.35) / np.float32(255)
    square = to_square(as_bytes(image))
    effect = patch_effect(to_square(as_bytes(drawn.before)), square)
    return Sample(square, drawn.weather, severity, loss, scene_traits(drawn.before), effect)


def _restored(image: np.ndarray, restorer: str, rng: np.random.Generator) -> np.ndarray:
    """Return a restoration of `image`, float32 in [0, 1].

    A part of the change alone stands for a network at an earlier stage; more than all of it, or
    restoring twice, for one that does too much.
    """
    net = load_restorer(restorer)
    pixels = net.restore(as_bytes(image))
    if rng.random() < 0.2:
        pixels = net.restore(pixels)
    share = np.float32(rng.uniform(0.3, 1.4))
    return np.clip(image + share * (pixels / np.float32(255) - image), 0, 1)


def _left(restored: np.ndarray, drawn: Degraded) -> tuple[float, float]:
    """Return the severity that a restoration leaves, and its loss of visibility.

    The loss is severity times the ratio of the errors (RMSE against the clear view) after and
    before restoring. So of two restorations of one picture the one with the higher PSNR has the
    higher target.
    """
    error = float(np.sqrt(np.mean((restored - drawn.before) ** 2)))
    if drawn.severity == 0:
        # A clear photo loses as much as its error in quarters of the range: 0.1 is plain to see.
        return 0.0, min(1.0, 4 * error)
    before = float(np.sqrt(np.mean((drawn.image - drawn.before) ** 2)))
    left = min(1.0, drawn.severity * error / max(before, 1e-3))
    return min(left, drawn.severity), left


@cache
def load_restorer(checkpoint: str) -> Restorer:
    """Return a restorer, loaded once in each process."""
    return Restorer.from_checkpoint(checkpoint, device="cpu", precision="bf16", tile=None)


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
