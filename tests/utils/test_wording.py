"""Parts of messages."""

import pytest

from wxr_plugin.utils.wording import listed, nearest, plural


@pytest.mark.parametrize(
    ("names", "text"),
    [([], ""), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")],
)
def test_listed_cuts_long_lists_short(names, text):
    assert listed(names) == text


def test_plural_adds_an_s_except_for_one():
    assert [plural(count, "problem") for count in (0, 1, 2)] == [
        "0 problems",
        "1 problem",
        "2 problems",
    ]


def test_nearest_suggests_or_lists_all():
    assert nearest("restor", ["restore", "train"]) == "did you mean restore?"
    assert nearest("xyz", ["restore", "train"]) == "known: restore, train"
