"""The folder that becomes a repository, written completely or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from wxr_plugin.data.images.decode import eight_bits, over_white
from wxr_plugin.data.images.io import encode
from wxr_plugin.data.images.photo import read_photo
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.loading import load_network
from wxr_plugin.inference.packaged import PACKAGED
from wxr_plugin.publishing import card
from wxr_plugin.publishing.recipe import benchmark_table, pictures, recipe_text, validation_rows
from wxr_plugin.publishing.sources import Source
from wxr_plugin.publishing.weights import blocks_of, write_weights
from wxr_plugin.utils.files import write_bytes, write_text

SIDE = 640
"""Largest side in pixels of a photo in a picture."""
PICTURES = "pictures"
Shown = list[tuple[str, bool]]


class Settings(NamedTuple):
    """Choices of the one who publishes."""

    repo: str
    licence: str | None = None
    guide: str | None = None
    """Name of the guide on the hub, in place of the stored one."""
    benchmark: Path | None = None
    """Folder of a benchmark whose table the card shows."""
    photos: Sequence[Path] = ()
    """Photos that the card shows before and after restoration."""


def write_folder(source: Source, settings: Settings, target: Path) -> Path:
    """Write the files of the repository to a new folder and return it.

    Raises:
        WxrError: `target` is there already, or the source cannot be published.
    """
    with new_folder(target) as folder:
        if source.kind == "restorer":
            _write_restorer(source, settings, folder)
        else:
            _copy(source, settings, folder)
    return target


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` when the block ends without an error."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WxrError(f"{target}: is there already; name another folder, or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
        folder = Path(temporary) / "folder"
        folder.mkdir()
        yield folder
        os.replace(folder, target)


def write_network(folder: Path, network: nn.Module, facts: card.Facts) -> None:
    """Write weights, configuration and card of a network."""
    write_weights(folder, network, facts.blocks)
    write_text(folder / card.NAME, card.restorer_card(facts))


def _write_restorer(source: Source, settings: Settings, folder: Path) -> None:
    spec = source.spec(settings.guide)
    blocks = blocks_of(spec)
    # Loaded, so that only weights that fit their network are published.
    network = load_network(spec.checkpoint, blocks["network_g"], spec.key, spec.strict)
    options = source.options
    if options:
        write_text(folder / card.RECIPE, recipe_text(options))
    experiment = source.experiment
    shown = _experiment_pictures(source, options, folder)
    shown += _restored_pictures(source, settings, folder)
    facts = card.Facts(
        settings.repo,
        network,
        blocks,
        options,
        settings.licence,
        validation_rows(experiment) if experiment else [],
        _benchmark(settings.benchmark),
        shown,
        _notes(source),
        bool(options),
    )
    write_network(folder, network, facts)


def _benchmark(folder: Path | None) -> str:
    if folder is None:
        return ""
    table = benchmark_table(folder)
    if not table:
        raise WxrError(f"{folder}: no report.md with a table; write it with `wxr report {folder}`")
    return table


def _notes(source: Source) -> str:
    """Return the card next to a checkpoint; that of a packaged network is part of the package."""
    file = source.path.with_name(card.NAME)
    is_own = source.experiment is None and (source.name in PACKAGED or file.is_file())
    return file.read_text(encoding="utf-8") if is_own and file.is_file() else ""


def _experiment_pictures(source: Source, options: dict[str, Any], folder: Path) -> Shown:
    if source.experiment is None:
        return []
    shown = []
    for name, after, before in pictures(source.experiment, options):
        shown.append(_write_picture(folder, name, after, before))
    return shown


def _restored_pictures(source: Source, settings: Settings, folder: Path) -> Shown:
    """Restore the photos of the one who publishes."""
    if not settings.photos:
        return []
    restorer = source.spec(settings.guide).load(tile="auto")
    shown = []
    for path in settings.photos:
        photo = read_photo(path).pixels
        shown.append(_write_picture(folder, path.stem, restorer.restore(photo), photo))
    return shown


def _write_picture(
    folder: Path, name: str, after: np.ndarray, before: np.ndarray | None
) -> tuple[str, bool]:
    """Write a result, on the right of its input if that is known, and return its path."""
    parts = [_small(after)]
    if before is not None and before.shape[:2] == after.shape[:2]:
        parts.insert(0, _small(before))
    file = f"{PICTURES}/{name}.jpg"
    (folder / PICTURES).mkdir(exist_ok=True)
    write_bytes(folder / file, encode(np.hstack(parts), ".jpg", quality=90))
    return file, len(parts) == 2


def _small(image: np.ndarray) -> np.ndarray:
    """Return RGB of 8 bits, at most SIDE pixels wide and high."""
    from PIL import Image

    picture = Image.fromarray(over_white(eight_bits(image)))
    picture.thumbnail((SIDE, SIDE))
    return np.asarray(picture.convert("RGB"))


def _copy(source: Source, settings: Settings, folder: Path) -> None:
    """Copy prompts, a guide or the files of a model, and write a card if there is none."""
    if source.kind == "model":
        shutil.copytree(source.path, folder, dirs_exist_ok=True)
    else:
        shutil.copy(source.path, folder / source.path.name)
    text = _TEXTS[source.kind].format(repo=settings.repo, file=source.path.name)
    tags = ["weather-removal", source.kind]
    file = folder / card.NAME
    if not file.is_file():
        write_text(file, card.plain_card(settings.repo, settings.licence, text, tags))
        return
    own = file.read_text(encoding="utf-8")
    # Without metadata the hub knows neither licence nor library.
    if not own.startswith("---"):
        write_text(file, card.front_matter(settings.licence, tags) + own)


_TEXTS = {
    "prompts": """\
Four text prompts (clear, rain, haze, snow) for a frozen CLIP, learnt by `wxr prompts learn`. The \
file names its CLIP.

```bash
wxr prompts check hf://{repo}/{file}
```""",
    "guide": """\
A DA-CLIP, which guides networks of wxr_plugin and names degradations:

```bash
wxr daclip classify photos/ --model hf://{repo}/{file}
```""",
    "model": """\
A model for wxr_plugin. One that rates or describes photos is named in option files as
`rater: {{model: "hf://{repo}"}}`, a CLIP as `clip: "hf://{repo}"`.""",
}
"""Kind of a source -> text of its card."""
