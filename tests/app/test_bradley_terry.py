"""Bradley-Terry scores: known strengths, symmetry, intervals."""

import numpy as np
import pytest

from wxr_plugin.app.bradley_terry import scores, strengths


def _choices(strength: dict[str, float], count: int, seed: int = 0) -> list[tuple[str, str, float]]:
    rng = np.random.default_rng(seed)
    names = list(strength)
    rows = []
    for _ in range(count):
        first, second = rng.choice(names, 2, replace=False)
        chance = 1 / (1 + np.exp(strength[second] - strength[first]))
        rows.append((first, second, float(rng.random() < chance)))
    return rows


def test_two_methods_have_the_log_odds_of_their_wins():
    # 30 against 10 wins, each with the prior of 0.1: log(30.1 / 10.1).
    score = strengths(np.array([[0, 30], [10, 0]], float))
    assert score[0] - score[1] == pytest.approx(np.log(30.1 / 10.1), abs=1e-6)
    assert score.sum() == pytest.approx(0, abs=1e-9)


def test_known_strengths_are_found():
    truth = {"a": 1.0, "b": 0.0, "c": -1.0}
    result = scores(list(truth), _choices(truth, 4000))
    assert [score.method for score in result] == ["a", "b", "c"]
    for score in result:
        assert score.score == pytest.approx(truth[score.method], abs=0.15)
        assert score.low < score.score < score.high


def test_interval_narrows_with_more_answers():
    truth = {"a": 0.5, "b": -0.5}
    few, many = (scores(list(truth), _choices(truth, count))[0] for count in (40, 1000))
    assert many.high - many.low < (few.high - few.low) / 2


def test_ties_are_half_a_win_for_each():
    result = scores(["a", "b"], [("a", "b", 0.5)] * 10)
    assert [score.wins for score in result] == [5, 5]
    assert result[0].score == pytest.approx(0, abs=1e-9)


def test_unbeaten_method_has_a_finite_score():
    result = scores(["a", "b"], [("a", "b", 1.0)] * 5)
    assert result[0].method == "a" and np.isfinite([result[0].score, result[0].high]).all()


def test_no_answers_yet():
    assert [score.shown for score in scores(["a", "b"], [])] == [0, 0]
