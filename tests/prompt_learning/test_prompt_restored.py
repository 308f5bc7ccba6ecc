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


def test_whole_photos_give_crops_and_crops_themselves(guide):
    found = encode_restored(
        [label("rain/a", 3), label("snow/b@0,0,60,60", 5)], guide, crops=2, crop_size=32
    )
    assert found.features.shape == (4, 16) and found.used == 2
    assert found.targets.tolist() == [[0.5, 0.5, 0, 0]] * 3 + [[1, 0, 0, 0]]
    torch.testing.assert_close(found.features.norm(dim=1), torch.ones(4))
    assert torch.equal(
        found.features,
        encode_restored(
            [label("rain/a", 3), label("snow/b@0,0,60,60", 5)], guide, crops=2, crop_size=32
        ).features,
    )
    alone = guide.encode_image(torch.from_numpy(label("", 5).image).permute(2, 0, 1)[None] / 255)
    torch.testing.assert_close(found.features[3:], alone)


def test_what_is_left_out_is_counted(guide):
    labels = [
        label("street", 4),
        label("my rain/a", 4),
        label("rain/a", float("nan")),
        label("haze/held", 4),
        label("haze/held@0,0,9,9", 4),
        label("haze/kept", 4),
    ]
    found = encode_restored(labels, guide, held_out={"haze/held"}, crops=0)
    assert (found.used, found.unknown, found.unrated, found.held_out) == (1, 2, 1, 2)
    assert len(found.features) == len(found.targets) == 1


def test_nothing_to_use_is_empty(guide):
    found = encode_restored([label("street", 4)], guide)
    assert found.used == 0 and len(found.features) == len(found.targets) == 0
