"""Names of restorers: a checkpoint, an option file, or a published method."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.conditioning.instructions import embed_instruction
from wxr_plugin.errors import WxrError
from wxr_plugin.hub import fetched_file, is_reference, read_reference
from wxr_plugin.inference.packaged import NAMES, PACKAGED, checkpoint_path
from wxr_plugin.inference.restorer import Restorer
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.hashing import sha256_of
from wxr_plugin.zoo.files import RowFiles, find_files, read_weights
from wxr_plugin.zoo.places import further_file
from wxr_plugin.zoo.rows import INSTRUCTION_HEAD, find_row, rows


class RestorerSpec(msgspec.Struct, frozen=True):
    """A restorer that is not loaded yet."""

    name: str
    """Name in tables and labels."""
    checkpoint: Path
    """File of the weights, the first of several."""
    network: dict[str, Any] | None = None
    """The `network_g` block; None if the checkpoint has it."""
    key: str | None = "params_ema"
    """Entry of the weights file; if it is missing, the entry that is there."""
    strict: bool = True
    """Whether the file must hold every parameter and no other."""
    guide: str | None = None
    """Name of the DA-CLIP or CLIP that steers it; None if the checkpoint has it or none does."""
    sde: dict[str, Any] | None = None
    """Block of the equation that it samples; None if the checkpoint has it or there is none."""
    published: RowFiles | None = None
    """Files of a published method; None for any other restorer."""
    row: str | None = None
    """Name of its row in the zoo."""

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of weights, without duplicates."""
        if self.published is None:
            return (self.checkpoint,)
        return tuple(dict.fromkeys(self.published.files))

    def sha256(self) -> str:
        """Return the SHA-256 of the file of weights; of several files, that of their digests."""
        digests = [sha256_of(path) for path in self.files]
        if len(digests) == 1:
            return digests[0]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def digest(self, **settings: Any) -> str:
        """Return 12 hex digits of weights, network and `settings` (tile, overlap).

        Restorers with equal digests give equal results.
        """
        parts = [
            self.sha256(),
            self.network,
            self.key,
            self.strict,
            *filter(None, [self.guide, self.sde]),
            settings,
        ]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def load(self, **settings: Any) -> Restorer:
        """Load and return the restorer; `settings` go to its constructor.

        Raises the errors of `Restorer.from_checkpoint`.
        """
        settings = {"guide": self.guide, "sde": self.sde, **settings}
        if self.published and self.row:
            settings["weights"] = read_weights(find_row(self.row), self.published)
        return Restorer.from_checkpoint(
            self.checkpoint, self.network, self.key, self.strict, **settings
        )


def read_spec(text: str) -> RestorerSpec:
    """Return the restorer that `text` names.

    `text` is PATH or NAME=PATH, "tiny" or "small" for a packaged one, or a published method of
    `wxr zoo list` whose files are in place. PATH, which may be a reference to the hub
    (hf://OWNER/NAME[@REVISION][/FILE]), is a checkpoint (.pth, .safetensors) that stores
    its network, or an option file (.yml), for training or testing, with `network_g` and
    `path.pretrain_network_g`, whose plug-ins are imported. The default NAME is that of the file.

    Raises:
        WxrError: there is no such file, or it does not name a network or weights.
    """
    name, equals, place = text.partition("=")
    # A path may have an equals sign in it, too.
    if not equals or "/" in name or Path(text).is_file():
        name, place = "", text
    # A file or folder comes before a published method of the same name.
    if place in rows() and not Path(place).exists():
        return _published(place, name)
    path = checkpoint_path(place)
    name = name or _short_name(place, path)
    if not path.is_file():
        problem = "a folder" if path.is_dir() else "no such file"
        raise WxrError(
            f"{place}: {problem}; a restorer is a checkpoint (.pth, .safetensors), an option file, "
            f"{NAMES}, a published method (wxr zoo list) or hf://OWNER/NAME"
        )
    if path.suffix.lower() in (".yml", ".yaml"):
        return _of_options(name, path)
    option_files.import_plugins({})  # installed ones: the network may be one of theirs
    if load_network_options(path) is None:
        raise WxrError(
            f"{path} does not say which network it is for; give an option file (.yml) with its "
            "network_g and with path.pretrain_network_g instead"
        )
    return RestorerSpec(name, path)


def _short_name(place: str, path: Path) -> str:
    """Return the name of a restorer that was given none; files on the hub have the same names."""
    if place in PACKAGED:
        return place
    if is_reference(place):
        return read_reference(place).repo.rpartition("/")[2]
    return path.stem


def _published(method: str, name: str) -> RestorerSpec:
    return msgspec.structs.replace(method_spec(method), name=name or method)


def _of_options(name: str, path: Path) -> RestorerSpec:
    opt = option_files.load_with_network(path)
    place = opt.get("path") or {}
    weights = place.get("pretrain_network_g")
    if not weights:
        raise WxrError(
            f"{path} does not say which weights to restore with: set path.pretrain_network_g"
        )
    checkpoint = checkpoint_path(weights)
    if not checkpoint.is_file():
        raise WxrError(f"{path}: path.pretrain_network_g: {weights}: no such file")
    return RestorerSpec(
        name,
        checkpoint,
        opt["network_g"],
        key=place.get("param_key_g", "params"),
        strict=place.get("strict_load_g", True),
        guide=(opt.get("guide") or {}).get("model"),
        sde=opt.get("sde"),
    )


def checkpoint_spec(
    name: str, checkpoint: str | Path, opt_file: str | Path | None, guide: str | None = None
) -> RestorerSpec:
    """Return the restorer of a checkpoint, or "tiny" or "small" for a packaged one.

    Args:
        name: its name.
        checkpoint: its file, or a reference to it on the hub.
        opt_file: an option file that names network, guide and equation; None if the checkpoint
            does.
        guide: the DA-CLIP or CLIP in place of that of the option file.

    Raises:
        WxrError: the option file cannot be read, or has no `network_g` block.
    """
    path = checkpoint_path(checkpoint)
    if opt_file is None:
        return RestorerSpec(name, path, guide=guide)
    opt = option_files.load_with_network(opt_file)
    guide = guide or (opt.get("guide") or {}).get("model")
    return RestorerSpec(name, path, opt["network_g"], guide=guide, sde=opt.get("sde"))


def method_spec(
    name: str,
    checkpoint: Path | Sequence[Path] | None = None,
    guide: str | None = None,
    words: str | None = None,
) -> RestorerSpec:
    """Return the restorer of a published method, with its official files from WEIGHTS by default.

    Args:
        name: name of a row of the zoo.
        checkpoint: its file, its files, or a folder that holds them.
        guide: the DA-CLIP of a method that has one.
        words: the instruction of a method that takes one (default: that of the row).

    Raises:
        WxrError: there is no such method, or a file is missing; names the file and its source.
        CheckpointError: a file is for another network; names both.
    """
    row = find_row(name)
    given = [checkpoint] if isinstance(checkpoint, str | Path) else list(checkpoint or ())
    files = find_files(row, [fetched_file(path) for path in given])
    folder = files.files[0].parent
    if row.guide and guide is None:
        guide = str(further_file(row, row.guide, folder, "--guide"))
    if row.instruction:
        head = further_file(row, INSTRUCTION_HEAD, folder)
        instruction = embed_instruction(words or row.instruction, head)
        files = files._replace(network=files.network | {"instruction": instruction})
    elif words:
        raise WxrError(f"{name} takes no instruction; leave it out")
    return RestorerSpec(
        name,
        files.files[0],
        files.network,
        None,
        guide=guide,
        sde=row.sde,
        published=files,
        row=name,
    )
