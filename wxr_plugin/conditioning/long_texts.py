"""Shortening of texts that exceed the context of a CLIP."""

import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence

from torch import Tensor

Tokenizer = Callable[..., Tensor]
"""Tokenizer of open_clip: texts and `context_length` -> token ids (K, context_length), padded or
cut."""

_LOGGED: set[str] = set()
"""Names of CLIPs whose cut texts were logged already."""


def shorten(texts: Sequence[str], tokenizer: Tokenizer, length: int, name: str) -> list[str]:
    """Cut texts of more than `length` tokens after the last word that fits.

    A text whose first word is too long already is left to the tokenizer, which cuts it within that
    word. Once per process and CLIP (`name`), the first cut text is logged.
    """
    fitting = _fit(texts, tokenizer, length)
    shortened = []
    for text, fits in zip(texts, fitting):
        if not fits:
            text = _cut(text, tokenizer, length, name)
        shortened.append(text)
    return shortened


def _fit(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> list[bool]:
    """Return whether each text fits into `length` tokens."""
    # With one more place, the last token of a text that fits is padding, as it is for "".
    tokens = tokenizer([*texts, ""], context_length=length + 1)  # (texts + 1, length + 1)
    last = tokens[:, -1]
    is_padding = last[:-1] == last[-1]
    return is_padding.tolist()


def _cut(text: str, tokenizer: Tokenizer, length: int, name: str) -> str:
    """Return the most words of a text that fit, or the text if not even one does."""
    _log_once(text, length, name)
    words = text.split()

    def is_too_long(count: int) -> bool:
        start = " ".join(words[:count])
        (fits,) = _fit([start], tokenizer, length)
        return not fits

    # Index i of the range stands for i + 1 words, so the first count that is too long has as index
    # the largest count that fits.
    counts = range(1, len(words))
    fitting = bisect_left(counts, True, key=is_too_long)
    shortened = " ".join(words[:fitting])
    return shortened or text


def _log_once(text: str, length: int, name: str) -> None:
    if name in _LOGGED:
        return
    _LOGGED.add(name)
    logging.getLogger("basicsr").warning(
        f"CLIP '{name}' reads texts of {length} tokens; longer ones are cut at a word (not logged "
        f"again), the first: '{text[:60]}…'"
    )
