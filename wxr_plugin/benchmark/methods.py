"""The methods of a benchmark, whose networks are not loaded yet."""

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
from wxr_plugin.hub import is_reference, pinned
from wxr_plugin.inference.packaged import NAMES, checkpoint_path
from wxr_plugin.inference.specs import RestorerSpec, checkpoint_spec, method_spec
from wxr_plugin.utils.hashing import sha256_of


class Method:
    """One method of a benchmark.

    Args:
        name: its name in the option file.
        options: its block in the option file; None for the input.
        benchmark: the option file, whose settings hold where `options` has none.

    Attributes:
        title: its name in tables.
        spec: its network; None if no network is run.
        settings: arguments of `spec.load`.

    Raises:
        WxrError: no such method or checkpoint, or the checkpoint does not name its network.
    """

    def __init__(self, name: str, options: MethodOptions | None, benchmark: BenchmarkOptions):
        self.name = name
        self.options = options or MethodOptions()
        default_title = "Input" if name == INPUT else name
        self.title = self.options.title or default_title
        self.spec = _spec(name, self.options) if self.options.restores else None
        tile = _setting(self.options, benchmark, "tile")
        overlap = _setting(self.options, benchmark, "overlap")
        if tile and overlap >= tile:
            raise WxrError(f"overlap {overlap} has to be smaller than tile {tile}")
        self.settings: dict[str, Any] = {
            "tile": tile or None,
            "overlap": overlap,
            "precision": _setting(self.options, benchmark, "precision"),
        }

    def takes(self, test_set: BenchmarkSet) -> bool:
        """Return whether the method restores `test_set`."""
        return self.options.sets is None or test_set.name in self.options.sets

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the checkpoint, or of the digests of several; empty if no network is run."""
        return self.spec.sha256() if self.spec else ""

    @cached_property
    def protocol(self) -> dict[str, str]:
        """All that results depend on except the photo; if one value changes, all are made again."""
        if self.spec is None:
            return {}
        sampling = None
        if self.options.sampling:
            sampling = repr(self.options.sampling)
        # A guide is a name or a file; of a file the content counts.
        guide = self.spec.guide
        if is_reference(guide):
            guide = str(pinned(str(guide)))
        file = Path(guide or "")
        if file.is_file():
            guide = sha256_of(file)
        return {
            "checkpoint": self.sha256,
            "tile": str(self.settings["tile"] or 0),
            "overlap": str(self.settings["overlap"]),
            "precision": str(self.settings["precision"]),
            "network": self.spec.digest(sampling=sampling, guide=guide),
        }

    @property
    def network(self) -> str:
        """Type of the network; empty if no network is run or its type is unknown."""
        if self.spec is None:
            return ""
        options = self.spec.network or load_network_options(self.spec.checkpoint)
        if not options:
            return ""
        return str(options.get("type", ""))

    def existing_images(self, test_set: BenchmarkSet, only_set: bool = True) -> dict[str, Path]:
        """Return the files that stand for restorations: the photos themselves, or a folder's.

        They are keyed by the name of the photo.

        Args:
            test_set: the set.
            only_set: whether the benchmark has no other set; its images may then lie in `folder`
                itself.

        Raises:
            WxrError: the folder has no image of the set.
        """
        photos = test_set.photos
        if self.options.folder is None:
            return {photo.name: photo.lq for photo in photos}
        root = self._folder(test_set.name, only_set)
        files = keyed(root, list_images(root))
        images = {photo.name: files[photo.name] for photo in photos if photo.name in files}
        if not images:
            raise WxrError(
                f"{root}: no image of {test_set.title} in it (looked for {photos[0].name}.png)"
            )
        return images

    def _folder(self, name: str, only_set: bool) -> Path:
        folder = self.options.folder
        if isinstance(folder, Mapping):
            if name not in folder:
                raise WxrError(f"names no folder for the set {name!r}; add {name}: FOLDER")
            return Path(folder[name]).expanduser()
        root = Path(folder).expanduser()
        of_set = root / name
        # With one set, its images may lie in the folder itself.
        if only_set and not of_set.is_dir():
            return root
        return of_set


def _setting(options: MethodOptions, benchmark: BenchmarkOptions, key: str) -> Any:
    """Return a setting of the method, that of the benchmark if the method has none."""
    value = getattr(options, key)
    if value is None:
        value = getattr(benchmark, key)
    return value


def _spec(name: str, options: MethodOptions) -> RestorerSpec:
    checkpoint = options.checkpoint and checkpoint_path(options.checkpoint)
    if options.method:
        return _published(options.method, checkpoint or None, options.guide)
    if not checkpoint.is_file():
        raise WxrError(
            f"{options.checkpoint}: no such checkpoint; give a .pth or .safetensors file, or "
            f"{NAMES}"
        )
    if not options.opt and load_network_options(checkpoint) is None:
        raise WxrError(
            f"{checkpoint} does not say which network it is for; add opt: with its option file, or "
            f"method:"
        )
    return checkpoint_spec(name, checkpoint, options.opt, options.guide)


def _published(name: str, checkpoint: Path | None, guide: str | None) -> RestorerSpec:
    try:
        return method_spec(name, checkpoint, guide)
    except WxrError as error:  # its message names options of `wxr restore`
        raise WxrError(re.sub(r"--(checkpoint|guide)", r"`\1`", str(error))) from None
