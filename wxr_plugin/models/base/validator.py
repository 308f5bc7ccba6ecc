"""Validation: restore a set on all ranks and measure each image."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from basicsr.data import build_dataloader, build_dataset
from basicsr.utils import get_root_logger, tensor2img
from basicsr.utils.dist_util import get_dist_info
from torch import nn
from torch.utils.data import DataLoader

from wxr_plugin.models.base.val_metrics import image_name, measure, usable_metrics
from wxr_plugin.models.base.val_records import Metrics, Pictures, ValidationRecords, WxrValOptions
from wxr_plugin.models.base.val_table import Row, group_of
from wxr_plugin.utils.ranks import gathered
from wxr_plugin.utils.safe_paths import safe_join


@dataclass
class Job:
    """One validation of one set."""

    loader: DataLoader
    """Its dataset is read directly, image by image."""
    label: int | str
    """Iteration, or in testing the run's name."""
    metrics: Metrics
    """Metrics that the options ask for."""
    save_img: bool
    """Whether restored images are written."""
    pictures: Pictures
    """Pictures for TensorBoard."""

    @property
    def set_options(self) -> Mapping[str, Any]:
        """Option block of the validation set."""
        return self.loader.dataset.opt

    @property
    def name(self) -> str:
        """Name of the validation set."""
        return self.set_options["name"]


