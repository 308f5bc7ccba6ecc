"""What stages are made from, as flat names and values that can be compared."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.inference.specs import RestorerSpec
from wxr_plugin.options.nested import block
from wxr_plugin.vlm.registries import COST
from wxr_plugin.wresvlm import identity
from wxr_plugin.wresvlm.digests import FileDigests
from wxr_plugin.wresvlm.settings import Settings

Found = dict[str, Any]

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
"""Keys of a training set that do not change what is trained on."""
KEEPING = frozenset({"labels", "prompts_path", "keep", "save_best"})
"""Keys of `train` that the run fills in, or that only say what is kept."""


class Inputs:
    """Collects the inputs of the stages of one run."""

    def __init__(self, settings: Settings, digests: FileDigests):
        self.settings, self.digests = settings, digests

    def flat(self, name: str, value: Any, left_out: frozenset[str] = frozenset()) -> Found:
        """Every key below `value` with its value; paths by content, models with their weights."""
        if not isinstance(value, Mapping):
            return self._leaf(name, value)
        found: Found = {}
        for key, item in value.items():
            if key not in left_out:
                found |= self.flat(f"{name}.{key}", item, left_out)
        return found

    def raters(self, names: list[str]) -> Found:
        """The raters with these names."""
        found: Found = {}
        for name in names:
            found |= self.flat(f"raters.{name}", self.settings.options.raters[name], COST)
            found.setdefault(f"raters.{name}.type", "default")
        return found

    def real(self) -> Found:
        """The real photos."""
        return self.photos("real", self.settings.real)

    def photos(self, name: str, roots: Any) -> Found:
        """The photos of one root, or of one for each weather."""
        named = roots if isinstance(roots, Mapping) else {"": roots}
        return {
            f"{name} {weather}".strip() + " photos": self.digests.path(root)
            for weather, root in named.items()
        }

    def crops(self) -> Found:
        """The places that training crops come from."""
        return {"boxes_per_image": self.settings.crops.count, "gt_size": self.settings.crops.size}

    def restorers(self, specs: list[RestorerSpec]) -> Found:
        """What restores, by name; its weights and network."""
        init = self.settings.options.init
        how = {"init.tile": init.tile or "none", "init.overlap": init.overlap} if init else {}
        return how | {f"restorer {spec.name}": self.restorer(spec) for spec in specs}

    def restorer(self, spec: RestorerSpec) -> str:
        """A digest of one restorer that does not read the weights again."""
        return f"{self.digests.file(spec.checkpoint)} {spec.network or ''} {spec.key}".strip()

    def training(self, opt: Mapping[str, Any], start: bool) -> Found:
        """What the network of a training depends on: not its name, validation, log, or where it runs.

        `start` says that it starts from another stage's network.
        """
        found = self.flat("datasets.train", block(opt, "datasets", "train"), LOADING)
        found |= self.flat("train", block(opt, "train"), KEEPING | COST)
        for key, value in opt.items():
            if key == "manual_seed" or key.startswith("network_") or key == "plugins":
                found |= self.flat(key, value)
        path = {key: value for key, value in block(opt, "path").items() if key != "resume_state"}
        return found | self.flat(
            "path", path, frozenset({"pretrain_network_g"}) if start else frozenset()
        )

    def _leaf(self, name: str, value: Any) -> Found:
        key = name.rpartition(".")[2]
        if key in ("model", "clip"):
            depth = ".feature_opt." in name
            return {
                name: _plain(value),
                f"{name} weights": identity.weights(key, value, self.digests, depth),
            }
        is_path = name.split(".")[-2].startswith("dataroot") if "." in name else False
        is_path = is_path or (key == "weights" and isinstance(value, str) and Path(value).is_file())
        if (
            is_path
            or key.startswith(("dataroot", "pretrain_network", "meta_info"))
            or key.endswith("_path")
        ):
            return {name: self.digests.path(value) if isinstance(value, str) else _plain(value)}
        return {name: _plain(value)}


def _plain(value: Any) -> Any:
    """`value` as JSON knows it; "none" for None, which would mean that it is not known."""
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value
