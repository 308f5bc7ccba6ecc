import logging

import pytest
import torch

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.conditioning.descriptions import DescriptionFeatures, photo_of

RAIN, DRY = "A street in heavy rain.", "The weather looks good. A street."
FOG, CLEAR = "A hill in fog.", "The weather looks good. A hill."
TEXTS = {
    "rain/a": (RAIN, DRY),
    "rain/a@0,0,8,8": (FOG, DRY),
    "haze/b@c": (FOG, CLEAR),
}


@pytest.fixture(scope="module")
def guide():
    return load_clip("tiny", "cpu")


def test_crops_without_texts_use_those_of_their_photo(guide):
    features = DescriptionFeatures(guide, TEXTS)
    keys = [
        "snow/none",
        "rain/a",
        "rain/a@0,0,8,8",
        "rain/a@4,4,8,8",
        "haze/b@c@1,2,3,4",
        "rain/ab",
    ]
    rows, negative, positive = features.lookup(keys)
    assert rows.tolist() == [1, 2, 3, 4] and rows.dtype == torch.long
    torch.testing.assert_close(negative, guide.encode_text([RAIN, FOG, RAIN, FOG]))
    torch.testing.assert_close(positive, guide.encode_text([DRY, DRY, DRY, CLEAR]))
    assert not negative.requires_grad
    assert features.missing(keys) == ["snow/none", "rain/ab"]


def test_each_distinct_text_is_encoded_once(guide, monkeypatch):
    encoded = []
    encode_text = guide.encode_text
    monkeypatch.setattr(
        guide, "encode_text", lambda texts: encoded.extend(texts) or encode_text(texts)
    )
    features = DescriptionFeatures(guide, TEXTS)
    features.lookup(["rain/a", "rain/a"])
    assert sorted(encoded) == sorted({RAIN, DRY, FOG, CLEAR})


def test_several_batches_of_texts_stay_in_order(guide):
    texts = {str(number): (f"rain {number}", f"clear {number}") for number in range(300)}
    rows, negative, _ = DescriptionFeatures(guide, texts).lookup(["299", "0"])
    assert rows.tolist() == [0, 1]
    torch.testing.assert_close(
        negative, guide.encode_text(["rain 299", "rain 0"]), rtol=1e-4, atol=1e-5
    )


def test_without_texts_the_features_are_empty(guide):
    rows, negative, positive = DescriptionFeatures(guide, {}).lookup(["rain/a"])
    assert len(rows) == 0 and negative.shape == positive.shape == (0, 64)


def test_photos_without_description_are_named_once_and_only_the_first_few(guide, caplog):
    features = DescriptionFeatures(guide, TEXTS)
    with caplog.at_level(logging.WARNING, "basicsr"):
        for _ in range(2):
            features.lookup(
                [f"rain/x{number}@{box},0,9,9" for number in range(5) for box in range(2)]
            )
    assert [record.message.split("'")[1] for record in caplog.records] == [
        "rain/x0",
        "rain/x1",
        "rain/x2",
    ]
    assert (
        "`wxr label describe` and `wxr label rewrite`" in caplog.text
        and "further ones" in caplog.text
    )
    assert len(features.skipped) == 5


def test_photo_of_a_crop_and_of_a_photo():
    assert photo_of("rain/a@0,0,8,8") == "rain/a" == photo_of("rain/a")
    assert photo_of("a@home@0,0,8,8") == "a@home" == photo_of("a@home")
