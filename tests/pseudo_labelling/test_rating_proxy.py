"""The head that estimates ratings: its sums, and that it saves calls without losing labels."""

import numpy as np
import pytest
import torch
from rating_toys import BrightnessRater, grey

from wxr_plugin.conditioning.clip import load_clip
from wxr_plugin.pseudo_labelling.online import PseudoLabels
from wxr_plugin.pseudo_labelling.rating_client import SyncRatingClient
from wxr_plugin.pseudo_labelling.rating_proxy import (
    FIRST_VARIANCE,
    MEMORY,
    ProxySample,
    RatingProxy,
    Ridge,
    chance_above,
    log_odds,
)


def test_ridge_is_the_solution_of_the_normal_equations():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    ridge = Ridge(4, prior=2.0)
    for row, value in zip(x, y):
        ridge.learn(row, float(value))
    matrix = x.T @ x + 2 * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(ridge.weights, torch.linalg.solve(matrix, x.T @ y))
    mean, uncertainty = ridge.predict(x[0])
    assert mean == pytest.approx(float(ridge.weights @ x[0]))
    assert uncertainty == pytest.approx(float(x[0] @ torch.linalg.solve(matrix, x[0])))


def test_chances():
    assert chance_above(3.0, 0.5, 3.0) == 0.5
    assert chance_above(3.0, 0.5, 3.5) == pytest.approx(0.1587, abs=1e-4)
    assert (
        log_odds(3.0) == 0
        and log_odds(4.0) == pytest.approx(np.log(3))
        and np.isfinite(log_odds(5.0))
    )


def test_what_is_new_is_always_worth_it_and_a_perfect_label_never():
    proxy = RatingProxy(None, 0.1, 0.0)
    features = torch.zeros(4)
    assert proxy.chance("a", features, 3.0) == 1
    for rating in (2.0, 2.1, 2.0, 2.1):
        proxy.learn([ProxySample("a", features, rating, 4.0)])
    assert proxy.chance("a", features, 4.0) < 0.01 < proxy.chance("a", features, 2.0)
    assert proxy.chance("a", features, 5.0) == 0 and proxy.chance("b", features, 4.0) == 1
    assert proxy.is_worth_it(0.1) and not proxy.is_worth_it(0.09)
    assert RatingProxy(None, 0.1, 1.0).is_worth_it(0.0)


def test_the_variance_is_that_of_the_rating_without_the_weights_uncertainty():
    """An error of the head has variance v (1 + u), u being the uncertainty of its weights."""
    proxy, direct = RatingProxy(None, 0.1, 0.0), Ridge(4)
    features = torch.zeros(2)  # the inputs are the change of features, the label's lead, and 1
    variance, last = FIRST_VARIANCE, 2.0
    proxy.learn([ProxySample("a", features, last, 4.0)])
    for rating in (2.5, 3.0, 2.2):
        x = torch.tensor([0.0, 0.0, log_odds(last) - log_odds(4.0), 1.0], dtype=torch.float64)
        change = log_odds(rating) - log_odds(last)
        guess, uncertainty = direct.predict(x)
        assert uncertainty > 0.1
        variance = MEMORY * variance + (1 - MEMORY) * (change - guess) ** 2 / (1 + uncertainty)
        direct.learn(x, change)
        proxy.learn([ProxySample("a", features, rating, 4.0)])
        assert proxy.variance == pytest.approx(variance, rel=1e-9)
        last = rating


def test_it_learns_what_a_change_of_features_means():
    generator = torch.Generator().manual_seed(0)
    proxy, slope = RatingProxy(None, 0.1, 0.0), torch.randn(8, generator=generator)
    level = dict.fromkeys("abcd", torch.zeros(8))
    odds = lambda x: 1 + 4 / (1 + np.exp(-float(30 * slope @ x)))  # noqa: E731
    for step in range(200):
        key = "abcd"[step % 4]
        level[key] = level[key] * 0.8 + 0.01 * torch.randn(8, generator=generator)
        proxy.learn([ProxySample(key, level[key], odds(level[key]), 3.0)])
    up, down = level["a"] + 0.02 * slope, level["a"] - 0.02 * slope
    bound = odds(level["a"])
    assert proxy.chance("a", up, bound) > 0.95 and proxy.chance("a", down, bound) < 0.05


def test_a_loaded_state_predicts_the_same():
    proxy, loaded = RatingProxy(None, 0.1, 0.0), RatingProxy(None, 0.1, 0.0)
    loaded.load_state(proxy.state())
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    proxy.learn([ProxySample("ab"[i % 2], features[i], 2.0 + 0.2 * i, 2.5) for i in range(5)])
    loaded.load_state(proxy.state())
    for head in (proxy, loaded):
        head.learn([ProxySample("a", features[5], 3.0, 2.5)])
    assert proxy.chance("a", features[0], 3.1) == loaded.chance("a", features[0], 3.1)
    assert proxy.chance("b", features[0], 3.1) == loaded.chance("b", features[0], 3.1)


def test_it_saves_calls_and_keeps_the_labels(tmp_path):
    """Restorations of twelve crops get brighter for a while, then flicker below their best."""
    runs = {}
    rng = np.random.default_rng(0)
    worth = {
        (i, k): 0.3 + 0.03 * min(i, 8) - 0.02 * k / 12 + 0.004 * rng.random() - 0.1 * (i > 8)
        for i in range(40)
        for k in range(12)
    }
    for name in ("all", "proxy"):
        torch.manual_seed(0)
        proxy = RatingProxy(load_clip("tiny"), 0.1, 0.02) if name == "proxy" else None
        labels = PseudoLabels(tmp_path / name, SyncRatingClient(BrightnessRater()), proxy=proxy)
        for i in range(40):
            keys = [str(k) for k in range(12)]
            restored = grey(*[worth[i, k] for k in range(12)], size=32)
            labels.best(keys, grey(*[0.1] * 12, size=32), i + 1, range(12), restored)
            labels.write(i + 1)
        runs[name] = labels
    assert runs["proxy"].rated < 0.6 * runs["all"].rated
    gap = [runs["all"].ratings[key] - runs["proxy"].ratings[key] for key in runs["all"].ratings]
    assert 0 <= np.mean(gap) < 0.02
