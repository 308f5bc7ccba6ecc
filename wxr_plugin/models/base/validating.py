"""Validation on every rank, with a row an image."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from basicsr.utils import get_root_logger, imwrite, tensor2img
from basicsr.utils.dist_util import get_dist_info
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from wxr_plugin.errors import OptionError
from wxr_plugin.metrics.set_share import SetShare
from wxr_plugin.models.base.val_input import INPUT
from wxr_plugin.models.base.val_metrics import image_name, measure, usable_metrics
from wxr_plugin.models.base.val_pictures import Pictures, WxrValOptions
from wxr_plugin.models.base.val_table import (
    Row,
    by_group,
    group_column,
    group_of,
    group_table,
    is_of,
    means,
    write_rows,
)
from wxr_plugin.utils.html import is_worse
from wxr_plugin.utils.ranks import gathered
from wxr_plugin.utils.rng import preserved_rng
from wxr_plugin.utils.safe_paths import safe_join


class Keeping:
    """The part of WxrModel that keeps a validation's metrics.

    Every rank calls it, with the rows of all.
    """

    def _keep_metrics(
        self, name: str, rows: list[Row], metrics: dict, label: int | str, tb_logger: Any
    ) -> None:
        self.metric_results = means(rows, list(metrics)) | by_group(rows, list(metrics))
        if self.is_train:
            self._update_best(name, metrics, label)
        if get_dist_info()[0] == 0:
            self._write_tables(name, rows, list(metrics))
            self._log_metrics(name, metrics, label, tb_logger)

    def _log_metrics(self, name: str, metrics: dict, label: int | str, tb_logger: Any) -> None:
        """Log each metric with the input's and the best one, as the host does; write them to TensorBoard."""
        before = self.inputs.results.get(name, {})
        lines = [f"Validation {name}"]
        for metric, value in self.metric_results.items():
            line = f"\t # {metric}: {value:.4f}"
            if metric in before:
                worse = is_worse(value, before[metric], _better(metric, metrics), 4)
                line += f"\tInput: {before[metric]:.4f}" + " (better than the network)" * worse
            if best := getattr(self, "best_metric_results", {}).get(name, {}).get(metric):
                line += f"\tBest: {best['val']:.4f} @ {best['iter']} iter"
            lines.append(line)
        get_root_logger().info("\n".join(lines) + "\n")
        for suffix, values in (
            (("", self.metric_results), (f"_{INPUT}", before)) if tb_logger else ()
        ):
            for metric, value in values.items():
                tb_logger.add_scalar(f"metrics/{name}/{metric}{suffix}", value, label)

    def _write_tables(self, name: str, rows: list[Row], metrics: list[str]) -> None:
        """A row an image; and a row a group where there are degradations or metrics that only a whole set has."""
        of_sets = [metric for metric in metrics if isinstance(rows[0][metric], SetShare)]
        group = group_column(rows)
        columns = [
            "iter",
            "image",
            *([group] if group else []),
            *(m for m in metrics if m not in of_sets),
        ]
        folder = (
            Path(self.opt["path"].get("experiments_root") or self.opt["path"]["results_root"])
            / "validation"
        )
        shown = [{column: row[column] for column in columns} for row in rows]
        rows_with_input = [row | self.inputs.columns(name, row["image"]) for row in shown]
        write_rows(safe_join(folder, f"{name}.csv"), rows_with_input)
        if of_sets or group == "degradation":
            write_rows(safe_join(folder, f"{name}_groups.csv"), group_table(rows, metrics))

    def _update_best(self, name: str, metrics: dict, label: int) -> None:
        best = self.best_metric_results.setdefault(name, {})
        for metric in self.metric_results:
            better = _better(metric, metrics)
            worst = float("-inf") if better == "higher" else float("inf")
            best.setdefault(metric, {"better": better, "val": worst, "iter": -1})
            self._update_best_metric_result(name, metric, self.metric_results[metric], label)
        choice = self.options.save_best
        if choice and choice.dataset == name and choice.metric not in best:
            raise OptionError(
                f"train.save_best: {name} has no metric {choice.metric!r}, but {', '.join(best)}"
            )
        if choice and choice.dataset == name and best.get(choice.metric, {}).get("iter") == label:
            self.save_networks("best")


