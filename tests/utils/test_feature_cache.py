import pytest
import torch

from wxr_plugin.utils.feature_cache import FeatureCache

KILOBYTE = 250  # float32 values


class Encoder:
    """Encoder of 1 kB features that repeat a value, and that records the positions it gets."""

    def __init__(self, *values: float):
        self.values, self.asked = torch.tensor(values), []

    def __call__(self, positions: list[int]) -> torch.Tensor:
        self.asked.append(positions)
        return (self.values[positions, None].expand(-1, KILOBYTE) + 0.0).requires_grad_()


def first(features: torch.Tensor) -> list[float]:
    assert features.shape[1:] == (KILOBYTE,)
    return features[:, 0].tolist()


def test_missing_features_are_computed_in_one_call():
    cache, encoder = FeatureCache(1), Encoder(1, 2, 3, 4)
    assert first(cache.features([("a", 0), ("b", 0)], encoder)) == [1, 2]
    features = cache.features([("c", 0), ("b", 0), ("a", 1), ("c", 0)], encoder)
    # b is cached; the content of a has changed; c occurs twice.
    assert first(features) == [1, 2, 3, 1]
    assert encoder.asked == [[0, 1], [0, 2]]
    assert not features.requires_grad
    assert (cache.hits, cache.misses, len(cache)) == (2, 4, 4)


def test_nothing_is_computed_when_all_features_are_cached():
    cache = FeatureCache(1)
    cache.features([("a",)], Encoder(1))
    encoder = Encoder(9)
    assert first(cache.features([("a",)], encoder)) == [1] and encoder.asked == []


def test_the_least_recently_used_is_evicted_first():
    cache = FeatureCache(0.0025)  # two features of a kilobyte, and a half
    for key in "abab":
        cache.features([key], Encoder(1))
    cache.features(["a"], Encoder(1))
    cache.features(["c"], Encoder(1))
    assert cache.bytes == 2000 and len(cache) == 2
    encoder = Encoder(5, 6, 7)
    assert first(cache.features(["a", "b", "c"], encoder)) == [1, 6, 1]


def test_a_batch_larger_than_the_cache_is_returned_whole():
    cache, encoder = FeatureCache(0.0015), Encoder(1, 2, 3)
    assert first(cache.features(["a", "b", "c"], encoder)) == [1, 2, 3]
    assert len(cache) == 1


def test_a_cache_of_size_zero_computes_every_time():
    cache, encoder = FeatureCache(0), Encoder(1)
    for _ in range(2):
        assert first(cache.features(["a"], encoder)) == [1]
    assert len(encoder.asked) == 2 and cache.bytes == 0


def test_a_cached_feature_does_not_keep_its_batch_alive():
    cache = FeatureCache(0.0015)
    cache.features(["a", "b", "c"], Encoder(1, 2, 3))
    (feature,) = cache._cached.values()
    assert feature.untyped_storage().nbytes() == 4 * KILOBYTE


def test_clear_removes_all_features():
    cache, encoder = FeatureCache(1), Encoder(1)
    cache.features(["a"], encoder)
    cache.clear()
    cache.features(["a"], encoder)
    assert len(encoder.asked) == 2 and cache.bytes == 4 * KILOBYTE


def test_a_function_that_returns_too_few_is_an_error():
    with pytest.raises(ValueError):
        FeatureCache(1).features(["a", "b"], lambda positions: torch.zeros(1, 3))
