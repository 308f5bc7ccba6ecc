"""Measure what prompts take for clear: the change of p(clear) by colour casts and by restoring.

    python benchmarks/prompt_casts.py --learn CLEAN/train --photos CLEAN/test --every 8

Prompts are learnt with and without `match_tone`. For clear photos with synthetic weather the table
has the mean of log p(clear) of four versions, minus that of the photo with weather: its ground
truth, which should gain most, and the photo itself with 10 % more red, green or blue. A prompt that
follows clearness and not colour gives the ground truth much and the casts next to nothing.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.conditioning.clip import ClipGuide, load_clip
from wxr_plugin.conditioning.prompts import WeatherPrompts
from wxr_plugin.data.crops import to_tensor
from wxr_plugin.data.images.io import list_images, read_image
from wxr_plugin.data.weather.synthesis import KINDS, add_weather
from wxr_plugin.prompt_learning.learning import PromptOptions, learn_prompts

CASTS = {"red": (1.1, 1, 1), "green": (1, 1.1, 1), "blue": (1, 1, 1.1)}
SCALE = 10.0
"""Factor on the cosines, for figures of a readable size."""


@torch.no_grad()
def log_clear(images: list[np.ndarray], guide: ClipGuide, prompts: Tensor) -> float:
    """Return the mean of log p(clear) of float32 images (H, W, 3) by prompt features (4, D)."""
    features = torch.cat([guide.encode_image(to_tensor(image)[None]) for image in images])
    logits = SCALE * features @ prompts.T
    return float(logits.log_softmax(1)[:, 0].mean())


def changes(photos: list[np.ndarray], guide: ClipGuide, prompts: WeatherPrompts) -> dict:
    """Return the change of log p(clear), by version of the photo."""
    features = prompts.features(guide)
    degraded = []
    for number, photo in enumerate(photos):
        rng = np.random.default_rng(number)
        degraded.append(add_weather(photo, KINDS[number % 3], rng.uniform(0.4, 0.9), rng))
    before = log_clear(degraded, guide, features)
    values = {"ground truth": log_clear(photos, guide, features) - before}
    for name, factors in CASTS.items():
        cast = [np.clip(image * np.float32(factors), 0, 1) for image in degraded]
        values[f"10 % more {name}"] = log_clear(cast, guide, features) - before
    return values


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--learn", type=str, required=True, help="folder of clear photos")
    parser.add_argument("--photos", type=Path, required=True, help="folder of other clear photos")
    parser.add_argument("--every", type=int, default=1, help="take every Nth of them")
    parser.add_argument("--clip", default="tiny")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    torch.set_num_threads(1)
    guide = load_clip(args.clip, "cpu")
    files = list_images(args.photos)[:: args.every]
    photos = [read_image(file).astype(np.float32) / 255 for file in files]
    header = ["match_tone", "seed", "accuracy", "ground truth", *(f"+ {name}" for name in CASTS)]
    print("| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    for match_tone in (False, True):
        for seed in args.seeds:
            options = PromptOptions(
                clip=args.clip,
                synthetic=args.learn,
                crops=2,
                crop_size=112,
                seed=seed,
                match_tone=match_tone,
            )
            learnt = learn_prompts(options, device="cpu")
            figures = changes(photos, guide, learnt.prompts)
            row = [str(match_tone), str(seed), f"{learnt.accuracy['all']:.1%}"]
            print(
                "| " + " | ".join(row + [f"{v:+.3f}" for v in figures.values()]) + " |", flush=True
            )


if __name__ == "__main__":
    main()
