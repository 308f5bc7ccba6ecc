"""Metrics of pyiqa through BasicSR's registry, against pyiqa itself."""

import numpy as np
import pyiqa
import pytest
import torch
from basicsr.metrics import calculate_metric
from skimage.data import astronaut

from wxr_plugin.errors import WxrError
from wxr_plugin.metrics.no_reference_metric import cropped_rgb

RGB = np.ascontiguousarray(astronaut()[:192, :256])
BGR = np.ascontiguousarray(RGB[..., ::-1])


def score(img=BGR, **options):
    return calculate_metric({"img": img}, {"type": "calculate_iqa", **options})


def of_pyiqa(rgb, name="piqe"):
    batch = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None] / 255
    return pyiqa.create_metric(name, device="cpu")(batch).item()


def test_it_is_the_score_of_pyiqa():
    assert score(metric="piqe") == pytest.approx(of_pyiqa(RGB), abs=1e-4)
    assert score(metric="piqe", crop_border=16) == pytest.approx(
        of_pyiqa(RGB[16:-16, 16:-16]), abs=1e-4
    )


def test_a_blurred_photo_is_worse():
    import cv2

    assert score(cv2.GaussianBlur(BGR, (0, 0), 3), metric="piqe") > score(metric="piqe")


def test_the_border_is_cut_and_the_channels_turned():
    assert np.array_equal(cropped_rgb(BGR, 0), RGB)
    assert np.array_equal(cropped_rgb(BGR, 3), RGB[3:-3, 3:-3])


@pytest.mark.parametrize(
    "options, message",
    [
        ({"metric": "musik"}, "musiq"),
        ({"metric": "psnr"}, "compares two images"),
        ({"metric": "musiq", "weights": "nowhere.pth"}, "nowhere.pth does not exist"),
    ],
)
def test_metrics_that_cannot_be_computed_are_refused(options, message):
    with pytest.raises(WxrError, match=message):
        score(**options)
