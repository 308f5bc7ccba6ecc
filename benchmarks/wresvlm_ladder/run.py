r"""WResVLM's ablation ladder on a tiny stand-in for the real world: the gain of each part.

    python benchmarks/wresvlm_ladder/run.py --labelled BSDS500/train BSDS500/val \
        --others BSDS500/test --out ladder --real REAL --judge OTHER_TINY_LLAVA \
        --seeds 0 1 2 --jobs 2

Labelled: clear photos with the synthetic weather `default`. "Real": other photos with `storm`
(families.py), a family that no network here is trained on and whose ground truth is kept from
training. Restorers of other people: one for each kind of weather, trained on a third family,
`gale`, and the packaged one. Scored: the EMA network's PSNR on held-out photos under storm, and on
the unlabelled photos themselves, in dB (RGB).

In addition to the paper's rows, `random` and `oracle` are the row `gate` with a rater that sees
nothing and with one that sees the truth (gates.py): the floor and the ceiling of that row.

Every row trains as long as every other: two rounds from the same start, the second from the first
one's networks. Between them `iter` lets the panel vote again, learns the prompts again and
describes the pseudo-labels; the other rows change nothing. Finished parts are not made again:
another call resumes.
"""

import argparse
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import photos
import table
from rows import GATES, ROWS, place, train_block
from training import Training, wxr

from wxr_plugin.data.weather.kinds import KINDS
from wxr_plugin.inference.packaged import TINY

RATER = {"type": "TransformersRater", "model": "tiny", "prompt": "visibility"}
BOXES, REAL_SIZE, PAIR_SIZE = 2, 112, 80
LIGHT = [0.1, 0.6]
"""Severity of labelled weather, below the "real" one's (photos.SEVERITY), as is usual."""
START_RATE, RATE = 6e-4, 4e-4


class Ladder(NamedTuple):
    """Where everything lies, and for how long it trains."""

    work: Path
    labelled: Path
    iterations: int
    start: int
    restorer: int
    panel: list[str]
    margin: float
    real: Path | None
    judge: str | None

    def seed_folder(self, seed: int) -> Path:
        return self.work / f"seed_{seed}"


def main() -> None:
    """Run what is not done yet, then write the table and the figure."""
    args = _parser().parse_args()
    work = args.out.resolve()
    ladder = Ladder(
        work, work / "labelled.lmdb", args.iterations, args.start_iterations,
        args.restorer_iterations, args.panel, args.margin, args.real, args.judge,
    )  # fmt: skip
    photos.prepare(ladder.work, args.others, args.unlabelled, args.held_out)
    _labelled(ladder, args.labelled)
    with ThreadPoolExecutor(args.jobs) as jobs:
        list(jobs.map(lambda kind: restorer(ladder, kind).run(), KINDS))
        # `sem` first, because `iter` waits for its first round.
        order = sorted(args.rows, key=lambda row: row != "sem")
        tasks = [partial(prepare_labels, ladder, seed) for seed in args.seeds]
        tasks += [partial(run_row, ladder, row, seed) for seed in args.seeds for row in order]
        list(jobs.map(lambda task: task(), tasks))
    table.write(ladder.work, args.rows, args.seeds, args.real, args.judge)


def restorer(ladder: Ladder, kind: str) -> Training:
    """Return the training of a foreign restorer: the packaged one, on a weather of family gale."""
    data = _pairs(ladder, [kind], "gale", [0.1, 1.0], 96, batch=6)
    return Training(
        ladder.work / "restorers", kind, "WxrModel", data, TINY, ladder.restorer, 5e-4, 0
    )


def start(ladder: Ladder, seed: int) -> Training:
    """Return the training of this seed's start: a network for the labelled photos alone."""
    data = _pairs(ladder, list(KINDS), "default", LIGHT, PAIR_SIZE, batch=4)
    folder = ladder.seed_folder(seed)
    return Training(folder, "start", "WxrModel", data, None, ladder.start, START_RATE, seed)


