"""Ratings, descriptions, degradations and pseudo-labels of images of any kind."""

import math

import numpy as np
import pytest
from PIL import Image

import wxr_plugin as wxr
from wxr_plugin.data.packaged_photos import packaged_photo, weathered
from wxr_plugin.vlm.rater import build_rater


@pytest.fixture(scope="module")
def photo():
    return packaged_photo("chelsea")[:128, :160]


@pytest.fixture(scope="module")
def rainy(photo):
    return weathered(photo, "rain", 0.9, 0, "default")


def test_a_rating_is_that_of_the_rater_for_every_kind_of_image(photo):
    expected = build_rater({"device": "cpu"}).rate([photo]).rating.item()
    given = [photo, Image.fromarray(photo), photo / 255]
    ratings = wxr.rate(given, device="cpu")
    assert ratings == pytest.approx([expected] * 3) and 1 <= expected <= 5
    assert wxr.rate(photo, {"model": "tiny", "device": "cpu"}) == pytest.approx(expected)
    assert wxr.vlm_vis(photo, device="cpu") == pytest.approx((expected - 1) / 4)
    assert wxr.vlm_vis([photo], device="cpu") == [pytest.approx((expected - 1) / 4)]


def test_a_description_is_a_text(rainy):
    text = wxr.describe(rainy, device="cpu")
    assert isinstance(text, str) and text.strip()
    assert wxr.describe([rainy], device="cpu") == [text]


def test_a_degradation_has_its_probabilities(rainy):
    answer = wxr.degradation(rainy, device="cpu")
    assert answer.word == next(iter(answer.probabilities))
    assert answer.probability == max(answer.probabilities.values())
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-4)
    (chosen,) = wxr.degradation([rainy], words=["rainy", "snowy"], device="cpu")
    assert set(chosen.probabilities) == {"rainy", "snowy"}


def test_a_pseudo_label_is_the_candidate_with_the_best_rating(rainy):
    choice = wxr.pseudo_label(rainy, restorers=["tiny"], raters=["tiny"], device="cpu")
    means = {name: row["tiny"] for name, row in choice.ratings.items()}
    assert means.keys() == {"input", "tiny"} and not any(map(math.isnan, means.values()))
    assert choice.rating == means[choice.source] == max(means.values())
    assert choice.image.shape == rainy.shape and choice.image.dtype == np.uint8


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda image: wxr.rate(image, "no-such-model"), "no-such-model"),
        (lambda image: wxr.describe(image, "pyiqa:musiq"), "can only rate"),
        (lambda image: wxr.degradation(image, "missing.pt"), "missing.pt"),
        (lambda image: wxr.degradation(image, words="hazy"), "words"),
        (lambda image: wxr.pseudo_label(image, restorers=[]), "restorers"),
        (lambda image: wxr.pseudo_label(image, raters="tiny"), "raters"),
        (lambda image: wxr.pseudo_label(image, raters=["tiny", "tiny"]), "name each once"),
        (lambda image: wxr.pseudo_label(image, restorers=["tiny", "tiny"]), "name each once"),
    ],
)
def test_a_wrong_question_is_one_line(call, words, photo):
    with pytest.raises(wxr.WxrError) as caught:
        call(photo)
    assert words in str(caught.value) and "\n" not in str(caught.value)
