"""Inputs of stages as flat names and values, to be compared with those of an earlier call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.options.nested import block
from wxr_plugin.vlm.registries import COST
from wxr_plugin.wresvlm import identity
from wxr_plugin.wresvlm.digests import FileDigests
from wxr_plugin.wresvlm.settings import Settings

Values = dict[str, Any]
"""Name of an input -> its value or digest."""

LOADING = frozenset(
    [
        "name",
        "num_worker_per_gpu",
        "prefetch_mode",
        "num_prefetch_queue",
        "pin_memory",
        "persistent_workers",
        "cache",
        "io_backend",
    ]
)
"""Keys of a training set that have no influence on its samples."""
BOOKKEEPING = frozenset({"labels", "prompts_path", "keep", "save_best"})
"""Keys of `train` that the run fills in, or that only concern which files are kept."""


class Inputs:
    """Collector of the inputs of the stages of one run."""

    def __init__(self, settings: Settings, digests: FileDigests):
        self.settings = settings
        self.digests = digests

    def flat(self, name: str, value: Any, left_out: frozenset[str] = frozenset()) -> Values:
        """Return every key below `value` with its value; files by content, models with weights."""
        if not isinstance(value, Mapping):
            return self._leaf(name, value)
        values: Values = {}
        for key, item in value.items():
            if key not in left_out:
                values |= self.flat(f"{name}.{key}", item, left_out)
        return values

    def raters(self, names: list[str]) -> Values:
        """Return the options of the raters with these names."""
        values: Values = {}
        for name in names:
            label = f"raters.{name}"
            options = self.settings.options.raters[name]
            values |= self.flat(label, options, COST)
            # A rater with an empty block has to leave a trace as well.
            values.setdefault(f"{label}.type", "default")
        return values

    def real(self) -> Values:
        """Return digests of the real photos."""
        return self.photos("real", self.settings.real)

    def photos(self, name: str, roots: Any) -> Values:
        """Return digests of the photos of one root, or of one for each weather."""
        by_weather = roots if isinstance(roots, Mapping) else {"": roots}
        values: Values = {}
        for weather, root in by_weather.items():
            label = f"{name} {weather}".strip()
            values[f"{label} photos"] = self.digests.path(root)
        return values

    def crops(self) -> Values:
        """Return the options that fix the boxes of the training crops."""
        crops = self.settings.crops
        return {"boxes_per_image": crops.count, "gt_size": crops.size}

    def restorers(self, specs: list[RestorerSpec]) -> Values:
        """Return tiling and precision, and a digest of each restorer."""
        init = self.settings.options.init
        values: Values = {}
        if init:
            values["init.tile"] = init.tile or "none"
            values["init.overlap"] = init.overlap
            # The default is left out, so that runs made without the option stay finished.
            if init.precision != "fp32":
                values["init.precision"] = init.precision
        for spec in specs:
            values[f"restorer {spec.name}"] = self.restorer(spec)
        return values

    def restorer(self, spec: RestorerSpec) -> str:
        """Return a digest of one restorer; its weights are not read again."""
        digest = self.digests.file(spec.checkpoint)
        network = spec.network or ""
        return f"{digest} {network} {spec.key}".strip()

    def training(self, opt: Mapping[str, Any], start: bool) -> Values:
        """Return the options that the network of a training depends on.

        Its name, validation, log and devices are not among them. `start` says that it starts from
        the network of another stage, which is an input of its own.
        """
        train_set = block(opt, "datasets", "train")
        values = self.flat("datasets.train", train_set, LOADING)
        values |= self.flat("train", block(opt, "train"), BOOKKEEPING | COST)
        for key, value in opt.items():
            is_used = key in ("manual_seed", "plugins") or key.startswith("network_")
            if is_used:
                values |= self.flat(key, value)
        # A resumed training is the same training.
        left_out = {"resume_state"}
        if start:
            left_out.add("pretrain_network_g")
        path = block(opt, "path")
        return values | self.flat("path", path, frozenset(left_out))

    def _leaf(self, name: str, value: Any) -> Values:
        """Return one option: a model with its weights, a file by its content, else the value."""
        key = name.rpartition(".")[2]
        if key in ("model", "clip"):
            # `model` of DepthFeatureLoss names a depth model, elsewhere a vision-language model.
            depth = ".feature_opt." in name
            weights = identity.weights(key, value, self.digests, depth)
            return {name: _plain(value), f"{name} weights": weights}
        is_path = isinstance(value, str) and _is_path(name, key, value)
        if is_path:
            return {name: self.digests.path(value)}
        return {name: _plain(value)}


def _is_path(name: str, key: str, value: str) -> bool:
    """Return whether the option `name`, which ends with `key`, is the path of a file or folder."""
    starts = ("dataroot", "pretrain_network", "meta_info")
    if key.startswith(starts) or key.endswith("_path"):
        return True
    # `weights` may be a name instead of a file.
    if key == "weights" and Path(value).is_file():
        return True
    # An entry of a block of roots: dataroot.rain.
    parent = name.rpartition(".")[0]
    block_name = parent.rpartition(".")[2]
    return block_name.startswith("dataroot")


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it; "none" for None, which would mean an unknown value."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return list(value)
    return value
