"""VLM-Vis: its scale, its rater, and its order of images."""

import numpy as np
import pytest
from basicsr.metrics import calculate_metric
from skimage.data import astronaut

from wxr_plugin.data.weather.synthesis import add_weather
from wxr_plugin.errors import WxrError
from wxr_plugin.metrics.vlm_vis_metric import visibility
from wxr_plugin.vlm.rater import build_rater

RGB = np.ascontiguousarray(astronaut()[:240, :320])


def score(rgb, **options):
    return calculate_metric(
        {"img": np.ascontiguousarray(rgb[..., ::-1])}, {"type": "calculate_vlm_vis", **options}
    )


def test_the_scale():
    assert [visibility(rating) for rating in (1, 3, 5)] == [0, 0.5, 1]


def test_it_is_the_rating_of_the_block():
    expected = visibility(build_rater().rate([RGB]).rating.item())
    assert score(RGB) == score(RGB, rater={"type": "TransformersRater"}) == pytest.approx(expected)
    rating = build_rater({"type": "PyiqaRater", "metric": "piqe"}).rate([RGB]).rating.item()
    assert score(RGB, rater={"type": "PyiqaRater", "metric": "piqe"}) == pytest.approx(
        visibility(rating)
    )


def test_haze_lowers_it():
    hazy = add_weather(RGB.astype(np.float32) / 255, "haze", 0.8, np.random.default_rng(0))
    assert score((hazy * 255).astype(np.uint8)) < score(RGB) - 0.2


def test_an_unknown_rater_is_refused():
    with pytest.raises(WxrError, match="unknown rater type"):
        score(RGB, rater={"type": "Nobody"})
