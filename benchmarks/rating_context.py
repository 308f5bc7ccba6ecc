"""Gain and cost of rating crops in their surroundings (train.rating.context, mirrored).

    python benchmarks/rating_context.py PHOTOS [--count 24] [--context 56]

Each clean photo gets synthetic weather and is restored. Of a random crop of the restoration eleven
variants are made, as the teacher of a training makes them over time: more or less of the change
that the restorer made, other brightness and contrast, some noise. Each row rates the variants in
another way and takes the best-rated one of each crop:

- crop: the bare crop.
- photo: pasted into the photo with weather, as in a training without labels of whole photos.
- label: pasted into the restored photo, as in a training that starts from `wxr label init`.
- varied: the same part of the photo with the variation everywhere, which a training could have only
  if the teacher restored the surroundings too.

gain: mean PSNR of the chosen variants over the mean of all variants, in dB (RGB, the crop alone),
with its standard error over crops; oracle: the same if the PSNR itself chooses. over crop: paired
difference of the gain from that of the first row. rho: mean rank correlation of rating and PSNR
within a crop. time: seconds of rating a crop relative to the bare crop, as the median over rounds
in which the rows take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from wxr_plugin.data.crops import Box, random_box
from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.pseudo_labelling.rating_view import Surroundings, View
from wxr_plugin.vlm.rater import Rater, build_rater

ROWS = ("crop", "photo", "label", "varied")
VARIANTS = 11
SEVERITY = (0.3, 0.9)
Variation = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Changes a restored part, given the part with weather; both float32 RGB (H, W, 3) in [0, 1]."""


class Scene(NamedTuple):
    """A crop of a photo with everything that the rows need; images are uint8 RGB (H, W, 3)."""

    clean: np.ndarray
    """The crop of the clean photo."""
    variants: list[np.ndarray]
    """Of the restored crop."""
    around: dict[str, list[Surroundings | None]]
    """Surroundings of every variant, keyed by row."""


