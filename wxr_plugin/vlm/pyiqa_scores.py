"""Scores of one no-reference metric of pyiqa for images of any sizes."""

import logging
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import read_data
from wxr_plugin.vlm.inputs import Images, to_uint8
from wxr_plugin.vlm.pyiqa_metrics import check_name, load_metric
from wxr_plugin.vlm.rater import finite_images


class PyiqaScores:
    """The metric `name` of pyiqa, on its own scale.

    Args:
        name: as pyiqa calls it: musiq, clipiqa, liqe, …
        weights: file of the metric's weights; pyiqa's own, fetched once, when None.
        device: cpu, cuda, …; the GPU if there is one when None.
        batch_size: images of one size in one call.

    Raises:
        WxrError: no such metric, or weights that are missing or do not fit.
    """

    def __init__(
        self, name: str, weights: str | None = None, device: str | None = None, batch_size: int = 8
    ):
        check_name(name)
        self.name, self.batch_size = name, batch_size
        self.min_side = read_data("metrics.yml")["metrics"].get(name, {}).get("min_side", 1)
        self.metric = load_metric(name, weights, device_of(device))
        self.lower_better = bool(self.metric.lower_better)
        self._alone = False

    def __call__(self, images: Tensor | list[np.ndarray]) -> Tensor:
        """Scores (N,) of float RGB (N, 3, H, W) in [0, 1], or of a list of uint8 RGB arrays (H, W, 3).

        Images with a side below the metric's smallest are enlarged; NaN where the metric refuses an
        image.
        """
        pixels = to_uint8(images)
        scores = torch.full((len(pixels),), torch.nan)
        for rows in self._batches(pixels):
            scores[rows] = self._scores(torch.stack([self._enlarged(pixels[row]) for row in rows]))
        scores[~finite_images(images)] = torch.nan
        return scores

    def _batches(self, pixels: Images) -> Iterator[list[int]]:
        """Rows of images of one size, at most `batch_size` at a time."""
        for shape in dict.fromkeys(image.shape for image in pixels):
            rows = [row for row, image in enumerate(pixels) if image.shape == shape]
            yield from (
                rows[start : start + self.batch_size]
                for start in range(0, len(rows), self.batch_size)
            )

    def _enlarged(self, image: Tensor) -> Tensor:
        image, side = image.float() / 255, min(image.shape[1:])
        if side >= self.min_side:
            return image
        say(f"{self.name}: images with a side below {self.min_side} are enlarged to it")
        size = [round(length * self.min_side / side) for length in image.shape[1:]]
        return torch.nn.functional.interpolate(image[None], size, mode="bicubic", antialias=True)[
            0
        ].clamp(0, 1)

    def _scores(self, batch: Tensor) -> Tensor:
        if self._alone and len(batch) > 1:
            return torch.cat([self._scores(image) for image in batch.split(1)])
        try:
            with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
                return self.metric(batch).detach().float().cpu().reshape(len(batch))
        except torch.OutOfMemoryError:
            raise
        except (
            Exception
        ) as error:  # whatever a metric makes of an image that is too small or too plain for it
            if len(batch) > 1:
                self._alone = True  # some metrics take one image at a time
                return self._scores(batch)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            say(
                f"{self.name} gives no score for an image of {batch.shape[3]}x{batch.shape[2]}: "
                f"{reason}"
            )
            return torch.full((1,), torch.nan)


@lru_cache
def say(message: str) -> None:
    """To the log, once a process."""
    logging.getLogger("basicsr").warning(message)
