"""Sorting with temporary files."""

import random
import tempfile

import pytest

from wxr_plugin.utils.external_sort import sorted_on_disk


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100, 105])
def test_items_come_sorted_whatever_their_number(count):
    items = [(random.Random(n).choice("äbc\n"), n % 7, "x" * n) for n in range(count)]
    assert list(sorted_on_disk(iter(items), 10)) == sorted(items)


def test_few_items_are_in_memory(monkeypatch):
    files = []
    monkeypatch.setattr(
        tempfile,
        "TemporaryFile",
        lambda original=tempfile.TemporaryFile: files.append(original()) or files[-1],
    )
    stream = sorted_on_disk(((n,) for n in range(95, 0, -1)), 10)
    assert next(stream) == (1,) and len(files) == 10
    stream.close()
    assert all(file.closed for file in files)