def main() -> None:
    """Print the table."""
    args = _parser().parse_args()
    files = list_images(args.photos)
    chosen = files[:: max(1, len(files) // args.count)][: args.count]
    restorer = Restorer.from_checkpoint(PACKAGED[args.restorer])
    scenes = [scene(file, number, restorer, args) for number, file in enumerate(chosen)]
    quality = np.array([qualities(item) for item in scenes])  # (crops, variants)
    oracle = quality.max(1) - quality.mean(1)
    print(
        f"{len(scenes)} crops of {args.size} pixels, {args.context} around, restorer "
        f"{args.restorer}, style {args.style}, spread of a crop {quality.std(1).mean():.2f} dB"
    )
    print(f"{'oracle':18s} gain {oracle.mean():+.2f} +- {error(oracle):.2f} dB")
    rater = build_rater({"model": args.rater})
    times = seconds(scenes[0], rater, args.rounds)
    base = statistics.median(times["crop", False])
    bare = np.zeros(len(scenes))  # gains of the first row
    for name in ROWS:
        both = np.array([rated(item, name, True, rater) for item in scenes])
        for is_mirrored, ratings in ((False, both[:, :, 0]), (True, both.mean(2))):
            gains = gain(quality, ratings)
            bare = gains if (name, is_mirrored) == ("crop", False) else bare
            lead = gains - bare
            ratio = statistics.median(times[name, is_mirrored]) / base
            print(
                f"{name + ', mirrored' * is_mirrored:18s} gain {gains.mean():+.2f} +- "
                f"{error(gains):.2f} dB  over crop {lead.mean():+.2f} +- {error(lead):.2f}  "
                f"rho {correlation(quality, ratings):.2f}  time {ratio:.2f}",
                flush=True,
            )


def scene(file: Path, number: int, restorer: Restorer, args: argparse.Namespace) -> Scene:
    """Return a random crop of a photo with its variants, everything random from `number`."""
    rng = np.random.default_rng((args.seed, number))
    clean = read_image(file)
    kind = KINDS[number % len(KINDS)]
    severity = float(rng.uniform(*SEVERITY))
    weathered = add_weather(clean.astype(np.float32) / 255, kind, severity, rng, args.style)
    photo = to_uint8(weathered)
    restored = restorer.restore(photo)
    box = random_box(*clean.shape[:2], args.size, rng)
    outer = box.grown(args.context, *clean.shape[:2])
    varied = [
        to_uint8(change(part(restored, outer) / 255, part(photo, outer) / 255))
        for change in variations(rng)
    ]
    hole = box.relative_to(outer)
    fixed = {name: part(image, outer) for name, image in (("photo", photo), ("label", restored))}
    around: dict[str, list[Surroundings | None]] = {
        name: [Surroundings(file.stem, picture, hole)] * VARIANTS for name, picture in fixed.items()
    }
    around["varied"] = [Surroundings(file.stem, picture, hole) for picture in varied]
    around["crop"] = [None] * VARIANTS
    return Scene(part(clean, box), [part(picture, hole) for picture in varied], around)


def variations(rng: np.random.Generator) -> Iterator[Variation]:
    """Yield VARIANTS small changes of a restoration."""
    for _ in range(VARIANTS):
        more, brightness, contrast = rng.normal(0, (0.25, 0.02, 0.06))
        noise = abs(rng.normal(0, 0.01))
        seed = int(rng.integers(1 << 31))

        def change(
            restored: np.ndarray,
            weathered: np.ndarray,
            # Bound now, because the loop goes on before the call.
            settings: tuple[float, ...] = (more, brightness, contrast, noise),
            seed: int = seed,
        ) -> np.ndarray:
            more, brightness, contrast, noise = settings
            image = restored + more * (restored - weathered)
            image = (image - 0.5) * (1 + contrast) + 0.5 + brightness
            return image + noise * np.random.default_rng(seed).standard_normal(image.shape)

        yield change


def rated(item: Scene, name: str, mirrored: bool, rater: Rater) -> np.ndarray:
    """Return the ratings (variants, views) of a row: of the picture and of its mirror image."""
    views = [View(place, mirrored) for place in item.around[name]]
    pictures = [view.pictures(image) for view, image in zip(views, item.variants)]
    ratings = rater.rate([picture for group in pictures for picture in group]).rating
    return ratings.view(VARIANTS, -1).numpy()


def seconds(item: Scene, rater: Rater, rounds: int) -> dict[tuple[str, bool], list[float]]:
    """Return the time of each row in every round; the rows take turns, so that load is shared."""
    times: dict[tuple[str, bool], list[float]] = {}
    rated(item, "crop", False, rater)  # the first call is slower
    for _, name, mirrored in product(range(rounds), ROWS, (False, True)):
        start = time.perf_counter()
        rated(item, name, mirrored, rater)
        times.setdefault((name, mirrored), []).append(time.perf_counter() - start)
    return times


def qualities(item: Scene) -> list[float]:
    """Return the PSNR of every variant in dB."""
    clean = item.clean.astype(np.float64)
    errors = [np.mean((variant - clean) ** 2) for variant in item.variants]
    return [10 * np.log10(255**2 / max(value, 1e-10)) for value in errors]


def gain(quality: np.ndarray, ratings: np.ndarray) -> np.ndarray:
    """Return the lead of the best-rated variant over the mean, for each crop, in dB."""
    rows = np.arange(len(quality))
    return quality[rows, ratings.argmax(1)] - quality.mean(1)


def correlation(quality: np.ndarray, ratings: np.ndarray) -> float:
    """Return the mean over crops of the rank correlation of rating and PSNR."""
    return float(np.mean([spearmanr(*pair).statistic for pair in zip(quality, ratings)]))


def error(values: np.ndarray) -> float:
    """Return the standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def part(image: np.ndarray, box: Box) -> np.ndarray:
    """Return the part of an image (H, W, 3) at `box`."""
    return image[box.top : box.bottom, box.left : box.right]


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Convert float RGB in [0, 1] to uint8; values outside are clipped."""
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path, help="folder of clean photos")
    parser.add_argument("--count", type=int, default=24, help="photos, spread over the folder")
    parser.add_argument("--size", type=int, default=112, help="side of a crop in pixels")
    parser.add_argument("--context", type=int, default=56, help="pixels on every side")
    parser.add_argument("--style", default="default", help="style of the synthetic weather")
    parser.add_argument("--restorer", choices=sorted(PACKAGED), default="tiny")
    parser.add_argument("--rater", default="tiny", help="name, folder or hub id")
    parser.add_argument("--rounds", type=int, default=5, help="of the clock")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
