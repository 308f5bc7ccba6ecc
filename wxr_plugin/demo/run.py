"""The demo from photos to report: each function is one stage, `run` puts them in order."""

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from string import Template

from wxr_plugin.data import packaged_photos
from wxr_plugin.demo import scores
from wxr_plugin.demo.stages import Stages
from wxr_plugin.errors import WxrError
from wxr_plugin.utils.files import write_text

HERE = resources.files(__package__)
KIND_FOLDERS = ("rain", "haze", "snow")


@dataclass(frozen=True)
class Settings:
    """How long the demo trains and what it shows."""

    warmup: int = 100
    """Supervised iterations before the vision-language model joins."""
    iterations: int = 150
    """Iterations after that: once semi-supervised and once, for comparison, supervised only."""
    shown: int = 12
    """Unlabelled photos on the page, at the most."""
    seed: int = 0
    """Seed of both trainings."""


@dataclass(frozen=True)
class Places:
    """Folders of one demo run."""

    work: Path
    real: Path

    @property
    def clean(self) -> Path:
        """LMDB of the clean training photos."""
        return self.work / "clean.lmdb"

    @property
    def held_out(self) -> Path:
        """Pairs (lq/, gt/) that training never sees."""
        return self.work / "held_out"

    def real_classes(self) -> dict[str, Path]:
        """LMDBs of the unlabelled photos by weather, or under "all" when they are not sorted into weathers."""
        return {name: self.work / f"real_{name}.lmdb" for name in self.real_folders()}

    def real_folders(self) -> dict[str, Path]:
        """The unlabelled photos' folders: sub-folders rain, haze, snow where there are any, else the folder itself."""
        named = {kind: self.real / kind for kind in KIND_FOLDERS if (self.real / kind).is_dir()}
        return named or {"all": self.real}

    def checkpoint(self, name: str) -> Path:
        """The network that the training `name` ended with."""
        return self.work / "experiments" / name / "models" / "net_g_latest.pth"


def run(output: Path, real: Path | None, settings: Settings) -> Path:
    """Run every stage that is not done yet below `output` and return the report's path.

    `real` is a folder of photos (or one with sub-folders rain, haze, snow); None takes packaged
    photos under a weather setting that training does not draw. Raises WxrError when a stage fails.
    """
    work = work_folder(output, real, settings)
    work.mkdir(parents=True, exist_ok=True)
    places = Places(work.resolve(), (real or work / "unlabelled").resolve())
    stages = Stages(work)
    stages.run("photos", lambda: write_photos(places, real is None))
    stages.run("lmdb", lambda: build_lmdbs(places))
    stages.run("ratings", lambda: rate(places))
    stages.run("prompts", lambda: learn_prompts(places))
    stages.run("warm_up", lambda: train(places, "warm_up", settings.warmup, settings.seed))
    for name in scores.NETWORKS:
        stages.run(name, lambda name=name: train(places, name, settings.iterations, settings.seed))
    stages.run("restoration", lambda: scores.measure(places))
    page = scores.write_report(places, asdict(settings), real)
    write_text(output / "index.html", page.read_text(encoding="utf-8"))
    return output / "index.html"


def write_photos(places: Places, stand_in: bool) -> None:
    """Write the packaged photos: clean ones, held-out pairs, and the stand-in for real photos when asked."""
    packaged_photos.write_clean(places.work / "clean")
    packaged_photos.write_held_out(places.held_out)
    if stand_in:
        packaged_photos.write_unlabelled(places.real)


def build_lmdbs(places: Places) -> None:
    """Turn the clean and the unlabelled photos into LMDBs."""
    wxr("lmdb", "build", places.work / "clean", places.clean)
    for name, folder in places.real_folders().items():
        wxr("lmdb", "build", folder, places.real_classes()[name], "--max-bad", 1000)


def rate(places: Places) -> None:
    """Rate every unlabelled photo with the packaged vision-language model."""
    for lmdb in places.real_classes().values():
        wxr("label", "rate", lmdb, "-o", places.work / "labels.lmdb")


def learn_prompts(places: Places) -> None:
    """Learn the four weather prompts on clean photos, synthetic weather and, where sorted, the unlabelled photos."""
    real = [
        item
        for name, lmdb in places.real_classes().items()
        if name != "all"
        for item in (f"--{name}", lmdb)
    ]
    arguments = ["--clear", places.clean, "--synthetic", places.clean, *real]
    wxr(
        "prompts", "learn", *arguments, "--crop-size", 96, "-o", places.work / "prompts.safetensors"
    )


def train(places: Places, name: str, iterations: int, seed: int) -> None:
    """Train with BasicSR, resuming a run that was killed: `warm_up` from the packaged network, the others from that."""
    from wxr_plugin.checkpoints.containers import load_network_options
    from wxr_plugin.inference.restorer import TINY

    roots = {weather: str(lmdb) for weather, lmdb in places.real_classes().items()}
    template = HERE / ("semi_supervised.yml" if name == "semi_supervised" else "supervised.yml")
    text = Template(template.read_text(encoding="utf-8")).substitute(
        name=name,
        clean=places.clean,
        real=json.dumps(roots.get("all", roots)),
        network=json.dumps(load_network_options(TINY)),
        start=TINY if name == "warm_up" else places.checkpoint("warm_up"),
        prompts=places.work / "prompts.safetensors",
        iterations=iterations,
        seed=seed,
    )
    file = places.work / "options" / f"{name}.yml"
    write_text(file, text)
    command = [sys.executable, "-m", "wxr_plugin.train", "-opt", str(file), "--auto_resume"]
    if subprocess.run(command, cwd=places.work).returncode:
        raise WxrError(
            f"{name} training failed; its log is below {places.work / 'experiments' / name}"
        )


def wxr(*arguments: object) -> None:
    """Call the `wxr` command in this process; a photo that fails is reported by it and does not end the demo."""
    from wxr_plugin.cli import main as cli

    words = [str(word) for word in arguments]
    if cli.main(words) not in (0, 1):
        raise WxrError(f"wxr {' '.join(words)} failed")


def photo_list(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of the photos in `folder`; WxrError if there are none."""
    from wxr_plugin.data.images.io import list_images

    if not folder.is_dir():
        raise WxrError(f"{folder}: no such folder; REAL must name a folder of photos")
    found = [(str(file.relative_to(folder)), file.stat().st_size) for file in list_images(folder)]
    if not found:
        raise WxrError(f"{folder}: no photos in this folder")
    return found


def work_folder(output: Path, real: Path | None, settings: Settings) -> Path:
    """The folder of one run: another one for other photos, settings or another version of what the package ships."""
    shipped = [
        file
        for folder in (HERE, HERE.parent / "assets")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    ]
    digests = [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in shipped if file.suffix != ".pyc"
    ]
    inputs = [digests, asdict(settings), real and [str(real.resolve()), photo_list(real)]]
    key = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:8]
    return output / "runs" / f"{real.resolve().name if real else 'packaged'}-{key}"
