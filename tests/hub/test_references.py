"""References: their parts, and what is none."""

from pathlib import Path

import pytest

from wxr_plugin.errors import WxrError
from wxr_plugin.hub import Reference, is_reference, read_reference

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text, parts",
    {
        "hf://me/rain": ("me/rain", None, None),
        "hf://me/rain/": ("me/rain", None, None),
        "hf://me/rain/a/b.pth": ("me/rain", None, "a/b.pth"),
        "hf://me/rain@v1.0": ("me/rain", "v1.0", None),
        f"hf://me/rain@{COMMIT}/a b.pth": ("me/rain", COMMIT, "a b.pth"),
        "hf://me/rain@refs/pr/3/a.pth": ("me/rain", "refs/pr/3", "a.pth"),
        "hf://me/rain@feature%2Fsnow/a.pth": ("me/rain", "feature/snow", "a.pth"),
    }.items(),
)
def test_a_reference_has_a_repository_a_revision_and_a_file(text, parts):
    assert read_reference(text) == parts
    assert read_reference(Path(text)) == parts


def test_a_reference_is_written_as_it_is_read():
    for text in ("hf://me/rain", "hf://me/rain@v1/a/b.pth"):
        assert str(read_reference(text)) == text


def test_only_a_commit_pins_a_reference():
    assert Reference("me/rain", COMMIT).is_pinned
    assert not Reference("me/rain", COMMIT[:12]).is_pinned
    assert not Reference("me/rain").is_pinned


@pytest.mark.parametrize("text", ["hf://rain", "hf://", "hf://me//a", "hf://me/rain/../../x"])
def test_another_form_is_refused_with_the_right_one(text):
    assert is_reference(text)
    with pytest.raises(WxrError, match=r"not a reference to the hub; write hf://OWNER/NAME"):
        read_reference(text)


@pytest.mark.parametrize("text", ["small", "a/b.pth", "/hf/a/b", "hf:x", "hf-hub:a/b", None])
def test_other_places_are_no_references(text):
    assert not is_reference(text)
