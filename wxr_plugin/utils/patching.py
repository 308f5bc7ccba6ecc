"""Replacing an attribute of another library for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(owner: object, name: str, value: Any) -> Iterator[None]:
    """Set the attribute `name` of `owner` to `value` inside the `with` block, and restore it afterwards.

    For libraries that take no argument for what has to change. Affects every thread of the process.

    Raises:
        AttributeError: `owner` has no such attribute.
    """
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
