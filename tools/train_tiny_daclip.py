"""Train the packaged tiny DA-CLIP: a controller for the packaged tiny CLIP.

    python tools/train_tiny_daclip.py --photos BSDS500/train BSDS500/val --test BSDS500/test --work
    runs/tiny_daclip

Every photo is degraded in each of ten ways and captioned by its looks; training is BasicSR's
pipeline with options/tiny/daclip.yml, and resumes where it was stopped. The degradation accuracy on
held-out photos, next to that of the plain tiny CLIP, is printed and written into the model card.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import save
from tiny_clip_captions import UNSAID, caption, traits
from tiny_data import draw_view, read_photos

from wxr_plugin.checkpoints.containers import load_weights
from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.daclip import TINY
from wxr_plugin.conditioning.guides import load_daclip
from wxr_plugin.data.caption_table import CaptionRow, read_table, write_table
from wxr_plugin.data.degradations.apply import degrade, severity_range
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import read_image, write_image
from wxr_plugin.data.weather.synthesis import WEATHERS
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.files import write_bytes, write_text
from wxr_plugin.utils.progress import track

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ROOT / "options" / "tiny" / "daclip.yml"
CLOSE = 0.99
CARD = Path(__file__).with_name("tiny_daclip_card.md")
FROZEN = ("clip.", "visual.")
SIDES = (128, 224)
"""Short side of a view in pixels: the tiny CLIP sees 128, shrinking more hides noise and JPEG."""


def content(view: np.ndarray, rng: np.random.Generator) -> str:
    """Return a true sentence on a clean view, float RGB (H, W, 3), without a word on weather."""
    seen = traits(view, WEATHERS.index("clear"), 0.0)
    while True:
        text, said = caption(seen, rng)
        if said[0] == UNSAID and (said[2:] != UNSAID).any():
            return text


def small(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return `view` with a short side drawn from SIDES, but not enlarged."""
    short = min(view.shape[:2])
    side = rng.uniform(SIDES[0], np.clip(short, *SIDES))
    return cv2.resize(
        view, None, fx=side / short, fy=side / short, interpolation=cv2.INTER_AREA
    ).clip(0, 1)


def write_set(
    photos: list[np.ndarray], words: list[str], rounds: int, folder: Path, seed: int
) -> Path:
    """Write degraded views, `rounds` a photo and word, and their table; once a folder."""
    table = folder / "captions.csv"
    if table.is_file():
        if {row.degradation for row in read_table(table).values()} != set(words):
            raise SystemExit(f"{table} has other degradations: give another --work")
        return table
    rows = []
    for index, photo in enumerate(track(photos, f"degrade {folder.name}")):
        for turn in range(rounds):
            rng = np.random.default_rng((seed, index, turn))
            view = small(draw_view(photo, rng, crop=0.5, scale=0.0), rng)
            text = content(view, rng)
            for word in words:
                name = f"{word}/{index}_{turn}.png"
                image = degrade(view, word, float(rng.uniform(*severity_range(word))), rng)
                write_image(folder / name, (255 * image.clip(0, 1)).round().astype(np.uint8))
                rows.append(CaptionRow(name, text, word))
    write_table(table, rows)
    return table


def train(tables: dict[str, Path], work: Path, iterations: int, seed: int) -> Path:
    """Run BasicSR's pipeline in `work` and return the last checkpoint."""
    changes = [f"datasets:{phase}:captions={table.resolve()}" for phase, table in tables.items()]
    changes += [f"train:total_iter={iterations}", f"manual_seed={seed}"]
    command = [
        sys.executable,
        "-m",
        "wxr_plugin.train",
        "-opt",
        str(OPTIONS),
        "--auto_resume",
        "--force_yml",
        *changes,
    ]
    subprocess.run(command, cwd=work, check=True)
    return work / "experiments" / "tiny_daclip" / "models" / "net_g_latest.pth"


