"""Evaluator for MMEngine with the metrics of BasicSR's registry, ours and stock."""

from collections.abc import Mapping, Sequence
from typing import Any

from basicsr.utils import tensor2img
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from torch import nn
from torch.utils.data import DataLoader

from wxr_plugin.mm.datasets import plain
from wxr_plugin.models.base.val_metrics import measure, usable_metrics
from wxr_plugin.models.base.val_table import by_group, group_of, means


@METRICS.register_module()
class WxrMetrics(BaseMetric):
    """Metric of `wxr train` for MMEngine: PSNR and SSIM in RGB or Y, those of pyiqa, FID.

    Args:
        measures: as `val.metrics` of an option file: {psnr_y: {type: calculate_psnr, crop_border:
            0, test_y_channel: true}, musiq: {type: calculate_iqa, metric: musiq}}.

    Images without ground truth get no-reference metrics alone. Sets of several weathers or
    degradations also get each metric by group (`psnr_rain`) and their unweighted mean
    (`psnr_overall`).
    """

    default_prefix = ""
    # attributes that MMagic's evaluator reads
    SAMPLER_MODE = "normal"
    sample_model = "orig"

    def __init__(
        self,
        measures: Mapping[str, Mapping[str, Any]],
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device, prefix)
        self.measures = plain(measures)

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Store the size of the set; MMagic's evaluator calls this before a validation."""
        self.size = len(dataloader.dataset)

    def get_metric_sampler(
        self, model: nn.Module, dataloader: DataLoader, metrics: Sequence[BaseMetric]
    ) -> DataLoader:
        """Return where MMagic's evaluator takes the images from: the loader itself."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """Return the metrics of a set of `size` images, which MMagic's evaluator does not pass."""
        return super().evaluate(self.size if size is None else size)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Measure each image of a batch, predicted by WxrSupervised or by MMagic's models."""
        for sample in data_samples:
            sample = _of_mmagic(sample) if "pred" not in sample else sample
            result = tensor2img([sample["pred"]])
            gt = tensor2img([sample["gt"]]) if sample.get("gt") is not None else None
            # group_of takes a batch, of one image here
            groups = {key: [sample[key]] for key in ("weather", "degradation") if key in sample}
            metrics = usable_metrics(self.measures, gt is not None)
            self.results.append({**group_of(groups), **measure(result, gt, metrics)})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Return the mean of each metric that all images have, or its value for the whole set."""
        common = set(self.measures).intersection(*results)
        # in the order of the config
        shared = [name for name in self.measures if name in common]
        return means(results, shared) | by_group(results, shared)


def _of_mmagic(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return `pred` and `gt`, RGB in [0, 1], of a DataSample whose images are in [0, 255]."""
    order = sample.get("gt_channel_order") or sample.get("img_channel_order") or "rgb"
    images = {"pred": sample["output"]["pred_img"], "gt": sample.get("gt_img")}
    for key, image in images.items():
        if image is None:
            continue
        # (3, H, W)
        rgb = image.flip(0) if str(order).lower() == "bgr" else image
        images[key] = rgb.float() / 255
    return images
