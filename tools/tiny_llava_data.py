"""Training pictures of the tiny LLaVA: views of photos with weather, restorations and damage."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.lib.format import open_memmap
from PIL import Image
from scipy.ndimage import uniform_filter
from tiny_data import LUMA, as_bytes, change_light, draw_view, recompress
from tiny_llava_damage import draw_damage
from tiny_llava_model import MEAN, SIDE, STD, frozen_maps
from tiny_llava_scene import scene_traits
from torch import nn
from torchvision.transforms.v2 import functional as F

from wxr_plugin.data.weather.synthesis import WEATHERS, add_weather
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.utils.files import write_with

EFFECT = 32
"""Side in pixels of the patches whose change is measured."""
IMAGES, FACTS, MAPS = "images.npy", "facts.npz", "maps.npy"
"""Names of the files of a pool; the last is made from the first."""


class Pool(msgspec.Struct):
    """Training pictures and what is true of them, N of them."""

    images: np.ndarray
    """The pictures as the model sees them, uint8 (N, 3, SIDE, SIDE); mapped from a file.

    Or what the tower's frozen part makes of them, float16 (N, height, width, channels).
    """
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
    group: np.ndarray
    """Number of the view, int64 (N,): pictures of one view are compared with each other."""

    @classmethod
    def read(cls, folder: Path) -> "Pool":
        """Return the pool that `make_pool` wrote into `folder`."""
        with np.load(folder / FACTS) as facts:
            return cls(np.load(folder / IMAGES, mmap_mode="r"), **facts)

    def rows(self, rows: np.ndarray, device: torch.device) -> "Pool":
        """Return some pictures as tensors on `device`, the images normalised, the rest float32."""
        fields = {name: getattr(self, name)[rows] for name in self.__struct_fields__}
        images = fields.pop("images")
        if images.dtype == np.uint8:
            images = normalised(images).to(device)
        else:
            images = torch.from_numpy(images).to(device).float().permute(0, 3, 1, 2)
        values = {name: torch.from_numpy(field).to(device) for name, field in fields.items()}
        floats = {n: v.float() if v.is_floating_point() else v for n, v in values.items()}
        return Pool(images, **floats)


@torch.no_grad()
def with_maps(pool: Pool, tower: nn.Module, folder: Path, batch: int = 44) -> Pool:
    """Return `pool` with the tower's frozen maps as its images; write them once into `folder`."""
    path, unfinished = folder / MAPS, folder / f"{MAPS}.part"
    if not path.is_file():
        device, maps = next(tower.parameters()).device, None
        for start in range(0, len(pool.images), batch):
            images = normalised(pool.images[start : start + batch]).to(device)
            with torch.autocast(device.type, torch.bfloat16):
                part = frozen_maps(tower, images).permute(0, 2, 3, 1).half().cpu().numpy()
            if maps is None:
                shape = (len(pool.images), *part.shape[1:])
                maps = open_memmap(unfinished, "w+", np.float16, shape)
            maps[start : start + batch] = part
        maps.flush()
        unfinished.replace(path)
    return replace(pool, images=np.load(path, mmap_mode="r"))


def read_photos(
    folder: str | Path, without: str | Path | None = None, longest: int | None = None
) -> list[np.ndarray]:
    """Read the photos below a folder, except those below `without`; uint8 RGB (H, W, 3).

    `longest` reduces photos to that many pixels on their longer side.
    """
    hidden = set() if without is None else set(Path(without).resolve().rglob("*"))
    images = (
        p
        for p in Path(folder).resolve().rglob("*")
        if p.suffix.lower() in {".jpg", ".jpeg", ".png"}
    )
    paths = sorted(set(images) - hidden)
    if not paths:
        raise FileNotFoundError(f"no .jpg or .png photos below {folder}")
    return [_read(path, longest) for path in paths]


def _read(path: Path, longest: int | None) -> np.ndarray:
    image = Image.open(path).convert("RGB")
    if longest:
        image.thumbnail((longest, longest), Image.Resampling.BICUBIC)
    return np.array(image)


