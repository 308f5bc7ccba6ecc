"""Check options that are each valid but contradict one another."""

import logging
from collections.abc import Mapping
from typing import Any

from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import (
    class_of,
    model_class,
    package_of,
    registered,
)
from wxr_plugin.options.checks.fields import parameters_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.options.nested import Keys, OptionMap, block, dataset_blocks, integer, phase_of
from wxr_plugin.utils.namesakes import is_ours

_LOG = logging.getLogger("basicsr")


def check_rules(report: Report, opt: OptionMap) -> None:
    """Check every rule; a rule does nothing if its keys are missing or of the wrong type."""
    _check_loading(report, opt)
    _check_presence_of_sets(report, opt)
    _check_validation(report, opt)
    _check_metrics(report, opt)
    _check_scale(report, opt)
    _check_upscaling(report, opt)
    _check_schedule(report, opt)
    _check_losses(report, opt)
    _check_logging(report, opt)
    _check_precision(report, opt)
    _check_saving(report, opt)
    _check_streams(report, opt)
    _check_rating_context(report, opt)


def _check_loading(report: Report, opt: OptionMap) -> None:
    for name, dataset in dataset_blocks(opt):
        keys = ("datasets", name)
        _check_pinned_memory(report, keys, dataset)
        _check_workers(report, keys, dataset, is_training_set=name == "train")
        has_mean = dataset.get("mean") is not None
        has_std = dataset.get("std") is not None
        if has_mean != has_std:
            report.add(keys, "mean and std go together", "give both or neither")


def _check_pinned_memory(report: Report, keys: Keys, dataset: OptionMap) -> None:
    """Check that images for CUDA streams are in memory that a GPU can copy from by itself."""
    needs_pinned = dataset.get("prefetch_mode") == "cuda"
    if needs_pinned and dataset.get("pin_memory") is not True:
        fault = "prefetch_mode: cuda needs page-locked memory"
        report.add((*keys, "pin_memory"), fault, "set pin_memory: true")


def _check_workers(report: Report, keys: Keys, dataset: OptionMap, is_training_set: bool) -> None:
    """Check that there are workers if they are to persist."""
    # BasicSR loads validation sets without workers, whatever the file says.
    workers = dataset.get("num_worker_per_gpu") if is_training_set else 0
    is_persistent = dataset.get("persistent_workers") is True
    if is_persistent and workers == 0:
        fault = "there are no workers to keep: num_worker_per_gpu is 0"
        fix = "set it to false, or num_worker_per_gpu to 1 or more"
        report.add((*keys, "persistent_workers"), fault, fix)


def _check_presence_of_sets(report: Report, opt: OptionMap) -> None:
    datasets = opt.get("datasets")
    if not isinstance(datasets, Mapping):
        return
    if report.is_train and "train" not in datasets:
        report.add("datasets.train", "missing", "a file for training needs datasets.train")
    if not report.is_train and not datasets:
        report.add("datasets", "holds no set", "add test_1: {...}")


def _check_validation(report: Report, opt: OptionMap) -> None:
    phases = [phase_of(name) for name in block(opt, "datasets")]
    has_sets = "val" in phases or "test" in phases
    has_val = opt.get("val") is not None
    # The published option file of StyleGAN2 validates on noise alone.
    needs_sets = report.is_train and opt.get("model_type") != "StyleGAN2Model"
    if needs_sets and has_val and not has_sets:
        fault = "there is no validation set (datasets.val), so nothing is validated"
        _LOG.warning(f"{report.file}: val: {fault}")
    if has_sets and not has_val:
        keys = "val_freq: ..., save_img: ..." if report.is_train else "save_img: ..."
        fault = "missing, while there are sets to validate on"
        report.add("val", fault, f"add val: {{{keys}}}")
    _check_suffix(report, opt)


def _check_suffix(report: Report, opt: OptionMap) -> None:
    """Check that `val` has the suffix of saved images where BasicSR's own validation reads it."""
    # BasicSR reads opt['val']['suffix'] without a default, only in tests.
    if report.is_train:
        return
    validation = getattr(model_class(opt), "nondist_validation", None)
    is_stock = package_of(validation) == "basicsr"
    val = block(opt, "val")
    saves_images = val.get("save_img") is True
    if is_stock and saves_images and "suffix" not in val:
        fault = "missing, and this model reads it if save_img is true"
        report.add("val.suffix", fault, "add suffix: ~")


