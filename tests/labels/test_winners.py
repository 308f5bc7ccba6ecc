"""Which winners of a vote are stored again."""

from types import SimpleNamespace

import numpy as np
import pytest

from wxr_plugin.labels.candidates import Choice, PanelCandidate
from wxr_plugin.labels.outcomes import Outcome
from wxr_plugin.labels.panel import vote
from wxr_plugin.labels.rows import PseudoInfo
from wxr_plugin.labels.winners import changed_winners

CANDIDATES = [PanelCandidate("input", "input", "0"), PanelCandidate("nafnet", "nafnet", "1")]


@pytest.mark.parametrize(
    ("stored", "rating", "rater", "is_stored_again"),
    [
        ("nafnet", 4.0, "panel", False),
        ("nafnet", 4.0, "another panel", True),
        ("nafnet", 3.5, "panel", True),
        ("input", 4.0, "panel", True),
    ],
)
def test_a_winner_is_stored_again_for_another_image_rating_or_panel(
    stored, rating, rater, is_stored_again
):
    ratings = np.array([[2.0, 4.0]])
    outcome = Outcome("a", "rain", CANDIDATES, ratings, vote(ratings))
    candidates = SimpleNamespace(choices={"a": Choice("a", CANDIDATES, stored)})
    labels = {"a": PseudoInfo("a", rating, "nafnet", 0, rater)}
    assert changed_winners(candidates, [outcome], labels, "panel") == (
        [outcome] if is_stored_again else []
    )
