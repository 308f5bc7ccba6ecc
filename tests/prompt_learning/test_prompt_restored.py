import numpy as np
import pytest
import torch
from small_clips import random_clip

from wxr_plugin.labels.rows import PseudoLabel, encode_png
from wxr_plugin.prompt_learning.restored import encode_restored, restored_target


@pytest.fixture(scope="module")
def guide():
    return random_clip("random", 0)


def label(key: str, rating: float, seed: int = 0) -> PseudoLabel:
    image = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return PseudoLabel(
        key=key, png=encode_png(image), rating=rating, source="teacher@5", iteration=5
    )


@pytest.mark.parametrize(
    ("rating", "weather", "target"),
    [(5, 2, [1, 0, 0, 0]), (1, 2, [0, 0, 1, 0]), (4, 3, [0.75, 0, 0, 0.25]), (2, 0, [1, 0, 0, 0])],
)
def test_the_rating_is_shared_between_clear_and_the_photos_weather(rating, weather, target):
    assert restored_target(rating, weather).tolist() == target


def test_whole_photos_are_cropped_and_crops_are_not(guide):
    labels = [label("rain/a", 3), label("snow/b@0,0,60,60", 5)]
    encoded = encode_restored(labels, guide, crops=2, crop_size=32)
    assert encoded.features.shape == (4, 16) and encoded.used == 2
    assert encoded.targets.tolist() == [[0.5, 0.5, 0, 0]] * 3 + [[1, 0, 0, 0]]
    torch.testing.assert_close(encoded.features.norm(dim=1), torch.ones(4))
    repeated = encode_restored(labels, guide, crops=2, crop_size=32)
    assert torch.equal(encoded.features, repeated.features)
    alone = guide.encode_image(torch.from_numpy(label("", 5).image).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(encoded.features[3:], alone)


def test_skipped_pseudo_labels_are_counted(guide):
    labels = [
        label("street", 4),
        label("my rain/a", 4),
        label("rain/a", float("nan")),
        label("haze/held", 4),
        label("haze/held@0,0,9,9", 4),
        label("haze/kept", 4),
    ]
    encoded = encode_restored(labels, guide, held_out={"haze/held"}, crops=0)
    assert (encoded.used, encoded.unknown, encoded.unrated, encoded.held_out) == (1, 2, 1, 2)
    assert len(encoded.features) == len(encoded.targets) == 1


def test_without_usable_pseudo_labels_features_are_empty(guide):
    encoded = encode_restored([label("street", 4)], guide)
    assert encoded.used == 0 and len(encoded.features) == len(encoded.targets) == 0
