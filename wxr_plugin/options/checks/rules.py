"""Options that are each right but contradict one another."""

import logging
from collections.abc import Mapping
from typing import Any

from wxr_plugin.options.checks import stock
from wxr_plugin.options.checks.components import registered
from wxr_plugin.options.checks.fields import parameters_of
from wxr_plugin.options.checks.report import Report
from wxr_plugin.utils.namesakes import is_ours

_LOG = logging.getLogger("basicsr")


def check_rules(report: Report, opt: Mapping[str, Any]) -> None:
    """Check every rule; each one does nothing where its keys are absent or have the wrong type."""
    for rule in (
        _loading,
        _sets,
        _validation,
        _metrics,
        _sizes,
        _upscaling,
        _schedule,
        _losses,
        _logging,
        _precision,
        _saving,
        _streams,
    ):
        rule(report, opt)


def block(opt: Any, *keys: str) -> Mapping[str, Any]:
    """The block at `keys`, or an empty one."""
    for key in keys:
        opt = opt.get(key) if isinstance(opt, Mapping) else None
    return opt if isinstance(opt, Mapping) else {}


def _loading(report: Report, opt: Mapping[str, Any]) -> None:
    for name, dataset in block(opt, "datasets").items():
        keys = ("datasets", str(name))
        dataset = block({name: dataset}, name)
        if dataset.get("prefetch_mode") == "cuda" and dataset.get("pin_memory") is not True:
            report.add(
                (*keys, "pin_memory"),
                "prefetch_mode: cuda needs page-locked memory",
                "set pin_memory: true",
            )
        workers = dataset.get("num_worker_per_gpu") if name == "train" else 0
        if dataset.get("persistent_workers") is True and workers == 0:
            mend = "set it to false, or num_worker_per_gpu to 1 or more"
            report.add(
                (*keys, "persistent_workers"),
                "there are no workers to keep: num_worker_per_gpu is 0",
                mend,
            )
        if (dataset.get("mean") is None) != (dataset.get("std") is None):
            report.add(keys, "mean and std go together", "give both or neither")


def _sets(report: Report, opt: Mapping[str, Any]) -> None:
    datasets = opt.get("datasets")
    if not isinstance(datasets, Mapping):
        return
    if report.is_train and "train" not in datasets:
        report.add(("datasets", "train"), "missing", "a file for training needs datasets.train")
    if not report.is_train and not datasets:
        report.add(("datasets",), "holds no set", "add test_1: {...}")


def _validation(report: Report, opt: Mapping[str, Any]) -> None:
    has_sets = any(str(name).split("_")[0] in ("val", "test") for name in block(opt, "datasets"))
    has_block = opt.get("val") is not None
    draws = (
        opt.get("model_type") == "StyleGAN2Model"
    )  # its published option file validates on noise alone
    if report.is_train and has_block and not has_sets and not draws:
        _LOG.warning(
            f"{report.file}: val: there is no set to validate on (datasets.val), so nothing is "
            f"validated"
        )
    if has_sets and not has_block:
        mend = (
            "add val: {val_freq: ..., save_img: ...}"
            if report.is_train
            else "add val: {save_img: ...}"
        )
        report.add(("val",), "missing, while there are sets to validate on", mend)
    stock = getattr(_model(opt), "nondist_validation", None)
    names_images = block(opt, "val").get("save_img") is True and not report.is_train
    if (
        names_images
        and "suffix" not in block(opt, "val")
        and getattr(stock, "__module__", "").startswith("basicsr.")
    ):
        report.add(
            ("val", "suffix"),
            "missing, and this model reads it where save_img is true",
            "add suffix: ~",
        )


def _metrics(report: Report, opt: Mapping[str, Any]) -> None:
    """Metrics that compare with ground truth, on a set that has none.

    Models of this package pass over them, and so does SRModel, which `compat` repairs.
    """
    known, model = registered("metric"), _model(opt)
    repaired = hasattr(getattr(model, "nondist_validation", None), "repaired_by")
    if repaired or not getattr(model, "__module__", "").startswith("basicsr."):
        return
    for name, dataset in block(opt, "datasets").items():
        if block({name: dataset}, name).get("type") != "SingleImageDataset":
            continue
        for metric, content in block(opt, "val", "metrics").items():
            function = known.get(str(block({metric: content}, metric).get("type")))
            if function and "img2" in (parameters_of(function) or {}):
                what = f"{metric} compares with ground truth, which datasets.{name} (SingleImageDataset) has not"
                mend = f"take it out, give datasets.{name} its ground truth, or use model_type: WxrModel"
                report.add(("val", "metrics", str(metric)), what, mend)


def _sizes(report: Report, opt: Mapping[str, Any]) -> None:
    scale = opt.get("scale")
    train = block(opt, "datasets", "train")
    size = train.get("gt_size")
    if isinstance(scale, int) and isinstance(size, int) and scale > 1 and size % scale:
        what = f"gt_size {size} is not a multiple of scale {scale}"
        report.add(("datasets", "train", "gt_size"), what, f"use {size - size % scale or scale}")
    for name, dataset in block(opt, "datasets").items():
        dataset = block({name: dataset}, name)
        paired = dataset.get("type") in ("PairedImageDataset", "RealESRGANPairedDataset")
        if paired and scale is None and dataset.get("scale") is None:
            report.add(
                ("scale",),
                f"missing, and datasets.{name} reads it",
                "add scale: 1, or the factor of gt over lq",
            )
            return


