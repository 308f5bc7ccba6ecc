"""Parts of messages: lists that are cut short, and numbers with their nouns."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first `most` names, and the number of further ones."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(count: int, noun: str) -> str:
    """Return `3 problems` for 3 and "problem", `1 problem` for 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return the end of an error message about `name`: the nearest of `choices`, or all of them."""
    choices = list(choices)
    close = get_close_matches(name, choices, n=3, cutoff=0.5)
    return f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(choices)}"
