"""Evaluators under MMEngine's Runner: the figures of `wxr train`."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import tensor2img
from basicsr.utils.registry import METRIC_REGISTRY
from mmengine.evaluator import Evaluator

from wxr_plugin.metrics.no_reference_metric import calculate_iqa
from wxr_plugin.metrics.set_share import SetShare

PSNR = {"type": "calculate_psnr", "crop_border": 0}
SSIM = {"type": "calculate_ssim", "crop_border": 0}
MEASURES = {
    "psnr": PSNR,
    "psnr_y": {**PSNR, "test_y_channel": True},
    "ssim": SSIM,
    "ssim_y": {**SSIM, "test_y_channel": True},
    "piqe": {"type": "calculate_iqa", "metric": "piqe", "better": "lower"},
}


@dataclass
class Darkest(SetShare):
    value: float

    @classmethod
    def over(cls, shares):
        return min(share.value for share in shares)


def calculate_darkest(img: np.ndarray) -> Darkest:
    return Darkest(float(img.mean()))


def samples(*weathers):
    generator = torch.Generator().manual_seed(0)
    shape = (3, 64, 64)
    draw = lambda: torch.rand(shape, generator=generator)  # noqa: E731
    return [
        {"pred": draw() * 1.2 - 0.1, "gt": draw(), "weather": torch.tensor(weather)}
        for weather in weathers
    ]


def evaluate(measures, items):
    evaluator = Evaluator([{"type": "WxrMetrics", "measures": measures}])
    for item in items:
        evaluator.process([item], None)
    return evaluator.evaluate(len(items))


def test_psnr_and_ssim_in_rgb_and_y_and_pyiqa():
    items = samples(1, 1, 2)
    values = evaluate(MEASURES, items)
    pairs = [[tensor2img([item[key]]) for key in ("pred", "gt")] for item in items]
    for name, expected in {
        "psnr": [calculate_psnr(*pair, 0) for pair in pairs],
        "psnr_y": [calculate_psnr(*pair, 0, test_y_channel=True) for pair in pairs],
        "ssim": [calculate_ssim(*pair, 0) for pair in pairs],
        "ssim_y": [calculate_ssim(*pair, 0, test_y_channel=True) for pair in pairs],
        "piqe": [calculate_iqa(pair[0], "piqe") for pair in pairs],
    }.items():
        assert values[name] == pytest.approx(np.mean(expected))
        assert values[f"{name}_rain"] == pytest.approx(np.mean(expected[:2]))
        assert values[f"{name}_overall"] == pytest.approx((np.mean(expected[:2]) + expected[2]) / 2)


def test_without_ground_truth_and_over_a_whole_set():
    METRIC_REGISTRY.register(calculate_darkest)
    try:
        items = [{"pred": torch.full((3, 32, 32), value)} for value in (0.6, 0.2)]
        values = evaluate({"psnr": PSNR, "darkest": {"type": "calculate_darkest"}}, items)
        assert values == {"darkest": pytest.approx(51)}
    finally:
        del METRIC_REGISTRY._obj_map["calculate_darkest"]


def test_mmagics_samples_are_understood():
    items = samples(1, 1)
    bgr = lambda image: 255 * image.flip(0)  # noqa: E731
    theirs = [
        {
            "output": {"pred_img": bgr(item["pred"])},
            "gt_img": bgr(item["gt"]),
            "gt_channel_order": "BGR",
        }
        for item in items
    ]
    measures = {name: MEASURES[name] for name in ("psnr", "psnr_y")}
    assert evaluate(measures, theirs) == pytest.approx(evaluate(measures, items))