def _check_metrics(report: Report, opt: OptionMap) -> None:
    """Report metrics that compare with ground truth, if a set has none.

    Models of this package skip such metrics, and so does SRModel, which `compat` repairs.
    """
    model = model_class(opt)
    validation = getattr(model, "nondist_validation", None)
    is_repaired = hasattr(validation, "repaired_by")
    if is_repaired or package_of(model) != "basicsr":
        return
    metrics = block(opt, "val", "metrics")
    comparing = [label for label in metrics if _compares(block(metrics, label))]
    for name, dataset in dataset_blocks(opt):
        # BasicSR's dataset without ground truth.
        if dataset.get("type") != "SingleImageDataset":
            continue
        place = f"datasets.{name}"
        for label in comparing:
            fault = f"{label} needs ground truth, which {place} (SingleImageDataset) lacks"
            fix = f"take it out, give {place} its ground truth, or use model_type: WxrModel"
            report.add(("val", "metrics", str(label)), fault, fix)


def _compares(metric: OptionMap) -> bool:
    """Return whether the metric of a block compares with ground truth, its argument `img2`."""
    function = registered("metric").get(str(metric.get("type")))
    if not function:
        return False
    parameters = parameters_of(function) or {}
    return "img2" in parameters


def _check_scale(report: Report, opt: OptionMap) -> None:
    _check_crop(report, opt)
    if opt.get("scale") is not None:
        return
    for name, dataset in dataset_blocks(opt):
        is_paired = dataset.get("type") in ("PairedImageDataset", "RealESRGANPairedDataset")
        if is_paired and dataset.get("scale") is None:
            fault = f"missing, and datasets.{name} reads it"
            report.add("scale", fault, "add scale: 1, or the factor of gt over lq")
            # One key of the file serves all sets, so it is reported once.
            return


def _check_crop(report: Report, opt: OptionMap) -> None:
    """Check that the crop of gt is a multiple of the scale, so that lq has whole pixels."""
    scale = opt.get("scale")
    factor = max(integer(opt, "scale") or 1, 1)
    size = integer(opt, "datasets", "train", "gt_size")
    if not size:
        return
    remainder = size % factor
    if remainder:
        fault = f"gt_size {size} is not a multiple of scale {scale}"
        nearest = size - remainder or factor
        report.add("datasets.train.gt_size", fault, f"use {nearest}")


def _check_upscaling(report: Report, opt: OptionMap) -> None:
    """Check that another project's network enlarges by the file's scale, in our models."""
    network = block(opt, "network_g")
    cls = class_of("network", network)
    if cls is None or is_ours(cls):
        return
    if not is_ours(model_class(opt)):
        return
    parameters = parameters_of(cls) or {}
    scale = opt.get("scale") or 1
    for name in ("upscale", "scale"):
        if name not in parameters:
            continue
        factor = network.get(name, parameters[name].default)
        if type(factor) is int and factor != scale:
            kind = network["type"]
            fault = f"{kind} enlarges by {factor}, but gt is {scale} times the size of lq (scale)"
            fix = f"set network_g.{name}: {scale}, or scale to the factor of the images"
            report.add(("network_g", name), fault, fix)


def _check_schedule(report: Report, opt: OptionMap) -> None:
    schedule = block(opt, "train", "scheduler")
    # A schedule with restarts scales the rate at each by its weight.
    weights = schedule.get("restart_weights", [1])
    for name in ("periods", "restarts"):
        items = schedule.get(name)
        if not isinstance(items, list) or not isinstance(weights, list):
            continue
        if len(items) != len(weights):
            fault = f"{len(items)} {name}, but {len(weights)} restart_weights"
            fix = f"give each of {name} its weight"
            report.add(("train", "scheduler", name), fault, fix)
    periods = schedule.get("periods")
    if isinstance(periods, list):
        total = block(opt, "train").get("total_iter")
        _check_periods(report, periods, total)


def _check_periods(report: Report, periods: list, total: Any) -> None:
    """Check that the periods last until the end of training; after them BasicSR raises."""
    are_numbers = all(isinstance(item, int | float) for item in [*periods, total])
    if not are_numbers:
        return
    end = sum(periods)
    if end < total:
        fault = f"the periods end at iteration {end}, before total_iter {total}"
        fix = "make their sum total_iter or more"
        report.add(("train", "scheduler", "periods"), fault, fix)


def _check_losses(report: Report, opt: OptionMap) -> None:
    train = opt.get("train")
    if not report.is_train or not isinstance(train, Mapping):
        return
    # These raise without a loss; a model that overrides the method has losses of its own.
    settings = getattr(model_class(opt), "init_training_settings", None)
    owner = getattr(settings, "__qualname__", "").split(".")[0]
    needs_loss = owner in ("SRModel", "HiFaceGANModel")
    has_loss = train.get("pixel_opt") or train.get("perceptual_opt")
    if needs_loss and not has_loss:
        fault = "no loss: pixel_opt and perceptual_opt are both absent"
        report.add("train.pixel_opt", fault, "add one of them")


