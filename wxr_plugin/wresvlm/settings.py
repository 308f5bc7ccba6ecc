"""A run's options together with those of the training files that it names, and where everything lies."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wxr_plugin.labels.sources import Crops
from wxr_plugin.options import files as option_files
from wxr_plugin.options.nested import block
from wxr_plugin.pseudo_labelling.options import needs_labels
from wxr_plugin.wresvlm.options import REAL, DataOptions, RunOptions, TrainingFile

Options = dict[str, Any]


class Settings:
    """What every stage reads.

    Attributes: `options`; `work`, the absolute working folder; `train` and `supervised`, the
    options of the training files with the run's photos in them, the latter None without one;
    `real`, roots of the real photos by weather, or one root where they are not sorted; `clear`, the
    root of clear photos; `crops`, the fixed places of training.

    Raises:
        OptionError: a training file cannot be read, or a change of force_yml does not fit.
    """

    def __init__(self, options: RunOptions):
        self.options, self.work = options, options.folder.resolve()
        self.train = training_options(options.train, options.data, options.plugins)
        self.supervised = options.supervised and training_options(
            options.supervised, options.data, options.plugins
        )
        data = block(self.train, "datasets", "train")
        self.real = sorted_roots(options.data.real or block(data, "real").get("dataroot"))
        self.clear = options.data.clear or block(data, "paired").get("dataroot_gt")
        size = block(data, "real").get("gt_size") or data.get("gt_size") or 1
        self.crops = Crops(int(block(data, "real").get("boxes_per_image", 4)), int(size))

    @property
    def losses(self) -> Mapping[str, Any]:
        """The `train` block of the training file."""
        return block(self.train, "train")

    @property
    def uses_prompts(self) -> bool:
        """Whether a loss needs weather prompts."""
        return bool(self.losses.get("weather_prompt_opt"))

    @property
    def uses_texts(self) -> bool:
        """Whether a loss needs descriptions."""
        return bool(self.losses.get("semantic_opt"))

    @property
    def uses_labels(self) -> bool:
        """Whether a loss compares with stored pseudo-labels."""
        return needs_labels(self.losses)

    @property
    def clip(self) -> str:
        """The CLIP of the weather prompts."""
        return block(self.losses, "weather_prompt_opt").get("clip", "tiny")

    @property
    def device(self) -> str | None:
        """Where prompts are learnt: `launch.device`, the CPU if the training has num_gpu: 0, else None."""
        return self.options.launch.device or ("cpu" if self.train.get("num_gpu") == 0 else None)

    def folder(self, stage: str) -> Path:
        """The folder of a stage."""
        return self.work / stage

    def labels(self, stage: str) -> Path:
        """The label store of a stage."""
        return self.folder(stage) / "labels.lmdb"

    def prompts(self, stage: str) -> Path:
        """The weather prompts of a stage."""
        return self.folder(stage) / "prompts.safetensors"

    def experiment(self, stage: str) -> Path:
        """The folder of BasicSR's of a training."""
        return self.folder(stage) / "experiments" / self.training_name(stage)

    def training_name(self, stage: str) -> str:
        """What a training is called in logs."""
        return f"{self.options.name}_{stage}"

    def network(self, stage: str) -> Path:
        """The network that a training ended with."""
        return self.experiment(stage) / "models" / "net_g_latest.pth"

    def supervised_options(self) -> Options:
        """The options of the supervised training."""
        return {**copy.deepcopy(self.supervised), "name": self.training_name("supervised")}

    def round_options(self, number: int, start: str | None, prompts: str | None) -> Options:
        """The options of round `number`, from 1, which goes on from the network of the stage `start`.

        A round after the first keeps the teacher that it starts from, and draws its photos in
        another order.
        """
        stage, now = f"round_{number}", self.options.rounds[number - 1]
        opt = copy.deepcopy(self.train)
        option_files.override(opt, now.force_yml)
        opt["name"] = self.training_name(stage)
        labels = str(self.labels(stage)) if self.uses_labels or self.uses_texts else None
        filled = {
            "total_iter": now.iterations,
            "rater": dict(self.options.raters[now.rater]),
            "labels": labels,
        }
        opt["train"] = {**block(opt, "train"), **filled}
        if prompts:
            opt["train"]["weather_prompt_opt"]["prompts_path"] = str(self.prompts(prompts))
        if start:
            opt["path"] = {
                **block(opt, "path"),
                "pretrain_network_g": str(self.network(start)),
                "param_key_g": "params",
            }
        if number > 1:
            opt["train"]["ema_warmup"] = False
            opt |= (
                {"manual_seed": opt["manual_seed"] + number - 1}
                if opt.get("manual_seed") is not None
                else {}
            )
        return opt


def training_options(file: TrainingFile, data: DataOptions, plugins: list[str]) -> Options:
    """The options of a training file with the run's photos and plug-ins in it."""
    opt = option_files.load(file.opt, file.force_yml)
    if plugins:
        opt["plugins"] = list(dict.fromkeys([*plugins, *(opt.get("plugins") or [])]))
    train = opt.get("datasets", {}).get("train") if isinstance(opt.get("datasets"), dict) else None
    if isinstance(train, dict):
        _put_photos(train, data)
    return opt


def _put_photos(train: Options, data: DataOptions) -> None:
    """Put the run's roots into the block of a training set, semi-supervised or paired."""
    paired = train.get("paired") if isinstance(train.get("paired"), dict) else train
    if data.gt:
        paired["dataroot_gt"] = data.gt
    if data.lq:
        paired["dataroot_lq"] = data.lq
        paired.pop("synthetic", None)
    if data.real and isinstance(train.get("real"), dict):
        train["real"]["dataroot"] = sorted_roots(data.real)
    if data != DataOptions():
        roots = [
            paired.get("dataroot_gt"),
            paired.get("dataroot_lq"),
            *_each(block(train, "real").get("dataroot")),
        ]
        is_lmdb = all(str(root).endswith(".lmdb") for root in roots if root)
        train["io_backend"] = {"type": "lmdb" if is_lmdb else "disk"}


def sorted_roots(roots: Any) -> Any:
    """The sub-folders rain, haze, snow of a single folder as a root each, where it has any; else `roots` as it is."""
    if not isinstance(roots, str) or roots.endswith(".lmdb"):
        return roots
    folders = {weather: Path(roots).expanduser() / weather for weather in REAL}
    return {weather: str(folder) for weather, folder in folders.items() if folder.is_dir()} or roots


def _each(roots: Any) -> list[Any]:
    return list(roots.values()) if isinstance(roots, Mapping) else [roots]
