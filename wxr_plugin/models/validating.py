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

from wxr_plugin.models.guard import gathered
from wxr_plugin.models.keeping import Keeping
from wxr_plugin.models.val_metrics import image_name, measure, usable_metrics
from wxr_plugin.models.val_pictures import Pictures, WxrValOptions
from wxr_plugin.models.val_table import Row, group_of
from wxr_plugin.rng import preserved_rng
from wxr_plugin.utils.safe_paths import safe_join


class Validating(Keeping):
    """The part of WxrModel that validates.

    Rank r of n restores images r, r + n, ... in float32; all ranks learn all rows, so that none waits for long and the
    best metrics agree. Validation leaves the random generators as they were: how often one validates does not change
    what is trained.
    """

    def validation(
        self, dataloader: DataLoader, current_iter: int | str, tb_logger: Any, save_img: bool = False
    ) -> None:
        """Validate one set and log, keep and tabulate its metrics. Every rank has to call it.

        The host counts one iteration too many when it validates after training; the label here is that of the last
        iteration trained, and a set that has been validated there is not validated again.

        Args:
            dataloader: its dataset is read directly, image by image; `dataset.opt['metrics']` overrides `val.metrics`.
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
            self._keep_metrics(dataset["name"], rows, {name: metrics[name] for name in shared}, current_iter, tb_logger)

    dist_validation = nondist_validation

    def test(self) -> None:
        """Restore `self.lq` into `self.output` (float32) with the EMA network, or with net_g where there is none."""
        # not through DistributedDataParallel: its forward talks to the other ranks, whose shards may be shorter
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

    def _all_rows(self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool) -> list[Row]:
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
            raise RuntimeError(f"Validation of {dataloader.dataset.opt['name']} failed on {'; '.join(failed)}")
        return [row for _, row in sorted((item for share, _ in shares for item in share.items()), key=lambda i: i[0])]

    def _shard(
        self, dataloader: DataLoader, label: int | str, metrics: dict, save_img: bool
    ) -> Iterator[tuple[int, Row]]:
        """(index, row) of each image of this rank."""
        dataset, name = dataloader.dataset, dataloader.dataset.opt["name"]
        for index in self._tracked(self._indices(dataloader), name):
            data = dataloader.collate_fn([dataset[index]])
            image = image_name(data["lq_path"][0], dataset.opt) if "lq_path" in data else f"{index:06d}"
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
            yield index, row | self.inputs.measured(name, tensor2img([visuals["lq"]]), gt, result, usable)

    def _indices(self, dataloader: DataLoader) -> range:
        """Return the indices of the images that this process restores."""
        rank, world_size = get_dist_info()
        return range(rank, len(dataloader.dataset), world_size)

    def _share_buffers(self) -> None:
        """Give every rank rank 0's running statistics, which are the ones that get saved."""
        if dist.is_initialized():
            for net in [self.get_bare_model(self.net_g), *([self.net_g_ema] if hasattr(self, "net_g_ema") else [])]:
                for buffer in net.buffers():
                    dist.broadcast(buffer, 0)

    def _tracked(self, indices: range, name: str) -> Iterator[int]:
        if self.progress:
            return self.progress.track(indices, len(indices), f"validate {name}")
        silent = get_dist_info()[0] != 0 or not (self.opt.get("val") or {}).get("pbar", False)
        return iter(tqdm(indices, desc=f"validate {name}", unit="image", disable=silent))

    def _image_path(self, dataset: str, image: str, label: int | str) -> Path:
        suffix = label if self.is_train else (self.opt["val"].get("suffix") or self.opt["name"])
        return safe_join(safe_join(self.opt["path"]["visualization"], dataset), f"{image}_{suffix}.png")

    def _uncompiled(self) -> Any:
        """Images come in many sizes; compiling for each would take longer than restoring it."""
        compiled = self.is_train and self.options.compile
        return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
