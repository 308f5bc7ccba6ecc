"""Which images of a request may become the pseudo-label."""

import numpy as np
import pytest

from wxr_plugin.pseudo_labelling.gate import Candidate, RatingRequest

IMAGE = np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("student", "is_valid"), [(3.4, True), (3.5, False), (3.6, False), (None, False)]
)
def test_the_strict_gate_wants_a_higher_rating_than_the_students(student, is_valid):
    label, teacher = Candidate("a", IMAGE, "input", 2.0), Candidate("a", IMAGE, "teacher@1", 3.5)
    request = RatingRequest(label, teacher, rival=Candidate("a", IMAGE, "student", student))
    assert request.valid() == ([label, teacher] if is_valid else [label])
