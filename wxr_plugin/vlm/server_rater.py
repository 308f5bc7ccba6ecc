"""Rating by a vision-language model behind an OpenAI-compatible server."""

import logging
import math
import re
from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.rater import (
    MATHS_VERSION,
    RATING_WORDS,
    Ratings,
    finite_images,
    rating_from_logits,
)
from wxr_plugin.vlm.registries import RATER_REGISTRY
from wxr_plugin.vlm.server import ChatServer, text_of
from wxr_plugin.vlm.server_errors import is_its_own_fault
from wxr_plugin.vlm.server_images import ImageServerOptions, about, grey

NEVER = -100.0
"""Logit of a word that was not said; with a 0 beside it, its probability is 0 in float32."""
UNUSABLE = (math.nan,) * 5


class ServerRaterOptions(ImageServerOptions):
    """Options of a vision-language model that rates images on a server."""

    type: Literal["ServerRater"] = "ServerRater"
    """Class that rates."""
    prompt: str = "visibility"
    """A rating prompt of vlm/prompts.yml, or a whole question."""


def logits_from_top(top: list[tuple[str, float]]) -> tuple[float, ...]:
    """Log-probabilities of RATING_WORDS from the likeliest first tokens of an answer, (token, log-probability) each.

    The probabilities of all tokens that begin a word, in any case and after spaces, are summed. A
    word that none begins gets the lowest log-probability of `top`, an upper bound of its own. NaN
    if that is so for all five. Our choice.
    """
    found: dict[str, list[float]] = {word: [] for word in RATING_WORDS}
    for token, value in top:
        start = token.strip("▁Ġ \n\t").lower()
        for word in RATING_WORDS:
            if start and word.startswith(start):
                found[word].append(max(value, NEVER))
    if not any(found.values()):
        return UNUSABLE
    floor = max(min(value for _, value in top), NEVER)
    return tuple(
        float(np.logaddexp.reduce(values)) if values else floor for values in found.values()
    )


def logits_from_text(text: str) -> tuple[float, ...]:
    """0 for the word of RATING_WORDS that `text` answers with and NEVER for the others; NaN if there is no one word.

    The answer is the first word, or the only one of the five that occurs.
    """
    said = re.findall(r"[a-z]+", text.lower())
    words = {word for word in said if word in RATING_WORDS}
    answer = (
        said[0]
        if said and said[0] in RATING_WORDS
        else next(iter(words))
        if len(words) == 1
        else None
    )
    return tuple(0.0 if word == answer else NEVER for word in RATING_WORDS) if answer else UNUSABLE


@RATER_REGISTRY.register()
class ServerRater:
    """Rates with a model on a server: one token with its log-probabilities, or where it gives none, the word it says.

    When it is made it asks the server once, about a grey image, to learn whether it works and which
    of both it gives. `rate` may be called from any thread.
    """

    Options = ServerRaterOptions
    tokens_of_word = 8

    def __init__(self, options: ServerRaterOptions):
        self.prompt = prompt_text("rating", options.prompt)
        self.server, self.image_format = ChatServer(options), options.image_format
        self.top = self._learn_top()

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Ratings of float RGB (N, 3, H, W) in [0, 1], or of a list of uint8 RGB arrays (H, W, 3).

        The logits are log-probabilities, those of words beyond the likeliest 20 tokens an upper
        bound.

        Raises:
            WxrError: the server is gone.
        """
        pixels = to_uint8(images)
        choices = self.server.ask(pixels, self._content, **self._request(self.top))
        read = self._from_top if self.top else lambda choice: logits_from_text(text_of(choice))
        rows = [read(choice) for choice in choices]
        logits = torch.tensor(rows) if rows else torch.empty(0, 5)
        logits[~finite_images(images)] = torch.nan
        return Ratings(rating_from_logits(logits), logits)

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rating depends on, in plain types."""
        own = {"type": type(self).__name__, "maths": MATHS_VERSION, "prompt": self.prompt}
        return {
            **own,
            **self.server.provenance(),
            "image_format": self.image_format,
            "top_logprobs": self.top,
        }

    def _content(self, image: torch.Tensor) -> list[dict[str, Any]]:
        return about(image, self.prompt, self.image_format)

    def _request(self, top: int) -> dict[str, Any]:
        if top:
            return {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": top}
        return {"max_tokens": self.tokens_of_word, "temperature": 0}

    def _learn_top(self) -> int:
        """How many log-probabilities the server gives: 20, the 5 that some stop at, or 0."""
        for top in (20, 5, 0):
            try:
                choice = self.server.first(self._content(grey()), **self._request(top))
            except WxrError as error:
                if top and is_its_own_fault(error.__cause__):
                    continue
                raise
            if not top or _top_logprobs(choice):
                break
        if not top:
            logging.getLogger("basicsr").warning(
                f"{self.server.url} gives no log-probabilities: the word that it answers counts"
            )
        return top

    def _from_top(self, choice: Any) -> tuple[float, ...]:
        top = _top_logprobs(choice)
        return logits_from_top(top) if top else UNUSABLE


def _top_logprobs(choice: Any) -> list[tuple[str, float]]:
    """The likeliest first tokens that a `choice` lists; empty if it lists none."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None) or []
    listed = getattr(tokens[0], "top_logprobs", None) or [] if tokens else []
    pairs = [(getattr(item, "token", None), getattr(item, "logprob", None)) for item in listed]
    return [
        (token, logprob)
        for token, logprob in pairs
        if isinstance(token, str) and isinstance(logprob, float | int)
    ]
