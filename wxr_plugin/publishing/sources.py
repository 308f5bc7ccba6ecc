"""What is published: a checkpoint, an experiment, prompts, or the model of a rater."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

from safetensors import SafetensorError, safe_open

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.conditioning.prompts import FORMAT
from wxr_plugin.errors import OptionError, WxrError
from wxr_plugin.hub import fetched_file
from wxr_plugin.inference.packaged import NAMES, PACKAGED
from wxr_plugin.inference.specs import RestorerSpec, checkpoint_spec
from wxr_plugin.options import files as option_files

CONFIGS = ("config.json", "open_clip_config.json")
PREFERRED = ("net_g_best.pth", "net_g_latest.pth")


class Source(NamedTuple):
    """Files that become a repository."""

    kind: Literal["restorer", "prompts", "guide", "model"]
    """`guide` is a DA-CLIP; `model` is one of transformers or open_clip, with its folder."""
    name: str
    """Name for the card."""
    path: Path
    """File of the weights, or folder of a model."""
    experiment: Path | None = None
    """Folder of the training, if there is one."""
    option_file: Path | None = None
    """Option file of the training."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of the training; empty without a file."""
        return option_files.load(self.option_file) if self.option_file else {}

    def spec(self, guide: str | None = None) -> RestorerSpec:
        """Return the restorer of the weights.

        Raises:
            WxrError: the option file of the training cannot be used.
        """
        # What the checkpoint stores comes before the option file, which may have been edited.
        own = checkpoint_spec(self.name, self.path, None, guide)
        if self.option_file is None or load_network_options(self.path):
            return own
        return checkpoint_spec(self.name, self.path, self.option_file, guide)


def find_source(place: str, option_file: Path | None = None) -> Source:
    """Return what `place` names: a packaged network, a file, or a folder.

    Args:
        place: "tiny" or "small", a checkpoint, a file of `wxr prompts learn`, experiments/NAME, or
            the folder of a model of transformers.
        option_file: option file of a checkpoint outside an experiment's folder.

    Raises:
        WxrError: there is nothing, or nothing that can be published.
    """
    if place in PACKAGED:
        return Source("restorer", place, PACKAGED[place])
    path = fetched_file(place)
    if path.is_dir():
        return _of_folder(path, option_file)
    if not path.is_file():
        raise WxrError(
            f"{place}: no such file or folder; give a checkpoint, experiments/NAME, or {NAMES}"
        )
    if path.suffix in (".yml", ".yaml"):
        raise WxrError(f"{place}: an option file; give the checkpoint, and this file with --opt")
    if _is_prompts(path):
        return Source("prompts", path.stem, path)
    experiment = path.parent.parent if path.parent.name == "models" else None
    return _of_checkpoint(path, experiment, option_file)


def _of_folder(folder: Path, option_file: Path | None) -> Source:
    models = folder / "models"
    for name in PREFERRED:
        if (models / name).is_file():
            return _of_checkpoint(models / name, folder, option_file)
    saved = sorted(models.glob("net_g_*.pth"), key=lambda path: path.stat().st_mtime)
    if saved:
        return _of_checkpoint(saved[-1], folder, option_file)
    if any((folder / name).is_file() for name in CONFIGS):
        return Source("model", folder.resolve().name, folder)
    raise WxrError(
        f"{folder}: neither an experiment (models/net_g_*.pth) nor a model of transformers or "
        "open_clip (config.json); give one of these, or a checkpoint"
    )


def _of_checkpoint(path: Path, experiment: Path | None, option_file: Path | None) -> Source:
    name = experiment.resolve().name if experiment else path.stem
    network = load_network_options(path) or {}
    if network.get("type") == "DaCLIP":
        return Source("guide", name, path)
    found = option_file or (_option_file(experiment) if experiment else None)
    return Source("restorer", name, path, experiment, found)


def _option_file(experiment: Path) -> Path | None:
    """Return the copy of the option file that BasicSR puts into the folder of a training."""
    for path in sorted(experiment.glob("*.yml")):
        try:
            if "network_g" in option_files.load(path, warn=False):
                return path
        except OptionError:
            continue
    return None


def _is_prompts(path: Path) -> bool:
    if path.suffix != ".safetensors":
        return False
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except SafetensorError:
        return False  # loading it as a checkpoint reports the problem
