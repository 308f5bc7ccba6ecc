"""Naming a restorer in a few words: a checkpoint, or an option file that says which network and which weights."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import NAMES, PACKAGED, checkpoint_path
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.hashing import sha256_of
from wxr_plugin.zoo.files import WEIGHTS, Found, find_files, read_weights
from wxr_plugin.zoo.rows import Row, find_row, rows


class RestorerSpec(msgspec.Struct, frozen=True):
    """A restorer that is known but not loaded."""

    name: str
    """What it is called in tables and labels."""
    checkpoint: Path
    """The weights; of several files the first."""
    network: dict[str, Any] | None = None
    """The `network_g` block; None where the checkpoint has it."""
    key: str | None = "params_ema"
    """Entry of the weights file; another one is taken where this is not there."""
    strict: bool = True
    """Every parameter must be in the file, and no other."""
    guide: str | None = None
    """Name of the DA-CLIP or CLIP that steers it; None where the checkpoint tells, or nothing does."""
    sde: dict[str, Any] | None = None
    """The block of the equation that it samples; None where the checkpoint has it, or there is none."""

    found: Found | None = None
    """The files of a published method; None for any other restorer."""
    row: str | None = None
    """Name of its row in the zoo."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of weights, each once."""
        return tuple(dict.fromkeys(self.found.files)) if self.found else (self.checkpoint,)

    def sha256(self) -> str:
        """Of the file of weights; of several files, of their digests in a row."""
        digests = [sha256_of(path) for path in self.files]
        return (
            digests[0]
            if len(digests) == 1
            else hashlib.sha256("".join(digests).encode()).hexdigest()
        )

    def digest(self, **settings: Any) -> str:
        """12 hex digits of all that its results depend on: weights, network, and `settings` (tile, overlap)."""
        parts = [
            self.sha256(),
            self.network,
            self.key,
            self.strict,
            *filter(None, [self.guide, self.sde]),
            settings,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[
            :12
        ]

    def load(self, **settings: Any) -> Restorer:
        """The restorer itself; `settings` go to its constructor.

        Raises as `Restorer.from_checkpoint`.
        """
        settings = {"guide": self.guide, "sde": self.sde, **settings}
        if self.found:
            settings["weights"] = read_weights(find_row(self.row), self.found)
        return Restorer.from_checkpoint(
            self.checkpoint, self.network, self.key, self.strict, **settings
        )


def read_spec(text: str) -> RestorerSpec:
    """The restorer that `text` names: PATH or NAME=PATH, "tiny" or "small" for a packaged one, or a
    published method.

    A published method is a name of `wxr zoo list` whose files are where they belong. PATH is a
    checkpoint (.pth, .safetensors) that knows its network, or an option file (.yml), for training
    or testing, with `network_g` and `path.pretrain_network_g`, whose plug-ins are imported. Without
    NAME it is called after the file.

    Raises:
        WxrError: there is no such file, or it does not say which network or which weights.
    """
    name, equals, place = text.partition("=")
    if not equals or "/" in name or Path(text).is_file():
        name, place = "", text
    if place in rows() and not Path(place).exists():
        return _published(place, name)
    path = checkpoint_path(place)
    name = name or (place if place in PACKAGED else path.stem)
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise WxrError(
            f"{place}: {what}; a restorer is a checkpoint (.pth, .safetensors), an option file, "
            f"{NAMES} or a "
            "published method (wxr zoo list)"
        )
    if path.suffix.lower() in (".yml", ".yaml"):
        return _of_options(name, path)
    option_files.import_plugins({})  # installed ones: the network may be one of theirs
    if load_network_options(path) is None:
        raise WxrError(
            f"{path} does not say which network it is for; give an option file (.yml) with its "
            f"network_g and with "
            "path.pretrain_network_g instead"
        )
    return RestorerSpec(name, path)


def _published(method: str, name: str) -> RestorerSpec:

    return msgspec.structs.replace(method_spec(method), name=name or method)


def _of_options(name: str, path: Path) -> RestorerSpec:
    opt = option_files.load(path)
    network, place = opt.get("network_g"), opt.get("path") or {}
    if not isinstance(network, dict):
        raise WxrError(f"{path} has no network_g block")
    weights = place.get("pretrain_network_g")
    if not weights:
        raise WxrError(
            f"{path} does not say which weights to restore with: set path.pretrain_network_g"
        )
    checkpoint = Path(weights).expanduser()
    if not checkpoint.is_file():
        raise WxrError(f"{path}: path.pretrain_network_g: {weights}: no such file")
    option_files.import_plugins(opt)
    guide, key, strict = (
        opt.get("guide") or {},
        place.get("param_key_g", "params"),
        place.get("strict_load_g", True),
    )
    return RestorerSpec(name, checkpoint, network, key, strict, guide.get("model"), opt.get("sde"))


HEAD = "lm_instructir-7d.pt"
"""InstructIR's second file: from embedded words to what its network takes."""


def method_spec(
    name: str,
    checkpoint: Path | Sequence[Path] | None = None,
    guide: str | None = None,
    words: str | None = None,
) -> RestorerSpec:
    """The restorer of a published method, with its official files from WEIGHTS unless others are given.

    Args:
        name: of a row of the zoo.
        checkpoint: its file, or several, or a folder that holds them.
        guide: the DA-CLIP of a method that has one.
        words: the instruction of a method that takes one, in place of the row's.

    Raises:
        WxrError: there is no such method, or a file is missing: names the file and where it comes
            from.
        CheckpointError: a file is for another network; names both sides.
    """
    row = find_row(name)
    given = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint or ())
    found = find_files(row, [Path(path).expanduser() for path in given])
    if row.guide and guide is None:
        guide = str(_beside(row, row.guide, found, "--guide"))
    if row.instruction:
        found = _instructed(row, found, words or row.instruction)
    elif words:
        raise WxrError(f"{name} takes no instruction; leave it out")
    return RestorerSpec(
        name, found.files[0], found.network, None, guide=guide, sde=row.sde, found=found, row=name
    )


def _beside(row: Row, name: str, found: Found, option: str | None = None) -> Path:
    """A further file of a row: with the others, or in WEIGHTS."""
    for folder in (found.files[0].parent, WEIGHTS):
        if (folder / name).is_file():
            return folder / name
    how = f", or say with {option} where it is" if option else ""
    raise WxrError(f"{WEIGHTS / name}: no such file; fetch it from {row.source}{how}")


def _instructed(row: Row, found: Found, words: str) -> Found:
    from wxr_plugin.conditioning.instructions import embed_instruction

    head = _beside(row, HEAD, found)
    return found._replace(network=found.network | {"instruction": embed_instruction(words, head)})
