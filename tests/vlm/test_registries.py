"""Blocks of raters compared without loading anything."""

import pytest

from wxr_plugin.vlm.registries import same_answers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            None,
            {"type": "TransformersRater", "model": "tiny", "batch_size": 3, "device": "cpu"},
            True,
        ),
        (None, {"prompt": "quality"}, False),
        (None, {"model": "llava-1.5-7b"}, False),
        (None, {"type": "PyiqaRater", "metric": "piqe"}, False),
        (
            {"type": "PyiqaRater", "metric": "piqe"},
            {"type": "PyiqaRater", "metric": "piqe", "batch_size": 1},
            True,
        ),
    ],
)
def test_same_answers(one, other, same):
    assert same_answers("rater", one, other) is same