class Validator:
    """Validates a set on all ranks.

    Rank r of n restores images r, r + n, ... in float32; all ranks get all rows, so that none waits
    for a whole pass of another and the best metrics agree. A subclass may override `measure` and
    `complete`.

    Args:
        opt: options of the run; `val`, `path`, `name` and `is_train` are used.
        records: gets the rows of each set.
        restore: restores a batch of one image and returns lq, result and maybe gt, (1, 3, H, W).
        write_image: writes a restored image (H, W, 3), uint8 BGR, to a file.
        track: returns the indices it is given, and shows the progress under a description.
        networks: whose running statistics rank 0 hands to all ranks.
    """

    def __init__(
        self,
        opt: Mapping[str, Any],
        records: ValidationRecords,
        restore: Callable[[Mapping[str, Any]], Any],
        write_image: Callable[[np.ndarray, Path], None],
        track: Callable[[Sequence[int], str], Iterable[int]],
        networks: Sequence[nn.Module],
    ):
        self.opt = opt
        self.records = records
        self.restore = restore
        self.write_image = write_image
        self.track = track
        self.networks = networks
        self._warnings: set[str] = set()

    def run(self, loader: DataLoader, label: int | str, tb_logger: Any, save_img: bool) -> None:
        """Validate one set. Every rank has to call it.

        Args:
            loader: of the set; `dataset.opt['metrics']` overrides `val.metrics`.
            label: iteration, or in testing the run's name.
            tb_logger: a SummaryWriter on rank 0, or None.
            save_img: write each restored image to visualization/<dataset>/.
        """
        options = self.opt.get("val") or {}
        metrics = loader.dataset.opt.get("metrics", options.get("metrics")) or {}
        count = options.get("pictures", WxrValOptions().pictures) if tb_logger else 0
        pictures = Pictures(count, _own_indices(loader))
        job = Job(loader, label, metrics, save_img, pictures)
        rows = self.complete(job, self._all_rows(job))
        if tb_logger:
            pictures.write(tb_logger, job.name, label)
        shared = self._shared_metrics(job, rows)
        self.records.record(job.name, rows, shared, label, tb_logger)

    def measure(self, job: Job, index: int, batch: Mapping[str, Any]) -> Row:
        """Restore image `index`, a batch of one, and return its row."""
        # a dataset of another package may give no path
        image = f"{index:06d}"
        if "lq_path" in batch:
            image = image_name(batch["lq_path"][0], job.set_options)
        visuals = self.restore(batch)
        result = tensor2img([visuals["result"]])
        gt = tensor2img([visuals["gt"]]) if "gt" in visuals else None
        job.pictures.add(index, image, visuals)
        if job.save_img:
            self.write_image(result, self.image_path(job.name, image, job.label))
        metrics = usable_metrics(job.metrics, gt is not None)
        # uint8 images, as they are written, so that files can be measured again
        row = {"iter": job.label, "image": image, **group_of(batch)}
        row |= measure(result, gt, metrics)
        lq = tensor2img([visuals["lq"]])
        return row | self.records.inputs.measured(job.name, lq, gt, result, metrics)

    def complete(self, job: Job, rows: list[Row]) -> list[Row]:
        """Return the rows of the whole set with the metrics that need all of them."""
        return rows

    def image_path(self, dataset: str, image: str, label: int | str) -> Path:
        """Return the file of a restored image; raise UnsafeNameError if it leaves its folder."""
        # in testing there is one result; in training one for each validation
        suffix = label
        if not self.opt["is_train"]:
            suffix = self.opt["val"].get("suffix") or self.opt["name"]
        folder = safe_join(self.opt["path"]["visualization"], dataset)
        return safe_join(folder, f"{image}_{suffix}.png")

    def _all_rows(self, job: Job) -> list[Row]:
        """Return the rows of every rank in the order of the dataset.

        An exception on one rank is raised on all, which otherwise would wait for it.
        """
        self._share_buffers()
        rows: dict[int, Row] = {}
        error = None
        try:
            rows = dict(self._own_rows(job))
        except Exception as caught:  # of any kind; it is raised again below
            error = caught
        message = f"{type(error).__name__}: {error}" if error else None
        shares = gathered((rows, message))
        if error:
            raise error
        messages = [message for _, message in shares]
        failed = [f"rank {rank}: {text}" for rank, text in enumerate(messages) if text]
        if failed:
            raise RuntimeError(f"Validation of {job.name} failed on {'; '.join(failed)}")
        by_index: dict[int, Row] = {}
        for share, _ in shares:
            by_index.update(share)
        return [by_index[index] for index in sorted(by_index)]

    def _own_rows(self, job: Job) -> Iterator[tuple[int, Row]]:
        """Yield index and row of each image of this rank."""
        for index in self.track(_own_indices(job.loader), f"validate {job.name}"):
            # not through the loader: ranks take turns, and batches have one image
            batch = job.loader.collate_fn([job.loader.dataset[index]])
            yield index, self.measure(job, index, batch)

    def _share_buffers(self) -> None:
        """Copy the running statistics of rank 0, which are saved, to every rank."""
        if dist.is_initialized():
            for net in self.networks:
                for buffer in net.buffers():
                    dist.broadcast(buffer, 0)

    def _shared_metrics(self, job: Job, rows: list[Row]) -> Metrics:
        """Return the metrics that all rows have; log once which are missing, and why."""
        shared = {}
        if rows:
            # images without ground truth lack some metrics
            common = set.intersection(*(set(row) for row in rows))
            shared = {name: block for name, block in job.metrics.items() if name in common}
        missing = [name for name in job.metrics if name not in shared]
        if missing:
            reason = "no ground truth" if rows else "no images"
            warning = f"Validation {job.name}: no {', no '.join(missing)}: {reason}."
            if warning not in self._warnings:
                get_root_logger().warning(warning)
            self._warnings.add(warning)
        return shared


def _own_indices(loader: DataLoader) -> range:
    """Return the indices of the images that this process restores."""
    rank, world_size = get_dist_info()
    return range(rank, len(loader.dataset), world_size)


def missed_loaders(opt: Mapping[str, Any], iteration: int) -> Iterator[DataLoader]:
    """Yield a loader of each validation set, if a validation is due at `iteration`.

    For a run that was killed between the checkpoint of `iteration` and its validation.
    """
    options = opt.get("val")
    if not options or iteration % options["val_freq"] != 0:
        return
    for key, dataset in opt["datasets"].items():
        if key.split("_")[0] == "val":
            num_gpu = opt["num_gpu"]
            yield build_dataloader(build_dataset(dataset), dataset, num_gpu=num_gpu, seed=None)