def describe(ladder: Ladder) -> Path:
    """Describe the unlabelled photos and rewrite the descriptions, once for all seeds."""
    texts = ladder.work / "texts.lmdb"
    with table.lock(texts.with_suffix(".lock")):
        if not (ladder.work / "texts_done").is_file():
            wxr("label", "describe", ladder.work / "unlabelled", "-o", texts)
            wxr("label", "rewrite", texts)
            (ladder.work / "texts_done").touch()
    return texts


def prepare_labels(ladder: Ladder, seed: int) -> None:
    """Make the start, and the inputs of init and the guides.

    These are prompts, descriptions, and the pseudo-labels of the panel.
    """
    folder, unlabelled = ladder.seed_folder(seed), ladder.work / "unlabelled"
    chosen, begin = folder / "init.lmdb", start(ladder, seed)
    with table.lock(folder / "start.lock"):
        begin.run()
        if not (folder / "prompts.safetensors").is_file():
            _learn_prompts(ladder, folder / "prompts.safetensors", seed)
        if (folder / "labels_done").is_file():
            return
        shutil.rmtree(chosen, ignore_errors=True)
        own = f"start={begin.network}"
        others = [f"{kind}={restorer(ladder, kind).network}" for kind in KINDS]
        panel = ["--restorers", own, "tiny", *others, "--raters", *ladder.panel]
        wxr(
            "label",
            "init",
            unlabelled,
            "-o",
            chosen,
            "--from",
            describe(ladder),
            *panel,
            "--csv",
            folder / "init.csv",
        )
        (folder / "labels_done").touch()


def run_row(ladder: Ladder, row: str, seed: int) -> None:
    """Train both rounds of one row; `iter` shares its first one with `sem`, which is equal."""
    folder = ladder.seed_folder(seed)
    prepare_labels(ladder, seed)
    first = _round(ladder, "sem" if row == "iter" else row, seed, 1, start(ladder, seed).network)
    with table.lock(folder / f"{first.name}.lock"):
        first.run(before=lambda: _labels(folder, row, folder / "init.lmdb", first.name))
    second = _round(ladder, row, seed, 2, first.network)
    second.run(before=lambda: _between(ladder, seed, row, first, second.name))
    table.scores(ladder.work, row, seed, ladder.real, ladder.judge)


def _round(ladder: Ladder, row: str, seed: int, number: int, begin: Path) -> Training:
    folder, name = ladder.seed_folder(seed), f"{row}_{number}"
    prompts = folder / (
        "prompts_iter.safetensors" if (row, number) == ("iter", 2) else "prompts.safetensors"
    )
    rater = {
        "random": {"type": "RandomRater"},
        "oracle": {"type": "TruthRater", "truth": str(ladder.work / "truth")},
    }.get(row, RATER)
    block = train_block(row, str(folder / f"{name}.lmdb"), str(prompts), rater, ladder.margin)
    roots = {kind: str(ladder.work / "unlabelled" / kind) for kind in KINDS}
    data = {
        "name": "labelled and unlabelled",
        "type": "SemiSupervisedDataset",
        "paired": {
            "gt_size": PAIR_SIZE,
            "dataroot_gt": str(ladder.labelled),
            "synthetic": {"severity": LIGHT},
        },
        "real": {"gt_size": REAL_SIZE, "dataroot": roots, "boxes_per_image": BOXES, "cache": True},
        **_loading(4),
    }
    last_rate = RATE if number == 1 else RATE / 100
    return Training(
        folder,
        name,
        "TruthGateModel" if row == "oracle" else "WResVLMModel",
        data,
        begin,
        ladder.iterations // 2,
        RATE,
        seed + 10 * number,
        block | {"ema_warmup": False},
        last_rate,
    )


