"""Texts that are longer than a CLIP reads, cut at a word."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence

from torch import Tensor

Tokenizer = Callable[..., Tensor]
"""Takes texts and `context_length`, gives token ids (K, context_length), padded or cut, as open_clip's tokenizers."""

_TOLD: set[str] = set()
"""CLIPs of which the log has said that they cut texts."""


def shorten(texts: Sequence[str], tokenizer: Tokenizer, length: int, name: str) -> list[str]:
    """The texts, those that need more than `length` tokens cut after the last word that fits.

    A text whose first word alone is too long stays, and the tokenizer cuts it within that word. The
    log says once a process that CLIP `name` cuts texts.
    """
    return [
        text if fits else _cut(text, tokenizer, length, name)
        for text, fits in zip(texts, _fit(texts, tokenizer, length))
    ]


def _fit(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> list[bool]:
    """Whether each text fits: of one place more, the last would then hold padding, as it does after an empty text."""
    last = tokenizer([*texts, ""], context_length=length + 1)[:, -1]
    return (last[:-1] == last[-1]).tolist()


def _cut(text: str, tokenizer: Tokenizer, length: int, name: str) -> str:
    _tell(text, length, name)
    words = text.split()
    counts = range(1, len(words))
    return (
        " ".join(
            words[
                : bisect_left(counts, True, key=lambda n: not _fits(words[:n], tokenizer, length))
            ]
        )
        or text
    )


def _fits(words: list[str], tokenizer: Tokenizer, length: int) -> bool:
    return _fit([" ".join(words)], tokenizer, length)[0]


def _tell(text: str, length: int, name: str) -> None:
    if name in _TOLD:
        return
    _TOLD.add(name)
    logging.getLogger("basicsr").warning(
        f"CLIP '{name}' reads texts of {length} tokens; longer ones are cut at a word (not said "
        f"again), the first: "
        f"'{text[:60]}…'"
    )
