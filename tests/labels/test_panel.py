import numpy as np
import pytest

from wxr_plugin.labels.panel import panel_provenance, vote

NAN = np.nan


@pytest.mark.parametrize(
    ("ratings", "winner", "mean_rank"),
    [
        ([[2.0, 4.0, 3.0]], 1, [3, 1, 2]),
        (
            [[2.0, 4.0, 3.0], [4.5, 2.0, 4.0]],
            2,
            [2, 2, 2],
        ),  # all tie in rank: mean ratings 3.25, 3, 3.5
        ([[5.0, 1.0], [2.0, 2.1], [2.0, 2.1]], 1, [5 / 3, 4 / 3]),  # ranks, not ratings, decide
        ([[3.0, 3.0, 1.0]], 0, [1.5, 1.5, 3]),  # a tie in both goes to the first
        ([[3.0, NAN, 1.0]], 0, [1, 3, 2]),  # without a rating comes last
        ([[3.0, NAN, NAN]], 0, [1, 2.5, 2.5]),
        ([[NAN, NAN], [1.0, 2.0]], 1, [2, 1]),  # a rater that rated none has no say
        ([[1.0, NAN], [NAN, 5.0]], 1, [1.5, 1.5]),
        ([[NAN, 1.0]], 1, [2, 1]),
        ([[4.0]], 0, [1]),
    ],
)
def test_the_lowest_mean_rank_wins_then_the_higher_mean_rating_then_the_first(
    ratings, winner, mean_rank
):
    result = vote(np.array(ratings))
    assert result.winner == winner
    assert np.allclose(result.mean_rank, mean_rank)


def test_mean_ratings_are_over_those_who_rated():
    result = vote(np.array([[2.0, NAN, NAN], [4.0, 5.0, NAN]]))
    assert np.allclose(result.mean_rating, [3, 5, NAN], equal_nan=True)
    assert result.winner == 0  # mean ranks 1.5 (1, 2), 1.75 (2.5, 1), 2.75


def test_a_candidate_that_none_rated_cannot_win_and_without_any_rating_there_is_no_winner():
    assert vote(np.array([[NAN, NAN, 1.0]])).winner == 2
    nothing = vote(np.full((2, 3), NAN))
    assert (
        nothing.winner is None
        and np.isnan(nothing.mean_rank).all()
        and np.isnan(nothing.mean_rating).all()
    )


def test_a_panel_of_one_is_its_rater():
    first, second = {"type": "A", "model": "a"}, {"type": "B"}
    assert panel_provenance([first]) == first
    assert panel_provenance([first, second]) == {"type": "panel", "raters": [first, second]}
    assert panel_provenance([second, first]) != panel_provenance([first, second])
