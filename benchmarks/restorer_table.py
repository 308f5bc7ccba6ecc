"""Measure a packaged restorer: gains on synthetic weather and real pairs, mesh, tiles, identity.

    python benchmarks/restorer_table.py --checkpoint small --clean CLEAN/test --pairs PAIRS --real
    REAL

CLEAN/test holds clear photos that training did not see, PAIRS one folder a set with lq/ and gt/ of
equal stems, REAL rain/, haze/ and snow/. One row of a Markdown table a line. A part whose folder is
not given is left out.

A gain has two figures: PSNR as it is, and PSNR without tone, for which input and result first get
the smooth part of the difference to the truth (a Gaussian of 25 px). The smooth part, brightness
and colour, is a guess under a veil, so the second figure says what happened to streaks, flakes and
detail.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio as psnr

from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.weather.synthesis import KINDS, STYLES, add_weather
from wxr_plugin.inference.restorer import Restorer

SEVERITIES = (0.3, 0.6, 0.9)
PERIODS = (2, 4, 8)
SMOOTH = 25
"""Standard deviation in pixels of the Gaussian that separates tone from detail."""
LARGE = (1640, 1100)
"""Width and height of the photo that is restored whole and in tiles."""
Restore = Callable[[np.ndarray], np.ndarray]
Gain = tuple[float, float]
"""Gain in PSNR, and gain in PSNR without tone, in dB."""


def synthetic_gains(
    restore: Restore, folder: Path, style: str, kind: str, every: int
) -> list[Gain]:
    """Return the gains (RGB) of each `every`th clear photo under weather of one style."""
    gains = []
    for number, file in enumerate(list_images(folder)[::every]):
        clean = read_image(file)
        severity = SEVERITIES[number % len(SEVERITIES)]
        lq = add_weather(
            clean.astype(np.float32) / 255, kind, severity, np.random.default_rng(number), style
        )
        gains.append(gain(restore, (lq * 255).round().astype(np.uint8), clean))
    return gains


def pair_gains(restore: Restore, folder: Path) -> list[Gain]:
    """Return the gains (RGB) of every pair of a set with lq/ and gt/ of equal stems."""
    truths = {file.stem: file for file in list_images(folder / "gt")}
    pairs = [
        (file, truths[file.stem]) for file in list_images(folder / "lq") if file.stem in truths
    ]
    return [gain(restore, read_image(lq), read_image(gt)) for lq, gt in pairs]


def gain(restore: Restore, lq: np.ndarray, gt: np.ndarray) -> Gain:
    """Return by how many dB the restored photo is closer to `gt` than `lq` is."""
    restored = restore(lq)
    of_detail = psnr(gt, with_tone_of(restored, gt)) - psnr(gt, with_tone_of(lq, gt))
    return psnr(gt, restored) - psnr(gt, lq), of_detail


def with_tone_of(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return uint8 `image` (H, W, 3) plus the smooth part of its difference to `truth`."""
    difference = truth.astype(np.float32) - image
    corrected = image + cv2.GaussianBlur(difference, (0, 0), SMOOTH)
    return corrected.clip(0, 255).round().astype(np.uint8)


def described(gains: list[Gain], unit: str) -> str:
    """Return the mean gains and their number as text."""
    whole, of_detail = np.mean(gains, axis=0)
    return f"{whole:+.2f} dB, without tone {of_detail:+.2f} dB ({len(gains)} {unit})"


def peak(image: np.ndarray) -> float:
    """Return how far the spectrum of (H, W, 3) stands out at 2, 4 and 8 px; 1: not at all.

    Of the differences between neighbouring rows (columns) the power at each period is divided by
    the median of the frequencies near it; the largest ratio counts.
    """
    grey = image.astype(np.float64).mean(axis=2)
    ratios = []
    for axis in (0, 1):
        steps = np.diff(grey, axis=axis)
        count = steps.shape[axis] // 8 * 8
        steps = steps.take(range(count), axis=axis)
        power = (np.abs(np.fft.rfft(steps, axis=axis)) ** 2).mean(axis=1 - axis)
        ratios += [_ratio(power, count // period) for period in PERIODS]
    return max(ratios)


def _ratio(power: np.ndarray, index: int) -> float:
    near = np.concatenate((power[max(index - 9, 1) : index - 2], power[index + 3 : index + 10]))
    return float(power[index] / max(np.median(near), 1e-9))


def mesh_share(restore: Restore, photos: list[Path]) -> float:
    """Return the share of `photos` whose restored spectrum peaks at twice the photo's, and at 3."""
    meshed = []
    for file in photos:
        photo = read_image(file)
        meshed.append(peak(restore(photo)) > 2 * max(peak(photo), 1.5))
    return float(np.mean(meshed))


def tile_agreement(checkpoint: str, photos: list[Path]) -> float:
    """Return the lower PSNR of tiles of 512 and 1024 px against the whole, on an enlarged photo."""
    photo = read_image(max(photos, key=lambda file: file.stat().st_size))
    large = cv2.resize(photo, LARGE, interpolation=cv2.INTER_CUBIC)
    whole = Restorer.from_checkpoint(checkpoint, tile=None).restore(large)
    tiled = [Restorer.from_checkpoint(checkpoint, tile=tile).restore(large) for tile in (512, 1024)]
    return min(psnr(whole, result) for result in tiled)


def rows(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Give the rows of the table, name and figure, one after the other as they are measured."""
    restore = Restorer.from_checkpoint(args.checkpoint).restore
    for style in STYLES if args.clean else ():
        for kind in KINDS:
            gains = synthetic_gains(restore, args.clean, style, kind, args.every)
            yield f"style `{style}`, {kind}", described(gains, "photos")
    for folder in sorted(args.pairs.iterdir()) if args.pairs else ():
        gains = pair_gains(restore, folder) if (folder / "lq").is_dir() else []
        if gains:
            yield f"pairs {folder.name}", described(gains, "pairs")
    if args.clean:
        clear = [read_image(file) for file in list_images(args.clean)[:: args.every]]
        fidelities = [psnr(photo, restore(photo)) for photo in clear]
        yield (
            "clear photo to itself",
            f"{np.mean(fidelities):.2f} dB, lowest {min(fidelities):.2f} "
            f"({len(fidelities)} photos)",
        )
    if args.real:
        photos = [file for kind in KINDS for file in list_images(args.real / kind)]
        chosen = photos[:: args.every_real]
        yield "real photos with a mesh", f"{mesh_share(restore, chosen):.1%} ({len(chosen)} photos)"
        size = f"{LARGE[0]}x{LARGE[1]}"
        yield (
            f"tiles against whole, {size}",
            f"{tile_agreement(args.checkpoint, list_images(args.real / 'rain')):.1f} dB",
        )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--checkpoint",
        default="small",
        help="a packaged restorer's name or a file (default: small)",
    )
    parser.add_argument(
        "--clean", type=Path, help="folder of clear photos that training did not see"
    )
    parser.add_argument("--pairs", type=Path, help="folder of sets, each with lq/ and gt/")
    parser.add_argument("--real", type=Path, help="folder with rain/, haze/ and snow/")
    parser.add_argument(
        "--every", type=int, default=4, help="take each Nth clear photo (default: 4)"
    )
    parser.add_argument(
        "--every-real", type=int, default=1, help="take each Nth real photo (default: all)"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| what | measured |\n|---|---|")
    for name, figure in rows(args):
        print(f"| {name} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