def _labels(folder: Path, row: str, chosen: Path, name: str) -> None:
    """Fill the label store of a round: empty before row `init`, then the panel's choice."""
    from wxr_plugin.labels.copying import copy_store

    store = folder / f"{name}.lmdb"
    shutil.rmtree(store, ignore_errors=True)
    if place(row) >= place("init"):
        copy_store(chosen, store)


def _between(ladder: Ladder, seed: int, row: str, first: Training, name: str) -> None:
    """Continue with the labels of the first round; `iter` updates them first."""
    from wxr_plugin.labels.copying import copy_store

    folder, unlabelled = ladder.seed_folder(seed), ladder.work / "unlabelled"
    old, new = folder / f"{first.name}.lmdb", folder / f"{name}.lmdb"
    shutil.rmtree(new, ignore_errors=True)
    if row != "iter":
        return copy_store(old, new) if old.is_dir() else None
    boxes = ["--boxes", BOXES, "--size", REAL_SIZE]
    panel = ["--restorers", f"teacher={first.network}", "--raters", *ladder.panel]
    wxr(
        "label",
        "init",
        unlabelled,
        "-o",
        new,
        "--from",
        old,
        *boxes,
        *panel,
        "--csv",
        folder / "iter.csv",
    )
    wxr("label", "describe", "--pseudo-labels", "-o", new)
    wxr("label", "rewrite", new)
    _learn_prompts(ladder, folder / "prompts_iter.safetensors", seed, "--pseudo-labels", new)


def _learn_prompts(ladder: Ladder, file: Path, seed: int, *more: object) -> None:
    roots = [word for kind in KINDS for word in (f"--{kind}", ladder.work / "unlabelled" / kind)]
    views = ["--crops", 2, "--crop-size", REAL_SIZE, "--seed", seed]
    wxr("prompts", "learn", "--synthetic", ladder.labelled, *roots, *views, *more, "-o", file)


def _pairs(
    ladder: Ladder, kinds: list[str], style: str, severity: list[float], size: int, batch: int
) -> dict:
    drawn = {"kinds": kinds, "severity": severity, "style": style}
    own = {
        "name": style,
        "type": "PairedWeatherDataset",
        "dataroot_gt": str(ladder.labelled),
        "synthetic": drawn,
    }
    return {**own, "gt_size": size, **_loading(batch)}


def _loading(batch: int) -> dict:
    return {"num_worker_per_gpu": 0, "batch_size_per_gpu": batch, "dataset_enlarge_ratio": 100}


def _labelled(ladder: Ladder, folders: list[Path]) -> None:
    if not ladder.labelled.is_dir():
        for folder in folders:
            shutil.copytree(folder, ladder.work / "labelled" / folder.name, dirs_exist_ok=True)
        wxr("lmdb", "build", ladder.work / "labelled", ladder.labelled)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--labelled", type=Path, nargs="+", required=True, help="folders of clear photos"
    )
    parser.add_argument("--others", type=Path, required=True, help="folder of other clear photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument(
        "--real", type=Path, help="folder with real photos in rain/, haze/, snow/, to be rated"
    )
    parser.add_argument(
        "--judge", default=None, help="rater of the real photos: a folder, pyiqa:METRIC"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--rows", nargs="+", choices=(*ROWS, *GATES), default=[*ROWS, *GATES],
        help="random and oracle are the gate with a random rater and with the truth",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time, one thread each")
    parser.add_argument(
        "--panel", nargs="+", default=["tiny"], help="raters that vote, as for `wxr label init`"
    )
    parser.add_argument(
        "--margin", type=float, default=0.0, help="of the gate (train.rating.margin)"
    )
    parser.add_argument("--unlabelled", type=int, default=90)
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument(
        "--iterations", type=int, default=500, help="of each row, both rounds together"
    )
    parser.add_argument("--start-iterations", type=int, default=1000)
    parser.add_argument("--restorer-iterations", type=int, default=600)
    return parser


if __name__ == "__main__":
    main()