class Validating(Keeping):
    """The part of WxrModel that validates.

    Rank r of n restores images r, r + n, ... in float32; all ranks learn all rows, so that none
    waits for long and the best metrics agree. Validation leaves the random generators as they were:
    how often one validates does not change what is trained.
    """

    def validation(
        self,
        dataloader: DataLoader,
        current_iter: int | str,
        tb_logger: Any,
        save_img: bool = False,
    ) -> None:
        """Validate one set and log, keep and tabulate its metrics. Every rank has to call it.

        The host counts one iteration too many when it validates after training; the label here is
        that of the last iteration trained, and a set that has been validated there is not validated
        again.

        Args:
            dataloader: its dataset is read directly, image by image; `dataset.opt['metrics']`
                overrides `val.metrics`.
            current_iter: iteration, or in testing the run's name.
            tb_logger: a SummaryWriter on rank 0, or None.
            save_img: write each restored image to visualization/<dataset>/.
        """
        name = dataloader.dataset.opt["name"]
        if self.is_train:
            current_iter = min(current_iter, self.iteration)
            if self.validated.get(name) == current_iter:
                return
            self.validated[name] = current_iter
        with preserved_rng():
            self.nondist_validation(dataloader, current_iter, tb_logger, save_img)
        self.clock.wait()

    def nondist_validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool
    ) -> None:
        """As `validation`, unconditionally. It is the distributed one too."""
        dataset, options = dataloader.dataset.opt, self.opt.get("val") or {}
        metrics = dataset.get("metrics", options.get("metrics")) or {}
        count = options.get("pictures", WxrValOptions().pictures) if tb_logger else 0
        self.pictures = Pictures(count, self._indices(dataloader))
        rows = self._all_rows(dataloader, current_iter, metrics, save_img)
        if tb_logger:
            self.pictures.write(tb_logger, dataset["name"], current_iter)
        shared = [name for name in metrics if rows and all(name in row for row in rows)]
        left_out = f"Validation {dataset['name']}: no {', no '.join(m for m in metrics if m not in shared)}: "
        if len(shared) < len(metrics) and left_out not in self.told:
            get_root_logger().warning(left_out + ("no ground truth." if rows else "no images."))
            self.told.add(left_out)
        self.inputs.take(dataset["name"], rows, shared)
        if shared:
            self._keep_metrics(
                dataset["name"],
                rows,
                {name: metrics[name] for name in shared},
                current_iter,
                tb_logger,
            )

    dist_validation = nondist_validation

    def test(self) -> None:
        """Restore `self.lq` into `self.output` (float32) with the EMA network, or with net_g where there is none."""
        # not through DistributedDataParallel: its forward talks to the other ranks, whose shards
        # may be shorter
        net = getattr(self, "net_g_ema", None) or self.get_bare_model(self.net_g)
        training = net.training
        net.eval()
        with torch.no_grad(), self._uncompiled():
            self.output = self.restore_tested(net).float()
        net.train(training)

    def restore_tested(self, net: nn.Module) -> torch.Tensor:
        """What `net` makes of `self.lq`; for a subclass that wants more of it than the image."""
        return self.apply(net, self.lq)

    def write_image(self, result: np.ndarray, path: Path) -> None:
        """Write a restored image (H, W, 3) of uint8 BGR; for a subclass that has more to show of it."""
        imwrite(result, str(path))

    def _all_rows(
        self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool
    ) -> list[Row]:
        """Rows of every rank in the dataset's order; an error on one rank becomes one on all, instead of a hang."""
        self._share_buffers()
        rows, error = {}, None
        try:
            rows = dict(self._shard(dataloader, label, metrics, save_img))
        except Exception as caught:
            error = caught
        shares = gathered((rows, error and f"{type(error).__name__}: {error}"))
        if error:
            raise error
        failed = [f"rank {rank}: {message}" for rank, (_, message) in enumerate(shares) if message]
        if failed:
            raise RuntimeError(
                f"Validation of {dataloader.dataset.opt['name']} failed on {'; '.join(failed)}"
            )
        return [
            row
            for _, row in sorted(
                (item for share, _ in shares for item in share.items()), key=lambda i: i[0]
            )
        ]

    def _shard(
        self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool
    ) -> Iterator[tuple[int, Row]]:
        """(index, row) of each image of this rank."""
        dataset, name = dataloader.dataset, dataloader.dataset.opt["name"]
        for index in self._tracked(self._indices(dataloader), name):
            data = dataloader.collate_fn([dataset[index]])
            image = (
                image_name(data["lq_path"][0], dataset.opt) if "lq_path" in data else f"{index:06d}"
            )
            self.feed_data(data)
            self.test()
            visuals = self.get_current_visuals()
            result = tensor2img([visuals["result"]])
            gt = tensor2img([visuals["gt"]]) if "gt" in visuals else None
            self.pictures.add(index, image, visuals)
            if save_img:
                self.write_image(result, self._image_path(name, image, label))
            usable = usable_metrics(metrics, gt is not None)
            row = {"iter": label, "image": image, **group_of(data), **measure(result, gt, usable)}
            yield (
                index,
                row | self.inputs.measured(name, tensor2img([visuals["lq"]]), gt, result, usable),
            )

    def _indices(self, dataloader: DataLoader) -> range:
        """Return the indices of the images that this process restores."""
        rank, world_size = get_dist_info()
        return range(rank, len(dataloader.dataset), world_size)

    def _share_buffers(self) -> None:
        """Give every rank rank 0's running statistics, which are the ones that get saved."""
        if dist.is_initialized():
            for net in [
                self.get_bare_model(self.net_g),
                *([self.net_g_ema] if hasattr(self, "net_g_ema") else []),
            ]:
                for buffer in net.buffers():
                    dist.broadcast(buffer, 0)

    def _tracked(self, indices: range, name: str) -> Iterator[int]:
        if self.progress:
            return self.progress.track(indices, len(indices), f"validate {name}")
        silent = get_dist_info()[0] != 0 or not (self.opt.get("val") or {}).get("pbar", False)
        return iter(tqdm(indices, desc=f"validate {name}", unit="image", disable=silent))

    def _image_path(self, dataset: str, image: str, label: int | str) -> Path:
        suffix = label if self.is_train else (self.opt["val"].get("suffix") or self.opt["name"])
        return safe_join(
            safe_join(self.opt["path"]["visualization"], dataset), f"{image}_{suffix}.png"
        )

    def _uncompiled(self) -> Any:
        """Images come in many sizes; compiling for each would take longer than restoring it."""
        compiled = self.is_train and self.options.compile
        return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def _better(metric: str, metrics: dict) -> str:
    """Return which end of a metric, or of its value for a weather or degradation, is the good one."""
    return next(
        options.get("better", "higher") for key, options in metrics.items() if is_of(metric, key)
    )
