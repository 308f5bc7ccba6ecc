"""Checks of a rater on what fools raters: damage, noise, and pairs of restorations.

    python tools/tiny_llava_audit.py --model wxr_plugin/assets/tiny_llava --test CLEAN/test

`--restorers` are packaged networks or checkpoints; all photos are held out from training.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from tiny_data import as_bytes
from tiny_llava_damage import DAMAGES
from tiny_llava_data import load_restorer, read_photos
from tiny_llava_model import TEXTS
from tiny_llava_scene import scene_text, scene_traits

from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.vlm.describer import build_describer
from wxr_plugin.vlm.rater import build_rater

CROP = 112
"""Side in pixels of the crops that are rated in the training of the small experiments."""
SEVERITIES = (0.3, 0.6, 0.9)


def audit(model: str | Path, photos: list[np.ndarray], restorers: list[str]) -> str:
    """Return the results of all checks as a Markdown table."""
    rater = build_rater({"model": str(model)})
    rows = [("check", "result", "wanted")]
    changes = damage_changes(rater, photos)
    worst = max(changes, key=lambda name: changes[name])
    rows += [
        (f"rating after damage: {name}", f"{change:+.2f}", "-0.5 or less")
        for name, change in changes.items()
    ]
    rows.append(("the least change", f"{changes[worst]:+.2f} ({worst})", "-0.5 or less"))
    whole = [candidates(photo, number, restorers) for number, photo in enumerate(photos)]
    crops = [[_cropped(image, number) for image in group] for number, group in enumerate(whole)]
    for name, groups, wanted in (("crops of 112 px", crops, 0.8), ("whole photos", whole, 0.85)):
        ordered, pairs = ordered_share(rater, groups)
        rows.append(
            (f"pairs ordered as PSNR, {name} ({pairs} pairs)", f"{ordered:.2f}", f"{wanted}")
        )
        noisy = noise_preferred(rater, groups)
        rows.append((f"noise preferred, {name}", f"{noisy:.2f}", "at most 0.1"))
    rows.append(("distinct descriptions", *distinct_texts(model, photos)))
    rows += [
        (f"descriptions of clear photos with the right {trait}", f"{right:.2f}", "")
        for trait, right in right_traits(model, photos).items()
    ]
    rows.insert(1, ("---",) * 3)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def damage_changes(rater, photos: list[np.ndarray], strength: float = 0.5) -> dict[str, float]:
    """Return the mean change of the rating of clean photos by each damage."""
    before = rater.rate(photos).rating.numpy()
    changes = {}
    for name, damage in DAMAGES.items():
        damaged = [
            as_bytes(damage(_as_float(photo), strength, np.random.default_rng([7, number])))
            for number, photo in enumerate(photos)
        ]
        changes[name] = float((rater.rate(damaged).rating.numpy() - before).mean())
    return changes


def candidates(photo: np.ndarray, number: int, restorers: list[str]) -> list[np.ndarray]:
    """Return the clear photo, its weathered input, and restorations of the latter, uint8.

    Of each restorer: half of its change, its result, and the result of restoring twice.
    """
    kind = KINDS[number % 3]
    severity = SEVERITIES[number // 3 % 3]
    rng = np.random.default_rng([11, number])
    lq = as_bytes(add_weather(_as_float(photo), kind, severity, rng, "shifted"))
    images = [photo, lq]
    for restorer in restorers:
        net = load_restorer(restorer)
        once = net.restore(lq)
        half = as_bytes((_as_float(lq) + _as_float(once)) / 2)
        images += [half, once, net.restore(once)]
    return images


def ordered_share(rater, groups: list[list[np.ndarray]], margin: float = 0.5) -> tuple[float, int]:
    """Return the share of pairs of a group, `margin` dB apart, that are rated in PSNR's order.

    The first image of a group is the clear one. With it comes the number of pairs.
    """
    right = []
    for clear, *images in groups:
        ratings = rater.rate(images).rating.numpy()
        psnr = np.array([_psnr(image, clear) for image in images])
        for first, second in combinations(range(len(images)), 2):
            if abs(psnr[first] - psnr[second]) > margin:
                right.append((psnr[first] > psnr[second]) == (ratings[first] > ratings[second]))
    return float(np.mean(right)), len(right)


def noise_preferred(rater, groups: list[list[np.ndarray]], deviation: float = 12 / 255) -> float:
    """Return the share of restorations that are rated higher with Gaussian noise."""
    restored = [group[3] for group in groups]
    rng = np.random.default_rng(13)
    noisy = [
        as_bytes(_as_float(image) + rng.normal(0, deviation, image.shape)) for image in restored
    ]
    change = rater.rate(noisy).rating.numpy() - rater.rate(restored).rating.numpy()
    return float((change > 0).mean())


def distinct_texts(model: str | Path, photos: list[np.ndarray]) -> tuple[str, str]:
    """Return the number of distinct descriptions of photos, clear and weathered; and the target."""
    describer = build_describer({"model": str(model), "max_tokens": 40})
    images = list(photos)
    for number, photo in enumerate(photos):
        for kind in KINDS:
            rng = np.random.default_rng([17, number])
            images.append(as_bytes(add_weather(_as_float(photo), kind, rng.random(), rng)))
    texts = describer.describe(images)
    return f"{len(set(texts))} of {len(texts)}", "200 on 200 photos"


def right_traits(model: str | Path, photos: list[np.ndarray]) -> dict[str, float]:
    """Return the share of clear photos whose description names each trait of the scene rightly."""
    texts = build_describer({"model": str(model), "max_tokens": 40}).describe(photos)
    true = [scene_text(scene_traits(_as_float(photo))) for photo in photos]
    pairs = [(named_traits(text), named_traits(truth)) for text, truth in zip(texts, true)]
    return {
        trait: float(np.mean([a[trait] == b[trait] for a, b in pairs])) for trait in pairs[0][0]
    }


def named_traits(text: str) -> dict[str, str]:
    """Return the light, the first colour, the detail and the layout that a description names."""
    words = TEXTS["scene"]
    colours = [word for word in text.split() if word in words["colour"]]
    named = {
        trait: next((phrase for phrase in words[trait] if phrase and phrase in text), "")
        for trait in ("light", "detail", "layout")
    }
    return named | {"first colour": colours[0] if colours else ""}


def _cropped(image: np.ndarray, number: int) -> np.ndarray:
    rng = np.random.default_rng([19, number])
    top, left = (int(rng.integers(side - CROP + 1)) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + CROP, left : left + CROP])


def _psnr(image: np.ndarray, clear: np.ndarray) -> float:
    error = np.mean((_as_float(image) - _as_float(clear)) ** 2)
    return float(-10 * np.log10(max(error, 1e-10)))


def _as_float(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32) / 255


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("wxr_plugin/assets/tiny_llava"))
    parser.add_argument("--test", type=Path, required=True, help="folder of clean photos held out")
    parser.add_argument("--restorers", nargs="+", default=["tiny", "small"])
    parser.add_argument("--every", type=int, default=5, help="take every n-th photo")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    print(audit(args.model, read_photos(args.test)[:: args.every], args.restorers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
