r"""Gain of a tiny network from SAR, CLIP-SRD and CWP: plain, and with each added in turn.

    python benchmarks/sarcwp_rows/run.py --photos BSDS500/train BSDS500/val --test BSDS500/test \
        --out rows --seeds 0 1 2
    python benchmarks/sarcwp_rows/run.py --photos BSDS500/train BSDS500/val --test BSDS500/test \
        --out local --seeds 0 1 2 --words raindrop shadowed uncompleted snowy \
        --rows plain sar srd set extra oracle

Every row is options/tiny/sarcwp.yml, trained in a process of its own with the same pairs, seeds,
iterations, batches and learning rate. Scored on held-out photos: PSNR in dB (RGB) by weather, and
the correlation of the masks with the true difference |lq - gt|, photo by photo. Also given:
the spread of masks within a photo, and the PSNR with each mask replaced by its mean. Finished parts
are not made again: another call resumes.

Weather degrades a whole photo, so there is little to locate; `--words` takes degradations that are
local. Rows next to those of the option file: `set` scales the targets by one number for all photos,
the 95 % quantile over training pairs; `extra` gates a second residual instead of the only one, with
these targets; `oracle` does so with the true difference as the target, the ceiling of any target.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import yaml

sys.path.append(str(Path(__file__).resolve().parents[2]))

from masks import of_clip, of_network, set_scales

from benchmarks.daclip_rows.run import prepare, spread
from wxr_plugin.data.degradations.words import DEGRADATIONS
from wxr_plugin.data.images.io import list_images
from wxr_plugin.errors import WxrError
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.files import write_text

OPTIONS = Path(__file__).resolve().parents[2] / "options" / "tiny" / "sarcwp.yml"
ROWS = {
    "plain": "plain",
    "sar": "+ SAR",
    "srd": "+ SAR + CLIP-SRD",
    "cwp": "+ SAR + CLIP-SRD + CWP",
    "set": "SAR + CLIP-SRD, targets scaled over the set",
    "extra": "SAR on a second residual + CLIP-SRD, scaled over the set",
    "oracle": "SAR on a second residual, taught by the true difference",
}
"""Rows in their order, with their titles in the table."""
WORDS = ("hazy", "rainy", "snowy")
DEFAULT_ROWS = ["plain", "sar", "srd", "cwp"]
BEFORE = {"sar": "plain", "srd": "sar", "cwp": "srd", "set": "srd", "extra": "sar", "oracle": "sar"}
"""Row that a row is compared with, if it is in the table; else the plain one."""
SCALE_PAIRS = 60
"""Training pairs of which the scales of the set are measured."""
AVERAGE = "overall"
Scores = dict[str, float]


def main() -> None:
    """Add weather, train what is not trained yet, and print the tables."""
    args = parse()
    work = args.out.resolve()
    prepare(
        [file for folder in args.photos for file in list_images(folder)],
        args.words,
        work / "data" / "train",
    )
    prepare(list_images(args.test)[: args.held_out], args.words, work / "data" / "val")
    tasks = [(row, seed) for seed in args.seeds for row in args.rows]
    with ThreadPoolExecutor(args.jobs) as jobs:
        results = jobs.map(lambda task: train(work, *task, args.iterations), tasks)
        scores = dict(zip(tasks, results))
    masks = {task: masks_of(work, *task, args.words) for task in tasks if task[0] != "plain"}
    srd = option_files.load(OPTIONS)["train"]["srd_opt"]
    clip = of_clip(work / "data" / "val", args.words, srd)
    columns = [*args.words, AVERAGE]
    text = (
        markdown(scores, args.rows, args.seeds, columns)
        + "\n"
        + mask_table(masks, args.rows, args.seeds, clip, columns)
    )
    write_text(work / "table.md", text)
    print(text)


def train(work: Path, row: str, seed: int, iterations: int) -> Scores:
    """Return the PSNR in dB of one row and seed by weather; train first if necessary."""
    name = f"{row}_{seed}"
    table = work / "experiments" / name / "validation" / "held-out photos_groups.csv"
    if not table.is_file():
        file = work / "options" / f"{name}.yml"
        write_text(
            file, yaml.safe_dump(options_of(work, name, row, seed, iterations), sort_keys=False)
        )
        log = work / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "wxr_plugin.train", "-opt", str(file), "--auto_resume"]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        with log.open("a") as out:
            run = subprocess.run(command, cwd=work, env=one_thread, stdout=out, stderr=out)
            if run.returncode:
                raise WxrError(f"{name} failed; see {log}")
        print(f"trained {name}", flush=True)
    with table.open(encoding="utf-8") as file:
        return {line["group"]: float(line["psnr"]) for line in csv.DictReader(file)}


def options_of(work: Path, name: str, row: str, seed: int, iterations: int) -> dict:
    """Return the tiny option file with the name, data, length, seed and parts of one training."""
    opt = option_files.load(OPTIONS) | {"name": name, "manual_seed": seed}
    for block in opt["datasets"].values():
        block["dataroot"] = str(work / "data")
    # The file has all three parts; each row takes out those that come after it.
    if row == "plain":
        opt["network_g"]["sar"] = None
    if row in ("plain", "sar"):
        del opt["train"]["srd_opt"]
    if row in ("set", "extra"):
        opt["train"]["srd_opt"]["scales"] = scales_of(work, opt["train"]["srd_opt"])
    if row == "oracle":
        opt["train"]["srd_opt"]["target"] = "difference"
    if row in ("extra", "oracle"):
        opt["network_g"]["sar"] = "extra"
    if row != "cwp":
        opt["network_g"]["context"] = []
        del opt["guide"], opt["datasets"]["train"]["guide_size"]
    opt["train"]["total_iter"] = opt["val"]["val_freq"] = iterations
    opt["val"] |= {"save_img": seed == 0, "save_masks": seed == 0 and row != "plain"}
    return opt


def scales_of(work: Path, srd: dict) -> list[float]:
    """Return the scale of each layer for this data, measured once."""
    file = work / "scales.json"
    if not file.is_file():
        write_text(file, json.dumps(set_scales(work / "data" / "train", srd, SCALE_PAIRS)))
    return json.loads(file.read_text(encoding="utf-8"))


def masks_of(work: Path, row: str, seed: int, words: list[str]) -> dict[str, Scores]:
    """Return the scores of the masks of a finished training, cached in its folder."""
    folder = work / "experiments" / f"{row}_{seed}"
    file = folder / "mask_scores.json"
    if not file.is_file():
        scores = of_network(folder / "models" / "net_g_latest.pth", work / "data" / "val", words)
        write_text(file, json.dumps(scores))
    return json.loads(file.read_text(encoding="utf-8"))


def markdown(
    scores: dict[tuple[str, int], Scores], rows: list[str], seeds: list[int], columns: list[str]
) -> str:
    """Return a Markdown line a row: PSNR over the seeds by word, and the step of every seed."""
    lines = [f"| row | {' | '.join(columns)} | step |", "|---" * (len(columns) + 2) + "|"]
    for row in rows:
        before = BEFORE.get(row, "plain")
        before = before if before in rows else "plain"
        cells = []
        for name in columns:
            cells.append(spread([scores[row, seed][name] for seed in seeds]))
        steps = [
            f"{scores[row, seed][AVERAGE] - scores[before, seed][AVERAGE]:+.2f}"
            for seed in seeds
            if row != "plain" and before in rows
        ]
        lines.append(f"| {ROWS[row]} | {' | '.join(cells)} | {' '.join(steps)} |")
    return "\n".join(lines) + "\n"


def mask_table(
    masks: dict[tuple[str, int], dict],
    rows: list[str],
    seeds: list[int],
    clip: dict[str, Scores],
    columns: list[str],
) -> str:
    """Return a Markdown line for each row with masks.

    Columns: correlation with |lq - gt| by word, spread, and difference of flat masks in dB.
    """
    lines = [
        f"| masks of | {' | '.join(columns)} | spread | flat |",
        "|---" * (len(columns) + 3) + "|",
    ]
    for row in [row for row in rows if (row, seeds[0]) in masks]:
        scores_of_seeds = [masks[row, seed] for seed in seeds]
        cells = []
        for name in columns:
            cells.append(spread([scores["correlation"][name] for scores in scores_of_seeds]))
        for name in ("spread", "flat"):
            cells.append(f"{fmean(scores[name][AVERAGE] for scores in scores_of_seeds):.3f}")
        lines.append(f"| {ROWS[row]} | {' | '.join(cells)} |")
    own = [f"{clip['correlation'][name]:.2f}" for name in columns]
    return "\n".join([*lines, f"| CLIP's distance itself | {' | '.join(own)} | | |"]) + "\n"


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
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=DEFAULT_ROWS)
    parser.add_argument(
        "--words", nargs="+", choices=DEGRADATIONS, default=list(WORDS), help="degradations"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--held-out", type=int, default=40, help="photos to test on, each in every weather"
    )
    parser.add_argument("--iterations", type=int, default=600)
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time, one thread each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