def _upscaling(report: Report, opt: Mapping[str, Any]) -> None:
    """Check that a network that says its factor of enlargement has that of the file, in a model of this package."""
    network = block(opt, "network_g")
    item = registered("network").get(str(network.get("type")))
    if item is None or is_ours(item) or not is_ours(_model(opt)):
        return
    parameters = parameters_of(item) or {}
    scale = opt.get("scale") or 1
    for name in ("upscale", "scale"):
        factor = network.get(name, getattr(parameters.get(name), "default", None))
        if type(factor) is int and name in parameters and factor != scale:
            what = f"{network['type']} enlarges by {factor}, and gt is {scale} times the size of lq (scale)"
            report.add(
                ("network_g", name),
                what,
                f"set network_g.{name}: {scale}, or scale to what the images have",
            )


def _schedule(report: Report, opt: Mapping[str, Any]) -> None:
    schedule = block(opt, "train", "scheduler")
    keys = ("train", "scheduler")
    for one, other in (("periods", "restart_weights"), ("restarts", "restart_weights")):
        lists = [schedule.get(one), schedule.get(other, [1])]
        if all(isinstance(item, list) for item in lists) and len(lists[0]) != len(lists[1]):
            what = f"{len(lists[0])} {one}, but {len(lists[1])} {other}"
            report.add((*keys, one), what, f"give each of {one} its weight")
    periods, total = schedule.get("periods"), block(opt, "train").get("total_iter")
    numbers = isinstance(periods, list) and all(
        isinstance(item, int | float) for item in [*periods, total]
    )
    if numbers and sum(periods) < total:
        what = f"the periods end at iteration {sum(periods)}, before total_iter {total}"
        report.add((*keys, "periods"), what, "make their sum total_iter or more")


def _losses(report: Report, opt: Mapping[str, Any]) -> None:
    settings = getattr(_model(opt), "init_training_settings", None)
    train = opt.get("train")
    if not report.is_train or not isinstance(train, Mapping):
        return
    needs_one = getattr(settings, "__qualname__", "").split(".")[0] in ("SRModel", "HiFaceGANModel")
    if needs_one and not (train.get("pixel_opt") or train.get("perceptual_opt")):
        report.add(
            ("train", "pixel_opt"),
            "no loss: pixel_opt and perceptual_opt are both absent",
            "add one of them",
        )


def _logging(report: Report, opt: Mapping[str, Any]) -> None:
    logger = block(opt, "logger")
    if (
        block(logger, "wandb").get("project") is not None
        and logger.get("use_tb_logger") is not True
    ):
        report.add(
            ("logger", "use_tb_logger"),
            "wandb reads TensorBoard's files",
            "set use_tb_logger: true",
        )


def _precision(report: Report, opt: Mapping[str, Any]) -> None:
    amp = block(opt, "train").get("amp")
    if opt.get("num_gpu") == 0 and amp in ("fp16", "float16"):
        report.add(
            ("train", "amp"),
            f"{amp} does not train on a CPU (num_gpu: 0)",
            "use bf16, or take it out",
        )


def _saving(report: Report, opt: Mapping[str, Any]) -> None:
    """WxrModel: checkpoints between two updates, and a best network by a metric that is not measured."""
    train, logger = block(opt, "train"), block(opt, "logger")
    every, frequency = train.get("accumulate"), logger.get("save_checkpoint_freq")
    if (
        isinstance(every, int)
        and every > 1
        and isinstance(frequency, int | float)
        and frequency % every
    ):
        what = f"{frequency} is not a multiple of train.accumulate {every}, so checkpoints would fall between updates"
        report.add(("logger", "save_checkpoint_freq"), what, f"use a multiple of {every}")
    best = block(train, "save_best")
    measured = measured_metrics(opt)
    if {"dataset", "metric"} <= best.keys() and best["metric"] not in measured.get(
        best["dataset"], ()
    ):
        known = (
            "; ".join(f"{name}: {', '.join(metrics)}" for name, metrics in measured.items())
            or "nothing"
        )
        what = f"no metric {best['metric']!r} is measured on a validation set called {best['dataset']!r}"
        report.add(("train", "save_best"), what, f"measured are {known}")


def measured_metrics(opt: Mapping[str, Any]) -> dict[str, list[str]]:
    """Name of each validation set -> names of its metrics: its own, or else those of the `val` block."""
    found = {}
    for key in block(opt, "datasets"):
        dataset = block(opt, "datasets", key)
        if str(key).split("_")[0] == "val":
            own = "metrics" in dataset
            found[str(dataset.get("name"))] = list(
                block(dataset, "metrics") if own else block(opt, "val", "metrics")
            )
    return found


def _streams(report: Report, opt: Mapping[str, Any]) -> None:
    """WResVLM trains on real photos beside the pairs, which of this package's and BasicSR's sets only one yields."""
    models, sets = (
        {cls.__name__ for cls in getattr(item, "__mro__", ())}
        for item in (_model(opt), _train_set(opt))
    )
    known = sets & {"WeatherDataset", *stock.DATASETS}
    if report.is_train and "WResVLMModel" in models and known:
        what = f"{opt['model_type']} needs real photos beside the pairs, which this dataset has not"
        report.add(("datasets", "train", "type"), what, "use SemiSupervisedDataset")


def _train_set(opt: Mapping[str, Any]) -> type | None:
    return registered("dataset").get(str(block(opt, "datasets", "train").get("type")))


def _model(opt: Mapping[str, Any]) -> type | None:
    return registered("model").get(str(opt.get("model_type")))
