"""The metrics of BasicSR's registry, ours and stock, as an MMEngine evaluator."""

from collections.abc import Mapping, Sequence
from typing import Any

from basicsr.utils import tensor2img
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from wxr_plugin.mm.datasets import plain
from wxr_plugin.models.val_metrics import measure, usable_metrics
from wxr_plugin.models.val_table import by_group, group_of, means


@METRICS.register_module()
class WxrMetrics(BaseMetric):
    """PSNR and SSIM in RGB or Y, no-reference and full-reference metrics of pyiqa, FID: as in `wxr train`.

    Args:
        measures: as `val.metrics` of an option file: {psnr_y: {type: calculate_psnr, crop_border: 0, test_y_channel:
            true}, musiq: {type: calculate_iqa, metric: musiq}}.

    Images without ground truth have those metrics that need none. Sets of several weathers or degradations also have
    each metric by group (`psnr_rain`) and their unweighted mean (`psnr_overall`).
    """

    default_prefix = ""

    def __init__(
        self, measures: Mapping[str, Mapping[str, Any]], collect_device: str = "cpu", prefix: str | None = None
    ):
        super().__init__(collect_device, prefix)
        self.measures = plain(measures)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Measure each image of a batch; predictions are those of WxrSupervised."""
        for sample in data_samples:
            result = tensor2img([sample["pred"]])
            gt = tensor2img([sample["gt"]]) if "gt" in sample else None
            group = group_of({key: [sample[key]] for key in ("weather", "degradation") if key in sample})
            self.results.append({**group, **measure(result, gt, usable_metrics(self.measures, gt is not None))})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """The mean over all images of each metric that all have; of a metric of whole sets its value."""
        shared = [name for name in self.measures if all(name in row for row in results)]
        return means(results, shared) | by_group(results, shared)