def _check_logging(report: Report, opt: OptionMap) -> None:
    logger = block(opt, "logger")
    wandb = block(logger, "wandb")
    has_wandb = wandb.get("project") is not None
    if has_wandb and logger.get("use_tb_logger") is not True:
        fault = "wandb reads the files of TensorBoard"
        report.add("logger.use_tb_logger", fault, "set use_tb_logger: true")


def _check_precision(report: Report, opt: OptionMap) -> None:
    amp = block(opt, "train").get("amp")
    is_half = amp in ("fp16", "float16")
    on_cpu = opt.get("num_gpu") == 0
    if on_cpu and is_half:
        fault = f"{amp} does not train on a CPU (num_gpu: 0)"
        report.add("train.amp", fault, "use bf16, or take it out")


def _check_saving(report: Report, opt: OptionMap) -> None:
    """Check WxrModel's checkpoints: between accumulated updates, or best by an unknown metric."""
    train = block(opt, "train")
    # Iterations whose gradients one update adds up.
    every = max(integer(train, "accumulate") or 1, 1)
    frequency = block(opt, "logger").get("save_checkpoint_freq")
    is_number = isinstance(frequency, int | float)
    if is_number and frequency % every:
        reason = f"{frequency} is not a multiple of train.accumulate {every}"
        fault = f"{reason}, so checkpoints would fall between updates"
        report.add("logger.save_checkpoint_freq", fault, f"use a multiple of {every}")
    best = block(train, "save_best")
    if {"dataset", "metric"} <= best.keys():
        _check_best(report, opt, best["dataset"], best["metric"])


def _check_best(report: Report, opt: OptionMap, dataset: Any, metric: Any) -> None:
    """Check that the metric that chooses the best checkpoint is measured on its set."""
    measured = measured_metrics(opt)
    if metric in measured.get(dataset, ()):
        return
    parts = []
    for name, metrics in measured.items():
        parts.append(f"{name}: {', '.join(metrics)}")
    names = "; ".join(parts) or "none"
    fault = f"no metric {metric!r} is measured on a validation set called {dataset!r}"
    report.add("train.save_best", fault, f"measured are {names}")


def measured_metrics(opt: OptionMap) -> dict[str, list[str]]:
    """Return the metrics of each validation set, keyed by its name.

    They are those of the set itself or, if it names none, those of the `val` block.
    """
    measured = {}
    for key, dataset in dataset_blocks(opt):
        if phase_of(key) == "val":
            source = dataset if "metrics" in dataset else block(opt, "val")
            name = str(dataset.get("name"))
            measured[name] = list(block(source, "metrics"))
    return measured


def _check_streams(report: Report, opt: OptionMap) -> None:
    """Check that WResVLM has real photos in addition to the pairs; only one dataset yields both."""
    models = _names_of_bases(model_class(opt))
    if not report.is_train or "WResVLMModel" not in models:
        return
    dataset = block(opt, "datasets", "train")
    sets = _names_of_bases(class_of("dataset", dataset))
    lacks_photos = sets & {"WeatherDataset", *stock.DATASETS}
    if lacks_photos:
        model = opt["model_type"]
        fault = f"{model} needs real photos in addition to the pairs, which this dataset lacks"
        report.add("datasets.train.type", fault, "use SemiSupervisedDataset")


def _check_rating_context(report: Report, opt: OptionMap) -> None:
    """Check that the data set yields the surroundings that crops are rated in, and no others."""
    sets = _names_of_bases(class_of("dataset", block(opt, "datasets", "train")))
    rated = integer(opt, "train", "rating", "context") or 0
    cut = integer(opt, "datasets", "train", "real", "context") or 0
    if not report.is_train or "SemiSupervisedDataset" not in sets or rated == cut:
        return
    if rated:
        fault = f"crops are rated with {rated} pixels around them, and the data set yields {cut}"
        report.add("datasets.train.real.context", fault, f"set it to {rated}")
        return
    fault = "yields the surroundings of crops, which no rating uses (no train.rating.context)"
    fix = f"set train.rating.context: {cut}, or take it out"
    report.add("datasets.train.real.context", fault, fix)


def _names_of_bases(cls: type | None) -> set[str]:
    bases = getattr(cls, "__mro__", ())
    return {base.__name__ for base in bases}
