"""The demo: packaged photos, and a packaged run file of `wxr wresvlm run`."""

import json
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from wxr_plugin.data import packaged_photos
from wxr_plugin.data.images.io import list_images, write_image
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

HERE = resources.files(__package__)
STYLES = ("default", "shifted")
"""Weather of the held-out pairs: as supervised training draws it, and another, harder one."""


@dataclass(frozen=True)
class Settings:
    """Lengths of the two trainings."""

    warmup: int = 100
    """Supervised iterations, before the vision-language model joins."""
    iterations: int = 150
    """Semi-supervised iterations after them."""


def run(output: Path, real: Path | None, settings: Settings) -> Path:
    """Run every stage below `output` that is not done, and return the path of the report.

    Args:
        output: folder for everything; its index.html is the report of the latest call.
        real: folder of photos, or one with the sub-folders rain, haze and snow; None takes packaged
            photos under a weather setting that supervised training does not draw.
        settings: lengths of the trainings.

    Raises:
        WxrError: no photos in `real`, or a stage fails.
    """
    from wxr_plugin.wresvlm.checking import load_run
    from wxr_plugin.wresvlm.run import Run

    if real:
        check_photos(real)
    output = output.resolve()
    photos = output / "photos"
    write_photos(photos)
    # Every folder of photos has a working folder, so that calls with and without it do not undo
    # each other's stages. Other changes are found by the run itself.
    name = (real.resolve().name or "real") if real else "packaged"
    work = output / "runs" / name
    file = write_options(work, photos, (real or photos / "real").resolve(), settings)
    job = Run(load_run(file), say=lambda line: print(line, flush=True))
    job.make()
    report = job.settings.folder("report") / "index.html"
    write_text(output / "index.html", report.read_text(encoding="utf-8"))
    return output / "index.html"


def check_photos(real: Path) -> None:
    """Raise WxrError unless there are photos in the folder `real`."""
    if not real.is_dir():
        raise WxrError(f"{real}: no such folder; REAL must name a folder of photos")
    if not list_images(real):
        raise WxrError(f"{real}: no photos in this folder")


def write_photos(folder: Path) -> None:
    """Write the packaged photos to clear/, real/ and held_out/ of `folder`, unless it is there."""
    if folder.is_dir():
        return
    # The folder gets its name when it is complete, so a call that was killed leaves none.
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    packaged_photos.write_clean(partial / "clear")
    packaged_photos.write_unlabelled(partial / "real")
    for file, (name, kind, severity, seed, style) in packaged_photos.held_out().items():
        photo = packaged_photos.packaged_photo(name)
        pair = partial / "held_out" / style
        write_image(pair / "gt" / kind / file, photo)
        lq = packaged_photos.weathered(photo, kind, severity, seed, style)
        write_image(pair / "lq" / kind / file, lq)
    partial.rename(folder)


def write_options(work: Path, photos: Path, real: Path, settings: Settings) -> Path:
    """Write the packaged option files with names and lengths filled in; return the run's file."""
    from wxr_plugin.inference.packaged import PACKAGED

    folder = work / "options"
    files = {name: folder / f"{name}.yml" for name in ("run", "supervised", "round")}
    values = {
        "work": work,
        "clear": photos / "clear",
        "real": real,
        "start": PACKAGED["tiny"],
        "supervised_file": files["supervised"],
        "round_file": files["round"],
        "warmup": settings.warmup,
        "iterations": settings.iterations,
    }
    for style in STYLES:
        for kind in ("gt", "lq"):
            values[f"{style}_{kind}"] = photos / "held_out" / style / kind
    # A JSON string is a YAML string too, whatever the characters of a path.
    quoted = {
        name: json.dumps(str(value)) if isinstance(value, Path) else value
        for name, value in values.items()
    }
    for name, file in files.items():
        template = Template((HERE / f"{name}.yml").read_text(encoding="utf-8"))
        write_text(file, template.substitute(quoted))
    return files["run"]
