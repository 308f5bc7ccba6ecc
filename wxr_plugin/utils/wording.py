"""Parts of messages: lists that are cut short, and numbers with their nouns."""

from collections.abc import Sequence


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first `most` names, and the number of further ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, noun: str) -> str:
    """Return `3 problems` for 3 and "problem", `1 problem` for 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