def export(checkpoint: Path, target: Path) -> None:
    """Write the controller alone in half precision; the file names the CLIP that completes it."""
    weights = {
        key: value for key, value in load_weights(checkpoint).items() if not key.startswith(FROZEN)
    }
    half = {
        key: (v.half() if v.is_floating_point() else v).contiguous() for key, v in weights.items()
    }
    network = dict(option_files.load(OPTIONS)["network_g"])
    write_bytes(target, save(half, metadata={"network_g": json.dumps(network)}))


@torch.no_grad()
def accuracies(table: Path, model: str, words: list[str]) -> dict[str, tuple[int, float, float]]:
    """Return, for each word, its photos and the shares that DA-CLIP and the tiny CLIP got right."""
    guide, plain = load_daclip(model, "cpu"), load_clip("tiny", "cpu")
    texts = plain.encode_text(words)
    hits: dict[str, list[tuple[bool, bool]]] = {word: [] for word in words}
    for row in (row for row in read_table(table).values() if row.degradation in hits):
        image = torch.from_numpy(read_image(table.parent / row.file)).permute(2, 0, 1)[None] / 255
        ours, theirs = guide.classify(image, words)[0], (plain.encode_image(image) @ texts.T)[0]
        hits[row.degradation].append(
            tuple(words[int(scores.argmax())] == row.degradation for scores in (ours, theirs))
        )
    return {word: (len(pairs), *np.mean(pairs, axis=0).tolist()) for word, pairs in hits.items()}


def distinguishable(words: list[str]) -> list[str]:
    """Return the `words` whose texts the tiny CLIP distinguishes from all others.

    Their cosine is at most CLOSE; the tiny CLIP reads unknown words in pieces.
    """
    texts = load_clip("tiny", "cpu").encode_text(words)
    close = (texts @ texts.T).fill_diagonal_(0).amax(1) > CLOSE
    return [word for word, lost in zip(words, close.tolist()) if not lost]


def as_table(accuracies: dict[str, tuple[int, float, float]]) -> str:
    """Return the accuracies in Markdown, with the mean over the degradations."""
    lines = ["| degradation | photos | DA-CLIP | plain tiny CLIP |", "|---|---|---|---|"]
    lines += [
        f"| {word} | {count} | {ours:.1%} | {theirs:.1%} |"
        for word, (count, ours, theirs) in accuracies.items()
    ]
    count = sum(row[0] for row in accuracies.values())
    ours = np.mean([row[1] for row in accuracies.values()])
    theirs = np.mean([row[2] for row in accuracies.values()])
    lines.append(f"| mean | {count} | {ours:.1%} | {theirs:.1%} |")
    return "\n".join(lines)


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
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder for the degraded photos and the checkpoints",
    )
    parser.add_argument(
        "--words", nargs="+", choices=DEGRADATIONS, default=list(DEGRADATIONS), metavar="WORD"
    )
    parser.add_argument("--rounds", type=int, default=2, help="views of each training photo")
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=TINY)
    return parser.parse_args()


def main() -> None:
    """Degrade, train, export, measure what was exported, and write the card."""
    arguments = parse()
    work = arguments.work.resolve()
    shared = {"words": arguments.words, "seed": arguments.seed}
    tables = {
        "train": write_set(
            read_photos(arguments.photos), rounds=arguments.rounds, folder=work / "train", **shared
        ),
        "val": write_set(
            read_photos(arguments.test), rounds=1, folder=work / "val", **{**shared, "seed": 1}
        ),
    }
    checkpoint = train(tables, work, arguments.iterations, arguments.seed)
    export(checkpoint, arguments.out)
    table, apart = (
        as_table(accuracies(tables["val"], str(arguments.out), words))
        for words in (arguments.words, distinguishable(arguments.words))
    )
    print(table, apart, sep="\n\n")
    facts = {
        "size": arguments.out.stat().st_size / 1e6,
        "iterations": arguments.iterations,
        "seed": arguments.seed,
    }
    trained, tested = (len(read_table(tables[phase])) for phase in ("train", "val"))
    card = CARD.read_text(encoding="utf-8").format(
        table=table, apart=apart, trained=trained, tested=tested, **facts
    )
    write_text(arguments.out.with_name("README.md"), card)


if __name__ == "__main__":
    main()
