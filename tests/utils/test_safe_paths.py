"""Names that become paths stay in their folder."""

from pathlib import Path

import pytest

from wxr_plugin.utils.safe_paths import (
    UnsafeNameError,
    key_fault,
    name_fault,
    refuse_unsafe_keys,
    safe_join,
)

UNSAFE = (
    *("", "../x", "..", "a/../../x", "a/..", "/etc/x", "c:/x", "a\0b"),
    *("\\x", "..\\x", "a\\..\\..\\x", "C:\\x"),
)


@pytest.mark.parametrize("key", UNSAFE)
def test_keys_that_lead_out_of_a_folder_are_refused(key, tmp_path):
    assert key_fault(key)
    with pytest.raises(UnsafeNameError, match="give it another name"):
        safe_join(tmp_path, key)


@pytest.mark.parametrize(
    "key", ["a", "rain/a", "a..b", "..a", "a b", "é%2E", "x: y", "sub\\image", ".hidden"]
)
def test_other_keys_become_paths_below_the_folder(key):
    assert safe_join("out", key) == Path("out") / key


def test_the_message_names_the_first_key_and_counts_the_others():
    refuse_unsafe_keys("p.lmdb", ["a", "b/c"])
    with pytest.raises(
        UnsafeNameError, match=r"p\.lmdb: the key '\.\./x' leads to a parent.*and 1 more like it"
    ):
        refuse_unsafe_keys("p.lmdb", ["a", "../x", "/y"])


@pytest.mark.parametrize("name", ["a", "101_MSBDN train v1.2", "ü", "a..b", ".x", "x: y", "-x"])
def test_plain_names_are_accepted(name):
    assert name_fault(name) == ""


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "/a", "a\\b", "a\nb", "a\0b", "x" * 256]
)
def test_other_names_are_refused(name):
    assert name_fault(name)
