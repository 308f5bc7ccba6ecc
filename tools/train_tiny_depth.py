"""Train the packaged tiny depth encoder.

    python tools/train_tiny_depth.py --photos BSDS500/train BSDS500/val --test BSDS500/test

Writes transformers' own folder format with a model card that holds the held-out figures.
"""

import argparse
import json
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save as to_safetensors
from tiny_data import read_photos
from tiny_depth_data import Sample, make_pool, spoil
from tiny_depth_model import PATCH, SIDE, WIDTH, build, start_filters
from tiny_depth_scores import Views, depth_rows, feature_scores
from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from wxr_plugin.conditioning.depth import TINY, DepthGuide
from wxr_plugin.utils.files import write_bytes, write_text
from wxr_plugin.utils.progress import track

CARD = Path(__file__).with_name("tiny_depth_card.md")
WEIGHTS = "model.safetensors"
CLIP_NORM = 1.0
COLOUR_WEIGHT = 4.0
LEVEL_WEIGHT = 0.3


def normalised(images: Tensor) -> Tensor:
    """Normalise images (N, 3, H, W) in [0, 1] for the network."""
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
    )
    return (images - mean) / std


def affine_free(depth: Tensor) -> Tensor:
    """Return maps (N, H, W) without offset (median) and scale, as in Depth Anything's loss.

    The scale is the mean distance to the median.
    """
    depth = depth - depth.flatten(1).median(dim=1).values[:, None, None]
    return depth / depth.abs().mean((1, 2), keepdim=True).clamp_min(1e-3)


def depth_loss(
    model: DepthAnythingForDepthEstimation, maps: tuple[Tensor, ...], depth: Tensor
) -> Tensor:
    """Return the L1 of predicted and true nearness, both affine-free; depth is 1 far.

    It is equation 2 of Yang et al., CVPR 2024.
    """
    rows = SIDE // PATCH
    near = model.head(model.neck(maps, rows, rows), rows, rows)
    near = F.interpolate(near[:, None], depth.shape[1:], mode="area")[:, 0]
    return F.l1_loss(affine_free(near), affine_free(1 - depth))


def train(
    model: DepthAnythingForDepthEstimation, pool: Sample, steps: int, batch: int, seed: int
) -> None:
    """Train with AdamW and one cycle; tokens learn the clean structure and the degradation."""
    images, depths, targets = (torch.from_numpy(field) for field in pool)
    middle, spread = targets.float().mean((0, 1)), targets.float().std((0, 1))
    weights = torch.ones_like(middle)
    weights[-3:] = COLOUR_WEIGHT
    reader, level_reader = nn.Linear(WIDTH, len(middle)), nn.Linear(WIDTH, 2)
    trained = [
        p
        for p in [*model.parameters(), *reader.parameters(), *level_reader.parameters()]
        if p.requires_grad
    ]
    optimizer = torch.optim.AdamW(trained, 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.15)
    rng = np.random.default_rng(seed)
    for step in track(range(steps), "training"):
        chosen = rng.choice(len(images), batch, replace=False)
        spoilt, levels = spoil(images[chosen] / 255, rng)
        maps = model.backbone(normalised(spoilt)).feature_maps
        tokens = maps[-1][:, 1:]
        to_depth = depth_loss(model, maps, depths[chosen].float())
        # The first token is the class token; the others are (batch, patches, width).
        standard = (targets[chosen].float() - middle) / spread
        errors = F.smooth_l1_loss(reader(tokens), standard, reduction="none")
        to_structure = (errors * weights).mean()
        to_levels = F.smooth_l1_loss(
            level_reader(tokens), levels[:, None].expand(-1, tokens.shape[1], -1)
        )
        optimizer.zero_grad()
        (to_depth + to_structure + LEVEL_WEIGHT * to_levels).backward()
        nn.utils.clip_grad_norm_(trained, CLIP_NORM)
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            losses = {"depth": to_depth, "structure": to_structure, "levels": to_levels}
            print(
                f"step {step}",
                *(f"{name} {loss.item():.3f}" for name, loss in losses.items()),
                flush=True,
            )


def save(model: DepthAnythingForDepthEstimation, out: Path) -> None:
    """Save configuration, float16 weights and preprocessing, as transformers reads them."""
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    write_bytes(out / WEIGHTS, to_safetensors(weights, {"format": "pt"}))
    config = {
        **model.config.to_diff_dict(),
        "architectures": [type(model).__name__],
        "dtype": "float16",
    }
    write_text(out / "config.json", json.dumps(config, indent=2) + "\n")


def feature_table(guides: dict[str, DepthGuide], photos: list[np.ndarray], seed: int) -> str:
    """Return feature scores in Markdown, a column for each encoder."""
    views = Views(photos, seed)
    columns = {name: feature_scores(guide, views) for name, guide in guides.items()}
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in next(iter(columns.values())):
        lines.append(
            f"| {name} | " + " | ".join(f"{scores[name]:.3f}" for scores in columns.values()) + " |"
        )
    return "\n".join(lines)


def untrained(
    pixels: Tensor, seed: int
) -> tuple[DepthAnythingForDepthEstimation, DepthAnythingForDepthEstimation]:
    """Return the network with transformers' weights, and with the starting filters of training."""
    torch.manual_seed(seed)
    drawn = build()
    torch.manual_seed(seed)
    started = build()
    start_filters(started, pixels)
    nn.init.ones_(started.head.conv3.bias)  # the last ReLU would be dead at the start otherwise
    return drawn, started


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", required=True, help="folders of clean training photos"
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", required=True, help="folders of held-out clean photos"
    )
    parser.add_argument("--out", type=Path, default=TINY)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--rounds", type=int, default=2, help="looks of each photo, each under every weather"
    )
    parser.add_argument("--crops", type=int, default=3, help="crops of each")
    parser.add_argument("--steps", type=int, default=700)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1, help="processes that make the pictures")
    return parser.parse_args()


def main() -> None:
    """Train, save, measure what was saved, and write the card."""
    arguments = parse()
    torch.set_num_threads(1)
    start, busy, photos = time.time(), time.process_time(), read_photos(arguments.photos)
    pool = make_pool(photos, arguments.rounds, arguments.crops, arguments.seed, arguments.workers)
    pixels = normalised(torch.from_numpy(pool.image[:: len(pool.image) // 120]) / 255)
    drawn, started = untrained(pixels, arguments.seed)
    model = deepcopy(started).train()
    train(model, pool, arguments.steps, arguments.batch, arguments.seed)
    save(model, arguments.out)
    minutes, busy = (time.time() - start) / 60, (time.process_time() - busy) / 60
    model = DepthAnythingForDepthEstimation.from_pretrained(arguments.out).float().eval()
    tested, seed = read_photos(arguments.test), arguments.seed
    encoders = {"trained": model, "its start": started, "random": drawn}
    guides = {
        name: DepthGuide(deepcopy(network.backbone), name, "cpu")
        for name, network in encoders.items()
    }
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "encoder": sum(p.numel() for p in model.backbone.parameters()),
        "size": (arguments.out / WEIGHTS).stat().st_size / 1e6,
        "depth": "\n".join(depth_rows(model, tested, seed)),
        "features": feature_table(guides, tested, seed),
        **{
            "photos": len(photos),
            "pictures": len(pool.image),
            "tested": len(tested),
            "minutes": minutes,
            "busy": busy,
        },
    }
    card = CARD.read_text(encoding="utf-8").format(**{**vars(arguments), **facts})
    write_text(arguments.out / "README.md", card)
    print(card)


if __name__ == "__main__":
    main()
