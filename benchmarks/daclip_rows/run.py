"""Gain of a tiny NAFNet from DA-CLIP: plain, with the degradation prompt, with both embeddings.

    python benchmarks/daclip_rows/run.py --photos BSDS500/train BSDS500/val --test BSDS500/test
    --out rows --seeds 0 1 2

Every row is options/tiny/daclip_nafnet.yml, trained in a process of its own with the same pairs,
seeds, iterations, batches and learning rate; the plain row has neither context nor guide. Scored:
PSNR in dB (RGB) on held-out photos, by degradation, and its average over them. Finished parts are
not made again: another call resumes.
"""

import argparse
import csv
import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean, stdev

import cv2
import numpy as np
import yaml
from rich.progress import track

from wxr_plugin.data.degradations.apply import degrade, severity_range
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import list_images, read_image, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.files import write_text

OPTIONS = Path(__file__).resolve().parents[2] / "options" / "tiny" / "daclip_nafnet.yml"
ROWS = {"plain": [], "prompt": ["degradation"], "daclip": ["degradation", "content"]}
"""Context of the network of each row."""
TITLES = {"plain": "NAFNet", "prompt": "+ degradation prompt", "daclip": "+ DA-CLIP"}
WORDS = ("hazy", "jpeg-compressed", "low-light", "noisy", "rainy", "snowy")
SIDE = 160
AVERAGE = "overall"
"""The row of the groups' table that holds the mean over the degradations."""
Scores = dict[str, float]


def main() -> None:
    """Degrade, train what is not trained yet, and print the table."""
    args = parse()
    work = args.out.resolve()
    photos = [file for folder in args.photos for file in list_images(folder)]
    prepare(photos, args.words, work / "data" / "train")
    prepare(list_images(args.test)[: args.held_out], args.words, work / "data" / "val")
    tasks = [(row, seed) for seed in args.seeds for row in args.rows]
    with ThreadPoolExecutor(args.jobs) as jobs:
        scores = jobs.map(lambda task: train(work, *task, args.iterations, args.words), tasks)
        scores_of = dict(zip(tasks, scores))
    table = markdown(scores_of, args.rows, args.seeds, [*args.words, AVERAGE])
    write_text(work / "table.md", table)
    print(table)


def prepare(files: list[Path], words: list[str], folder: Path) -> None:
    """Write degraded pairs of all photos in DA-CLIP's layout, once for each word.

    A pair is the middle of a photo, SIDE pixels square, and its degraded version.
    """
    for word in words:
        if (folder / word / "done").is_file():
            continue
        for number, file in enumerate(track(files, f"{folder.name}: {word}")):
            rng = np.random.default_rng(
                int(hashlib.sha256(f"{word} {file.stem}".encode()).hexdigest()[:8], 16)
            )
            gt = middle(read_image(file))
            lq = degrade(
                gt.astype(np.float32) / 255, word, float(rng.uniform(*severity_range(word))), rng
            )
            write_image(folder / word / "GT" / f"{number:03}.png", gt)
            write_image(
                folder / word / "LQ" / f"{number:03}.png",
                (255 * lq.clip(0, 1)).round().astype(np.uint8),
            )
        (folder / word / "done").touch()


def middle(photo: np.ndarray) -> np.ndarray:
    """Return the centre of `photo`, its short side resized to SIDE."""
    share = SIDE / min(photo.shape[:2])
    photo = cv2.resize(photo, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    top, left = ((side - SIDE) // 2 for side in photo.shape[:2])
    return np.ascontiguousarray(photo[top : top + SIDE, left : left + SIDE])


def train(work: Path, row: str, seed: int, iterations: int, words: list[str]) -> Scores:
    """Return the PSNR in dB of one row and seed by degradation; train first if necessary."""
    name = f"{row}_{seed}"
    table = work / "experiments" / name / "validation" / "held-out photos_groups.csv"
    if not table.is_file():
        file = work / "options" / f"{name}.yml"
        write_text(
            file,
            yaml.safe_dump(options_of(work, name, row, seed, iterations, words), sort_keys=False),
        )
        log = work / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "wxr_plugin.train", "-opt", str(file), "--auto_resume"]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with log.open("a") as out:
            if subprocess.run(command, cwd=work, env=one_thread, stdout=out, stderr=out).returncode:
                raise WxrError(f"{name} failed; see {log}")
        print(f"trained {name}", flush=True)
    with table.open(encoding="utf-8") as file:
        return {line["group"]: float(line["psnr"]) for line in csv.DictReader(file)}


def options_of(
    work: Path, name: str, row: str, seed: int, iterations: int, words: list[str]
) -> dict:
    """Return the tiny option file with the name, data, length, seed and context of one training."""
    opt = option_files.load(OPTIONS)
    opt |= {"name": name, "manual_seed": seed}
    for block in opt["datasets"].values():
        block |= {"dataroot": str(work / "data"), "degradations": words}
    opt["network_g"]["context"] = ROWS[row]
    if not ROWS[row]:
        # Without a context there is nothing that a guide could steer.
        del opt["guide"], opt["datasets"]["train"]["guide_size"]
    opt["train"]["total_iter"] = opt["val"]["val_freq"] = iterations
    return opt


def markdown(
    scores: dict[tuple[str, int], Scores], rows: list[str], seeds: list[int], columns: list[str]
) -> str:
    """Return a Markdown line for each row: scores over the seeds, and the step from the row before.

    Scores are mean and standard deviation; the step is given for every seed.
    """
    lines = [f"| row | {' | '.join(columns)} | step |", "|---" * (len(columns) + 2) + "|"]
    for number, row in enumerate(rows):
        cells = []
        for name in columns:
            cells.append(spread([scores[row, seed][name] for seed in seeds]))
        before = rows[number - 1]
        steps = [
            f"{scores[row, seed][AVERAGE] - scores[before, seed][AVERAGE]:+.2f}"
            for seed in seeds
            if number
        ]
        lines.append(f"| {TITLES[row]} | {' | '.join(cells)} | {' '.join(steps)} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float]) -> str:
    """Return mean ± standard deviation."""
    return f"{fmean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, nargs="+", required=True, help="folders of clean training photos"
    )
    parser.add_argument("--test", type=Path, required=True, help="folder of held-out clean photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--words", nargs="+", choices=DEGRADATIONS, default=list(WORDS), metavar="WORD"
    )
    parser.add_argument(
        "--held-out", type=int, default=40, help="photos to test on, each under every degradation"
    )
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
