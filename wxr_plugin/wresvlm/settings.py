"""Settings of a run: its options, those of its training files, and the paths of its results."""

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
    """Settings that every stage reads.

    Attributes: `options`; `work`, the absolute working folder; `train` and `supervised`, the
    options of the training files with the run's photos in them, the latter None without one;
    `real`, roots of the real photos by weather, or one root if they are not sorted; `clear`, the
    root of clear photos; `crops`, the fixed boxes of training.

    Raises:
        OptionError: a training file cannot be read, or a change of force_yml does not fit.
    """

    def __init__(self, options: RunOptions):
        self.options = options
        self.work = options.folder.resolve()
        self.train = training_options(options.train, options.data, options.plugins)
        self.supervised = options.supervised and training_options(
            options.supervised, options.data, options.plugins
        )
        train_set = block(self.train, "datasets", "train")
        real = block(train_set, "real")
        paired = block(train_set, "paired")
        # Roots of the run's file come before those of the training file.
        self.real = sorted_roots(options.data.real or real.get("dataroot"))
        self.clear = options.data.clear or paired.get("dataroot_gt")
        count = real.get("boxes_per_image", 4)
        size = real.get("gt_size") or train_set.get("gt_size") or 1
        self.crops = Crops(int(count), int(size))

    @property
    def losses(self) -> Mapping[str, Any]:
        """`train` block of the training file."""
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
        """CLIP of the weather prompts."""
        options = block(self.losses, "weather_prompt_opt")
        return options.get("clip", "tiny")

    @property
    def device(self) -> str | None:
        """Device of prompt learning: `launch.device`, cpu if training has num_gpu: 0, or None."""
        default = "cpu" if self.train.get("num_gpu") == 0 else None
        return self.options.launch.device or default

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage."""
        return self.work / stage

    def labels(self, stage: str) -> Path:
        """Return the label store of a stage."""
        return self.folder(stage) / "labels.lmdb"

    def prompts(self, stage: str) -> Path:
        """Return the weather prompts of a stage."""
        return self.folder(stage) / "prompts.safetensors"

    def experiment(self, stage: str) -> Path:
        """Return the folder below experiments/ that BasicSR makes for a training."""
        experiments = self.folder(stage) / "experiments"
        return experiments / self.training_name(stage)

    def training_name(self, stage: str) -> str:
        """Return the name of a training in logs and folders."""
        return f"{self.options.name}_{stage}"

    def network(self, stage: str) -> Path:
        """Return the checkpoint that a training ended with."""
        return self.experiment(stage) / "models" / "net_g_latest.pth"

    def supervised_options(self) -> Options:
        """Return the options of the supervised training."""
        opt = copy.deepcopy(self.supervised)
        opt["name"] = self.training_name("supervised")
        return opt

    def round_options(self, number: int, start: str | None, prompts: str | None) -> Options:
        """Return the options of round `number`, counted from 1.

        A round after the first keeps the teacher that it starts from, and draws its photos in
        another order.

        Args:
            number: the round.
            start: stage whose network it starts from; None: that of the training file.
            prompts: stage of its weather prompts; None: those of the training file.
        """
        stage = f"round_{number}"
        now = self.options.rounds[number - 1]
        opt = copy.deepcopy(self.train)
        option_files.override(opt, now.force_yml)
        opt["name"] = self.training_name(stage)
        has_store = self.uses_labels or self.uses_texts
        labels = str(self.labels(stage)) if has_store else None
        filled = {
            "total_iter": now.iterations,
            "rater": dict(self.options.raters[now.rater]),
            "labels": labels,
        }
        opt["train"] = {**block(opt, "train"), **filled}
        if prompts:
            opt["train"]["weather_prompt_opt"]["prompts_path"] = str(self.prompts(prompts))
        if start:
            # The student starts from the student: `params`, not their average `params_ema`.
            opt["path"] = {
                **block(opt, "path"),
                "pretrain_network_g": str(self.network(start)),
                "param_key_g": "params",
            }
        if number > 1:
            opt["train"]["ema_warmup"] = False
            # The loader draws the order of photos from the seed.
            if opt.get("manual_seed") is not None:
                opt["manual_seed"] += number - 1
        return opt


def training_options(file: TrainingFile, data: DataOptions, plugins: list[str]) -> Options:
    """Return the options of a training file with the run's photos and plug-ins in it."""
    opt = option_files.load(file.opt, file.force_yml)
    if plugins:
        # Those of the run come first; each is named once.
        own_plugins = opt.get("plugins") or []
        opt["plugins"] = list(dict.fromkeys([*plugins, *own_plugins]))
    datasets = opt.get("datasets")
    train = datasets.get("train") if isinstance(datasets, dict) else None
    if isinstance(train, dict):
        _put_photos(train, data)
    return opt


def _put_photos(train: Options, data: DataOptions) -> None:
    """Write the run's roots into the block of a training set, semi-supervised or paired."""
    paired = train.get("paired")
    if not isinstance(paired, dict):
        paired = train
    if data.gt:
        paired["dataroot_gt"] = data.gt
    if data.lq:
        paired["dataroot_lq"] = data.lq
        # Weather is drawn on clean photos only if there are no pairs.
        paired.pop("synthetic", None)
    if data.real and isinstance(train.get("real"), dict):
        train["real"]["dataroot"] = sorted_roots(data.real)
    if data != DataOptions():
        real_roots = block(train, "real").get("dataroot")
        pair_roots = [paired.get("dataroot_gt"), paired.get("dataroot_lq")]
        roots = [*pair_roots, *_roots(real_roots)]
        is_lmdb = all(str(root).endswith(".lmdb") for root in roots if root)
        train["io_backend"] = {"type": "lmdb" if is_lmdb else "disk"}


def sorted_roots(roots: Any) -> Any:
    """Return the sub-folders rain, haze and snow of a single folder as a root each.

    `roots` is returned as it is if it has none of them, is an LMDB, or names several roots.
    """
    if not isinstance(roots, str) or roots.endswith(".lmdb"):
        return roots
    existing = {}
    for weather in REAL:
        folder = Path(roots).expanduser() / weather
        if folder.is_dir():
            existing[weather] = str(folder)
    return existing or roots


def _roots(roots: Any) -> list[Any]:
    if isinstance(roots, Mapping):
        return list(roots.values())
    return [roots]