def make_pool(
    photos: Sequence[np.ndarray],
    rounds: int,
    seed: int,
    folder: Path,
    restorers: Sequence[str] = (),
    workers: int = 2,
) -> Pool:
    """Draw `rounds` views of every photo and the pictures of each view; write and return them.

    `restorers` are packaged networks or checkpoints. The facts are written last, so a pool that
    has them is complete.
    """
    jobs = [(photo, (seed, number)) for number, photo in enumerate(photos)]
    draw = partial(_drawn, rounds=rounds, restorers=tuple(restorers))
    count = len(photos) * rounds * pictures_per_view(restorers)
    folder.mkdir(parents=True, exist_ok=True)
    images = open_memmap(folder / IMAGES, "w+", np.uint8, (count, 3, SIDE, SIDE))
    facts, start = [], 0
    with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as executor:
        for squares, values in executor.map(draw, jobs, chunksize=4):
            images[start : start + len(squares)] = squares
            start += len(squares)
            facts.append(values)
            if len(facts) % 50 == 0:
                print(f"pictures of {len(facts)}/{len(photos)} photos", flush=True)
    images.flush()
    joined = {name: np.concatenate([part[name] for part in facts]) for name in facts[0]}
    # `_drawn` counts the views of its own photo.
    joined["group"] += np.repeat(np.arange(len(photos)) * rounds * 2, count // len(photos))
    write_with(folder / FACTS, lambda stream: np.savez(stream, **joined))
    return Pool.read(folder)


def pictures_per_view(restorers: Sequence[str]) -> int:
    """Return the number of pictures that `draw_pictures` makes of one view."""
    return len(WEATHERS) + 1 + (RESTORATIONS + DAMAGED + 1 if restorers else 0)


def _drawn(
    job: tuple[np.ndarray, tuple[int, int]], rounds: int, restorers: tuple[str, ...]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the pictures of one photo, uint8 (n, 3, SIDE, SIDE), and the other fields of Pool."""
    torch.set_num_threads(1)
    samples = draw_pictures(*job, rounds, restorers)
    facts = {
        "weather": np.array([sample.weather for sample in samples]),
        "severity": np.array([sample.severity for sample in samples], np.float32),
        "loss": np.array([sample.loss for sample in samples], np.float32),
        "scene": np.stack([sample.scene for sample in samples]),
        "effect": np.stack([sample.effect for sample in samples]),
        "group": np.array([sample.group for sample in samples]),
    }
    return np.stack([sample.square for sample in samples]), facts


class Sample(msgspec.Struct):
    """One training picture and what is true of it; see the fields of Pool."""

    square: np.ndarray
    """uint8 (3, SIDE, SIDE)."""
    weather: int
    severity: float
    loss: float
    scene: np.ndarray
    effect: np.ndarray
    group: int = 0
    """Number of the set of comparable pictures within the photo."""


def draw_pictures(
    photo: np.ndarray, seed: int | tuple[int, ...], rounds: int, restorers: Sequence[str] = ()
) -> list[Sample]:
    """Draw the training pictures of one photo.

    Each view is drawn clear, under each weather, damaged, and, if there are restorers, as several
    restorations of one degraded crop.
    """
    rng = np.random.default_rng(seed)
    samples: list[Sample] = []
    for number in range(rounds):
        view = draw_view(photo, rng, crop=0.45, scale=0.4)
        drawn = [draw_sample(view, kind, rng) for kind in WEATHERS]
        drawn.append(draw_sample(view, "clear", rng, damage=True))
        samples += [replace(sample, group=2 * number) for sample in drawn]
        if restorers:
            restored = draw_restorations(_part(view, rng), restorers, rng)
            samples += [replace(sample, group=2 * number + 1) for sample in restored]
    return samples


def _part(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a crop with sides of one of RESTORED at most."""
    longest = int(rng.choice(RESTORED))
    height, width = (min(side, longest) for side in view.shape[:2])
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


RESTORED = (112, 112, 320)
"""Longest sides in pixels of what is restored: the crops of small trainings, or whole photos."""
STYLES = ("default", "default", "realistic", "published", "dusk", "shifted")
"""Styles of the weather; each is drawn as often as it is listed."""


RESTORATIONS, DAMAGED = 4, 1
"""Restorations of one degraded view, and how many more are damaged."""


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
    """Draw a degraded view and its restorations by two networks, the last DAMAGED damaged.

    Which of two restorations is better is what a gate asks, so there are several of each picture.
    """
    kind = str(rng.choice(WEATHERS, p=(0.1, 0.3, 0.3, 0.3)))
    drawn = draw_degraded(view, kind, rng)
    results = _results(drawn.image, restorers, rng)
    samples = [_sample(drawn, drawn.image, drawn.severity, drawn.severity, rng, False)]
    for number in range(RESTORATIONS + DAMAGED):
        # A part of the change alone stands for a network at an earlier stage; more than all of it
        # for one that does too much.
        share = np.float32(rng.uniform(0.3, 1.4))
        result = results[number % len(results)]
        restored = np.clip(drawn.image + share * (result - drawn.image), 0, 1)
        severity, loss = _left(restored, drawn)
        samples.append(_sample(drawn, restored, severity, loss, rng, number >= RESTORATIONS))
    return samples


def _results(
    image: np.ndarray, restorers: Sequence[str], rng: np.random.Generator
) -> list[np.ndarray]:
    """Return `image` as two of the restorers see it, float32 in [0, 1]; one perhaps twice."""
    chosen = rng.choice(restorers, min(2, len(restorers)), replace=False)
    networks = [load_restorer(str(name)) for name in chosen]
    results = [network.restore(as_bytes(image)) for network in networks]
    if rng.random() < 0.3:
        results[-1] = networks[-1].restore(results[-1])
    return [result / np.float32(255) for result in results]


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
    rows = SIDE // EFFECT
    return grey.reshape(rows, EFFECT, rows, EFFECT).transpose(0, 2, 1, 3).reshape(rows, rows, -1)
