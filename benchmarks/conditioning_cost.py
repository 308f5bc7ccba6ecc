"""Cost of DA-CLIP's embeddings in a training step: a steered NAFNet against a plain one.

    # the packaged tiny CLIP, a small NAFNet
    python benchmarks/conditioning_cost.py
    python benchmarks/conditioning_cost.py --clip ViT-B-32 --width 32 --size 256 --batch 1
        --rounds 5 --steps 1

All are WxrModels that train on random images: feeding the batch, embedding, forward, backward,
update. They take turns in short blocks of steps, in an order that rotates, and each block is
divided by the plain network's of the same round; medians are printed. On a CPU time is that of this
process (time.process_time) with one thread, so that others who use the machine count little; on a
GPU it is the clock's.

crop: the guide sees new crops in every step. photo: it has seen the photos before (view: photo with
cache_mb), as in the second and later epochs; what this costs more than plain is the network's own
layers for the context. guide: the part of an embedding in a step of crop, measured by itself.
Weights are random, which does not change the time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import wxr_plugin  # noqa: F401

# isort: split
from basicsr.models import build_model

from wxr_plugin.conditioning.clip import build_clip
from wxr_plugin.conditioning.daclip import DaCLIP
from wxr_plugin.conditioning.guides import load_daclip

CONTEXT = ["degradation", "content"]
GUIDE_SIZE = 224
PHOTOS = 8
"""Number of different batches; once they were fed, all their photos are in the cache."""


def write_guide(clip: str, folder: Path) -> str:
    """Write a DA-CLIP with an untrained controller and return its file.

    `clip` is "tiny" or an architecture of open_clip.
    """
    import open_clip

    model = DaCLIP(*build_clip(clip)) if clip == "tiny" else DaCLIP(open_clip.create_model(clip))
    named = {"network_g": {"type": "DaCLIP", "clip": clip}} if clip == "tiny" else {}
    torch.save({"state_dict": model.state_dict(), **named}, folder / "daclip.pth")
    return str(folder / "daclip.pth")


def options(
    root: Path, network: dict[str, Any], guide: dict[str, Any] | None, **dataset: Any
) -> dict[str, Any]:
    """Return options of a training that writes nothing; `dataset` describes the training set."""
    paths = {name: str(root / name) for name in ("experiments_root", "models", "training_states")}
    return {
        "name": "conditioning_cost",
        "model_type": "WxrModel",
        "num_gpu": min(torch.cuda.device_count(), 1),
        "is_train": True,
        "dist": False,
        "rank": 0,
        "world_size": 1,
        "manual_seed": 0,
        "path": paths,
        "datasets": {"train": {"phase": "train", **dataset}},
        "logger": {"save_checkpoint_freq": 1, "print_freq": 1},
        "network_g": network,
        **({"guide": guide} if guide else {}),
        "train": {
            "total_iter": 1000,
            "ema_decay": 0.999,
            "optim_g": {"type": "AdamW", "lr": 1e-4},
            "scheduler": {"type": "cosine"},
            "pixel_opt": {"type": "L1Loss"},
        },
    }


def build_models(args: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Build the plain model and the steered ones, keyed by name."""
    network = {
        "type": "NAFNet",
        "width": args.width,
        "enc_blk_nums": args.encoder,
        "middle_blk_num": args.middle,
    }
    network["dec_blk_nums"] = [1] * len(args.encoder)
    guide = write_guide(args.clip, root)
    steered = {**network, "context": CONTEXT, "context_dim": load_daclip(guide).dim}
    photo = {"model": guide, "view": "photo", "cache_mb": 10}
    return {
        "plain": build_model(options(root, dict(network), None)),
        "crop": build_model(options(root, dict(steered), {"model": guide, "bf16": False})),
        "crop, bf16": build_model(options(root, dict(steered), {"model": guide, "bf16": True})),
        "photo": build_model(options(root, dict(steered), photo, guide_size=GUIDE_SIZE)),
    }


def make_batches(size: int, count: int) -> list[dict[str, Any]]:
    """Draw PHOTOS batches of random crops (count, 3, size, size) and photos."""
    batches = []
    for number in range(PHOTOS):
        names = [f"{number}_{place}.png" for place in range(count)]
        crops = {name: torch.rand(count, 3, size, size) for name in ("lq", "gt")}
        whole = {"lq_guide": torch.rand(count, 3, GUIDE_SIZE, GUIDE_SIZE), "lq_guide_key": names}
        batches.append({**crops, **whole, "lq_path": names, "gt_path": names})
    return batches


def feed(model: Any, batch: dict[str, Any]) -> None:
    """Give `model` a batch as its dataset would: whole photos only where the guide sees them."""
    whole = model.guide and model.conditioning.options.view == "photo"
    model.feed_data(
        {key: value for key, value in batch.items() if whole or not key.startswith("lq_guide")}
    )


def train(model: Any, batches: list[dict[str, Any]]) -> None:
    """Make a step on every batch."""
    for batch in batches:
        model.update_learning_rate(model.iteration + 1)
        feed(model, batch)
        model.optimize_parameters(model.iteration + 1)
        model.get_current_log()


def embed(model: Any, batches: list[dict[str, Any]]) -> None:
    """Do the guide's part of `train` alone."""
    for batch in batches:
        feed(model, batch)
        model.context(model.lq)


def seconds(work: Callable[[], None]) -> float:
    """Time of `work`: of this process on a CPU, else by the clock."""
    gpu = torch.cuda.is_available()
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    work()
    if gpu:
        torch.cuda.synchronize()
    return clock() - start


def measure(
    models: dict[str, Any], batches: list[dict[str, Any]], rounds: int, steps: int
) -> dict[str, list[float]]:
    """Return the seconds a step, one entry a round, of each model and of its guide by itself."""
    works = {name: (train, model) for name, model in models.items()}
    works |= {f"guide of {name}": (embed, models[name]) for name in ("crop", "crop, bf16")}
    times: dict[str, list[float]] = {name: [] for name in works}
    for model in models.values():
        train(model, batches[:1])
    embed(models["photo"], batches)
    for number in range(rounds):
        block = [batches[(number * steps + step) % len(batches)] for step in range(steps)]
        names = list(works)[number % len(works) :] + list(works)[: number % len(works)]
        for name in names:
            work, model = works[name]
            times[name].append(seconds(partial(work, model, block)) / steps)
    return times


def main() -> None:
    """Print a line a case: milliseconds a step, and quartiles of its ratio to the plain step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clip", default="tiny", help="tiny, or an architecture of open_clip (default: tiny)"
    )
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument(
        "--encoder", type=int, nargs="+", default=[1, 1, 1, 28], help="blocks of each level"
    )
    parser.add_argument("--middle", type=int, default=1, help="blocks in the middle")
    parser.add_argument("--size", type=int, default=128, help="side of the crops")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--steps", type=int, default=2, help="steps of each case in a round")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        models = build_models(args, Path(folder))
    times = measure(models, make_batches(args.size, args.batch), args.rounds, args.steps)
    for name, values in times.items():
        pairs = zip(values, times["plain"], strict=True)
        ratios = [time_of_case / time_of_plain for time_of_case, time_of_plain in pairs]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        print(
            f"{name:20} {1000 * statistics.median(values):8.1f} ms {middle:6.3f} ({low:.3f} to "
            f"{high:.3f})"
        )


if __name__ == "__main__":
    main()
