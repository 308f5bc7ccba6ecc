"""Comparison of blocks of raters, without loading models."""

import pytest

from wxr_plugin.vlm.registries import same_answers


@pytest.mark.parametrize(
    ("first", "second", "same"),
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
def test_blocks_that_differ_in_speed_only_have_the_same_answers(first, second, same):
    assert same_answers("rater", first, second) is same
