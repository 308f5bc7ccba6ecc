"""The metrics of BasicSR's registry, ours and stock, as an MMEngine evaluator."""

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
    """PSNR and SSIM in RGB or Y, no-reference and full-reference metrics of pyiqa, FID: as in `wxr train`.

    Args:
        measures: as `val.metrics` of an option file: {psnr_y: {type: calculate_psnr, crop_border:
            0, test_y_channel: true}, musiq: {type: calculate_iqa, metric: musiq}}.

    Images without ground truth have those metrics that need none. Sets of several weathers or
    degradations also have each metric by group (`psnr_rain`) and their unweighted mean
    (`psnr_overall`).
    """

    default_prefix = ""
    SAMPLER_MODE, sample_model = "normal", "orig"  # what MMagic's own evaluator asks of a metric

    def __init__(
        self,
        measures: Mapping[str, Mapping[str, Any]],
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device, prefix)
        self.measures = plain(measures)

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Called by MMagic's evaluator before a validation."""
        self.size = len(dataloader.dataset)

    def get_metric_sampler(
        self, model: nn.Module, dataloader: DataLoader, metrics: Sequence[BaseMetric]
    ) -> DataLoader:
        """Where MMagic's evaluator takes the images from: the loader itself."""
        return dataloader

    def evaluate(self, size: int | None = None) -> dict[str, float]:
        """The figures of a set of `size` images; MMagic's evaluator does not say how many."""
        return super().evaluate(self.size if size is None else size)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Measure each image of a batch; predictions are those of WxrSupervised or of MMagic's models."""
        for sample in data_samples:
            sample = _of_mmagic(sample) if "pred" not in sample else sample
            result = tensor2img([sample["pred"]])
            gt = tensor2img([sample["gt"]]) if sample.get("gt") is not None else None
            group = group_of(
                {key: [sample[key]] for key in ("weather", "degradation") if key in sample}
            )
            self.results.append(
                {**group, **measure(result, gt, usable_metrics(self.measures, gt is not None))}
            )

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """The mean over all images of each metric that all have; of a metric of whole sets its value."""
        shared = [name for name in self.measures if all(name in row for row in results)]
        return means(results, shared) | by_group(results, shared)


def _of_mmagic(sample: Mapping[str, Any]) -> dict[str, Any]:
    """`pred` and `gt`, RGB in [0, 1], of a DataSample's images in [0, 255]."""
    found = {"pred": sample["output"]["pred_img"], "gt": sample.get("gt_img")}
    if (
        str(sample.get("gt_channel_order") or sample.get("img_channel_order") or "rgb").lower()
        == "bgr"
    ):
        found = {key: image if image is None else image.flip(0) for key, image in found.items()}
    return {key: image if image is None else image.float() / 255 for key, image in found.items()}
