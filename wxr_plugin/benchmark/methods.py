"""Who restores in a benchmark, known but not loaded."""

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from wxr_plugin.benchmark.options import INPUT, BenchmarkOptions, MethodOptions
from wxr_plugin.benchmark.sets import BenchmarkSet
from wxr_plugin.checkpoints.containers import load_network_options
from wxr_plugin.data.images.io import list_images
from wxr_plugin.data.images.store import keyed
from wxr_plugin.errors import WxrError
from wxr_plugin.inference.packaged import NAMES, checkpoint_path
from wxr_plugin.inference.specs import RestorerSpec, method_spec
from wxr_plugin.options import files as option_files
from wxr_plugin.utils.hashing import sha256_of


class Method:
    """One method of a benchmark.

    Attributes: `name`, `title`; `spec` of its network, None where nothing is run; `settings` for
    `spec.load`.

    Raises WxrError: no such method or checkpoint, or one that does not say which network it is for.
    """

    def __init__(self, name: str, options: MethodOptions | None, whole: BenchmarkOptions):
        self.name, self.options = name, options or MethodOptions()
        self.title = self.options.title or ("Input" if name == INPUT else name)
        self.spec = _spec(name, self.options) if self.options.restores else None
        tile, overlap, precision = (
            _first(self.options, whole, key) for key in ("tile", "overlap", "precision")
        )
        if tile and overlap >= tile:
            raise WxrError(f"overlap {overlap} has to be smaller than tile {tile}")
        self.settings: dict[str, Any] = {
            "tile": tile or None,
            "overlap": overlap,
            "precision": precision,
        }

    def takes(self, which: BenchmarkSet) -> bool:
        """Whether it restores this set."""
        return self.options.sets is None or which.name in self.options.sets

    @cached_property
    def sha256(self) -> str:
        """Of the checkpoint, or of the digests of several; empty where nothing is run."""
        return self.spec.sha256() if self.spec else ""

    @cached_property
    def protocol(self) -> dict[str, str]:
        """All that its results depend on but the photo, in words; a change of one makes it restore again."""
        if self.spec is None:
            return {}
        sampling = self.options.sampling
        guide = Path(self.spec.guide or "")
        seen = sha256_of(guide) if guide.is_file() else self.spec.guide
        digest = self.spec.digest(sampling=repr(sampling) if sampling else None, guide=seen)
        whole = {
            "tile": self.settings["tile"] or 0,
            **{key: self.settings[key] for key in ("overlap", "precision")},
        }
        return {
            "checkpoint": self.sha256,
            **{key: str(value) for key, value in whole.items()},
            "network": digest,
        }

    @property
    def network(self) -> str:
        """Type of its network; empty where nothing is run or nobody tells."""
        told = self.spec and (self.spec.network or load_network_options(self.spec.checkpoint))
        return str(told.get("type", "")) if told else ""

    def restored_elsewhere(self, which: BenchmarkSet, only: bool = True) -> dict[str, Path]:
        """Photo's name -> the file that stands for its restoration: the photo itself, or one of `folder`.

        `only` tells that the file has no other set, which may then lie in `folder` itself. Raises
        WxrError if the folder has no image of the set.
        """
        if self.options.folder is None:
            return {photo.name: photo.lq for photo in which.photos}
        root = self._folder(which.name, only)
        files = keyed(root, list_images(root))
        found = {photo.name: files[photo.name] for photo in which.photos if photo.name in files}
        if not found:
            raise WxrError(
                f"{root}: no image of {which.title} in it (looked for {which.photos[0].name}.png)"
            )
        return found

    def _folder(self, name: str, only: bool) -> Path:
        folder = self.options.folder
        if isinstance(folder, Mapping):
            if name not in folder:
                raise WxrError(f"names no folder for the set {name!r}; add {name}: FOLDER")
            return Path(folder[name]).expanduser()
        root = Path(folder).expanduser()
        return root if only and not (root / name).is_dir() else root / name


def _first(own: MethodOptions, whole: BenchmarkOptions, key: str) -> Any:
    value = getattr(own, key)
    return getattr(whole, key) if value is None else value


def _spec(name: str, options: MethodOptions) -> RestorerSpec:
    checkpoint = options.checkpoint and checkpoint_path(options.checkpoint)
    if options.method:
        return _published(options.method, checkpoint or None, options.guide)
    if not checkpoint.is_file():
        raise WxrError(
            f"{options.checkpoint}: no such checkpoint; give a .pth or .safetensors file, or "
            f"{NAMES}"
        )
    opt = _option_file(options.opt) if options.opt else {}
    if not opt and load_network_options(checkpoint) is None:
        raise WxrError(
            f"{checkpoint} does not say which network it is for; add opt: with its option file, or "
            f"method:"
        )
    guide = options.guide or (opt.get("guide") or {}).get("model")
    return RestorerSpec(name, checkpoint, opt.get("network_g"), guide=guide, sde=opt.get("sde"))


def _published(name: str, checkpoint: Path | None, guide: str | None) -> RestorerSpec:
    try:
        return method_spec(name, checkpoint, guide)
    except WxrError as error:  # which speaks of the options of `wxr restore`
        raise WxrError(re.sub(r"--(checkpoint|guide)", r"`\1`", str(error))) from None


def _option_file(path: str) -> dict[str, Any]:
    opt = option_files.load(path)
    if not isinstance(opt.get("network_g"), dict):
        raise WxrError(f"{path} has no network_g block")
    option_files.import_plugins(opt)
    return opt
