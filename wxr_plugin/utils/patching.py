"""Temporary replacement of an attribute of another library."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(owner: object, name: str, value: Any) -> Iterator[None]:
    """Set the attribute `name` of `owner` to `value` within the `with` block.

    For libraries that offer no argument for the change. It affects every thread of the process.

    Raises:
        AttributeError: `owner` has no such attribute.
    """
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
