r"""Train the tiny LLaVA that ships with the package, or print the held-out scores of a saved one.

    python tools/train_tiny_llava.py --photos clean --test clean/test --real real \
        --out wxr_plugin/assets/tiny_llava --seed 0

Needs folders of clean photos (what lies in the test folder is left out of training) and
`real/{rain,haze,snow}`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tiny_llava_data import Pool, draw_pictures, make_pool, normalised, read_photos
from tiny_llava_evaluate import evaluate, table
from tiny_llava_language import fit_language
from tiny_llava_model import build_model, build_processor
from tiny_llava_start import start_vision
from tiny_llava_vision import fit_vision

from wxr_plugin.utils.files import write_text, write_with


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    torch.set_num_threads(args.threads)
    facts = {} if args.evaluate else train(args)
    rows = evaluate(args.out, args.test, args.real)
    print(table(rows))
    if facts:
        write_card(args, facts | {"table": table(rows), "test_photos": rows[0].real})
    return 0


def train(args: argparse.Namespace) -> dict:
    """Draw pictures, train in three steps, save into `args.out`; return the card's figures.

    A finished stage is kept in `args.work`, and the same command after a stop reads it from there.
    """
    start = time.monotonic()
    photos = [photo for folder in args.photos for photo in read_photos(folder, args.test)]
    torch.manual_seed(args.seed)
    processor = build_processor()
    model = build_model(processor.tokenizer)
    # On short rows in bfloat16 three times as fast as torch's own attention on a CPU.
    model.set_attn_implementation("eager")
    args.work.mkdir(parents=True, exist_ok=True)
    pool = _stage_pool(model, photos, args)
    print(
        f"{len(pool.patches)} pictures of {len(photos)} photos, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    fit(model.to(args.device), processor, pool, args)
    save(model, processor, args.out)
    facts = {
        "photos": len(photos),
        "pictures": len(pool.patches),
        "minutes": (time.monotonic() - start) / 60,
    }
    return (
        facts
        | {"parameters": sum(p.numel() for p in model.parameters()) / 1e6}
        | model.config.to_dict()
    )


def _stage_pool(model: torch.nn.Module, photos: list, args: argparse.Namespace) -> Pool:
    """Set the patch filters and return the pictures, drawn once."""
    tower, file = model.model.vision_tower, args.work / "pool.npz"

    def set_filters() -> None:
        samples = []
        for index, photo in enumerate(photos[::4]):
            samples += draw_pictures(photo, index, 1)
        start_vision(tower, normalised(np.stack([sample.square for sample in samples])))

    _stage(args.work / "filters.pth", model, set_filters)
    tower.embeddings.patch_embedding.weight.requires_grad_(False)
    if file.is_file():
        with np.load(file) as arrays:
            return Pool(**arrays)
    filters = tower.embeddings.patch_embedding.weight.detach().numpy()
    pool = make_pool(photos, args.rounds, args.seed, filters, args.restorers, args.workers)
    arrays = {name: getattr(pool, name) for name in pool.__struct_fields__}
    write_with(file, lambda stream: np.savez(stream, **arrays))
    return pool


def _stage(file: Path, model: torch.nn.Module, run: Callable[[], None]) -> None:
    """Load the weights that a stage left in `file`; without it run the stage and write it."""
    if file.is_file():
        model.load_state_dict(torch.load(file, map_location=model.device, weights_only=True))
        return
    run()
    write_with(file, lambda stream: torch.save(model.state_dict(), stream))


def fit(model: torch.nn.Module, processor, pool: Pool, args: argparse.Namespace) -> None:
    """Train the vision tower, then the language model on the frozen tower, then both together."""
    tower, seed = model.model.vision_tower, args.seed
    _stage(
        args.work / "vision.pth", model, lambda: fit_vision(tower, pool, seed, args.vision_epochs)
    )
    tower.encoder.requires_grad_(False)
    _stage(
        args.work / "language.pth",
        model,
        lambda: fit_language(model, processor, pool, seed, args.language_epochs, rate=2e-3),
    )
    tower.encoder.requires_grad_(True)
    fit_language(model, processor, pool, seed + 1, args.joint_epochs, rate=3e-4)


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
        "--rounds", type=int, default=10, help="views drawn from each photo, seven pictures each"
    )
    parser.add_argument("--vision-epochs", type=float, default=10)
    parser.add_argument("--language-epochs", type=float, default=0.8)
    parser.add_argument("--joint-epochs", type=float, default=0.4)
    parser.add_argument("--evaluate", action="store_true", help="only score the model in --out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
