"""The demo: packaged photos, and a packaged run file of `wxr wresvlm run`."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import torch

from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import list_images, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import check_parents, write_text

HERE = resources.files(__package__)
STYLES = ("default", "shifted")
"""Weather of the held-out pairs: as supervised training draws it, and another, harder one."""
START = "small"
"""Packaged network that both trainings start from.

In bf16 it takes less time than `tiny` does (docs/measured.md).
"""
JUDGE = "judge"
"""Name of the independent rater in the run's file."""


@dataclass(frozen=True)
class Settings:
    """Lengths of the two trainings, and the judge of their results."""

    supervised: int = 200
    """Iterations of the supervised training, which the semi-supervised one is compared with."""
    iterations: int = 200
    """Iterations of the semi-supervised training."""
    judge: dict[str, Any] = field(default_factory=dict)
    """Options of a rater that takes no part in training; no second VLM-Vis when empty."""


def run(output: Path, real: Path | None, settings: Settings) -> Path:
    """Run every stage below `output` that is not done, and return the path of the report.

    Args:
        output: folder for everything; its index.html is the report of the latest call.
        real: folder of photos, or one with the sub-folders rain, haze and snow; None takes packaged
            photos under a weather setting that supervised training does not draw.
        settings: lengths of the trainings, and the judge.

    Raises:
        WxrError: no photos in `real`, a wrong judge, or a stage fails.
    """
    from wxr_plugin.demo import page
    from wxr_plugin.wresvlm.checking import load_run
    from wxr_plugin.wresvlm.run import Run

    begin = time.monotonic()
    # What the call names is checked before minutes are spent.
    _check(output, real, settings)
    output = output.resolve()
    photos = output / "photos"
    write_photos(photos)
    work = _work_folder(output, real)
    file = write_options(work, photos, real and real.resolve(), settings)
    job = Run(load_run(file), say=lambda line: print(line, flush=True))
    job.make()
    stages = [stage.name for stage in job.stages if stage.name != "report"]
    results = page.read(job.settings, stages, packaged_means(photos, output))
    write_text(output / "index.html", page.html(results, page.Call(output, file, real)))
    page.print_result(results)
    print(f"{time.monotonic() - begin:.0f} s for this call")
    return output / "index.html"


def planned(output: Path, real: Path | None, settings: Settings) -> dict[str, Any]:
    """Return what `run` would do with these arguments, for `--dry-run`; nothing is written.

    Raises:
        WxrError: no photos in `real`, or a wrong judge.
    """
    _check(output, real, settings)
    output = output.resolve()
    work = _work_folder(output, real)
    done = [file.parent.name for file in sorted(work.glob("*/stage.json"))]
    return {
        "photos": f"{real.resolve()} ({len(list_images(real))})" if real else "packaged",
        "starts_from": START,
        "supervised_iterations": settings.supervised,
        "semi_supervised_iterations": settings.iterations,
        "judge": settings.judge or None,
        "precision": "bf16" if computes_bf16() else "fp32",
        "work_folder": work,
        "stages_begun_before": done,
        "page": output / "index.html",
    }


def _check(output: Path, real: Path | None, settings: Settings) -> None:
    """Raise WxrError if the output folder, the photos or the judge cannot be used."""
    from wxr_plugin.vlm.transformers_rater import check_names

    check_parents(output / "photos")
    if real:
        check_photos(real)
    if settings.judge:
        check_names(settings.judge)


def _work_folder(output: Path, real: Path | None) -> Path:
    """Return the working folder, one for each folder of photos.

    Calls with and without it thus do not undo each other's stages. Other changes are found by the
    run itself.
    """
    name = (real.resolve().name or "real") if real else "packaged"
    return output / "runs" / name


def packaged_means(photos: Path, output: Path) -> dict[str, dict[str, float]]:
    """Return the PSNR of the packaged network by weather, keyed as the report titles its sets."""
    from wxr_plugin.demo import packaged
    from wxr_plugin.inference.packaged import PACKAGED

    pairs = photos / "held_out"
    means = packaged.held_out(pairs, STYLES, PACKAGED[START], output / "packaged.json")
    return {f"psnr, held out, {style} weather": of_style for style, of_style in means.items()}


def check_photos(real: Path) -> None:
    """Raise WxrError unless there are photos in the folder `real`."""
    if not real.is_dir():
        raise WxrError(f"{real}: no such folder; REAL must name a folder of photos")
    if not list_images(real):
        raise WxrError(f"{real}: no photos in this folder")


def write_photos(folder: Path) -> None:
    """Write the packaged photos to clear/, real/, truth/ and held_out/ of `folder`.

    Those that are there are left as they are.
    """
    _write("clear", folder, packaged_photos.write_clean)
    _write("real", folder, packaged_photos.write_unlabelled)
    _write("truth", folder, packaged_photos.write_unlabelled_truth)
    _write("held_out", folder, _write_pairs)


def _write(name: str, folder: Path, write: Callable[[Path], None]) -> None:
    """Write a sub-folder unless it is there."""
    target = folder / name
    if target.is_dir():
        return
    # It gets its name when it is complete, so a call that was killed leaves none.
    partial = folder / f".{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        write(partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_pairs(folder: Path) -> None:
    """Write the held-out pairs, lq/ and gt/ of each style."""
    for file, (name, kind, severity, seed, style) in packaged_photos.held_out().items():
        photo = packaged_photos.packaged_photo(name)
        pair = folder / style
        write_image(pair / "gt" / kind / file, photo)
        lq = packaged_photos.weathered(photo, kind, severity, seed, style)
        write_image(pair / "lq" / kind / file, lq)


def write_options(work: Path, photos: Path, real: Path | None, settings: Settings) -> Path:
    """Write the packaged option files with names and lengths filled in; return the run's file.

    `real` is the folder of unlabelled photos; None: the packaged ones, whose truth is known.
    """
    from wxr_plugin.checkpoints.containers import load_network_options
    from wxr_plugin.inference.packaged import PACKAGED

    folder = work / "options"
    files = {name: folder / f"{name}.yml" for name in ("run", "supervised", "round")}
    values = {
        "work": work,
        "clear": photos / "clear",
        "real": real or photos / "real",
        "truth": None if real else photos / "truth",
        "start": PACKAGED[START],
        "network": load_network_options(PACKAGED[START]),
        "amp": "bf16" if computes_bf16() else None,
        "precision": "bf16" if computes_bf16() else "fp32",
        "raters": _raters(settings),
        "judges": [JUDGE] if settings.judge else [],
        "supervised_file": files["supervised"],
        "round_file": files["round"],
        "supervised": settings.supervised,
        "iterations": settings.iterations,
    }
    for style in STYLES:
        for kind in ("gt", "lq"):
            values[f"{style}_{kind}"] = photos / "held_out" / style / kind
    # JSON is YAML too, whatever the characters of a path.
    quoted = {name: json.dumps(value, default=str) for name, value in values.items()}
    for name, file in files.items():
        template = Template((HERE / f"{name}.yml").read_text(encoding="utf-8"))
        write_text(file, template.substitute(quoted))
    return files["run"]


def _raters(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the raters of the run: the packaged model with two questions, and the judge."""
    raters = {}
    for prompt in ("visibility", "quality"):
        raters[prompt] = {"type": "TransformersRater", "model": "tiny", "prompt": prompt}
    if settings.judge:
        raters[JUDGE] = settings.judge
    return raters


def computes_bf16() -> bool:
    """Return whether the machine has instructions for bf16; a CPU without is slower in it."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "avx512_bf16" in cpu.read_text(encoding="utf-8", errors="replace")
