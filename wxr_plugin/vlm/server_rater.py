"""Rater that uses a vision-language model on an OpenAI-compatible server."""

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
from wxr_plugin.vlm.server_errors import is_bad_request
from wxr_plugin.vlm.server_images import ImageServerOptions, grey_image, image_message

NEVER = -100.0
"""Logit of a word that was not answered; next to a logit of 0, its probability in float32 is 0."""
UNUSABLE = (math.nan,) * 5
"""Logits of an answer without a rating."""


class ServerRaterOptions(ImageServerOptions):
    """Options of a rater that uses a server."""

    type: Literal["ServerRater"] = "ServerRater"
    """Class of the rater."""
    prompt: str = "visibility"
    """A rating prompt of vlm/prompts.yml, or a complete question."""


def logits_from_top(top: list[tuple[str, float]]) -> tuple[float, ...]:
    """Return log-probabilities of RATING_WORDS from (token, log-probability) of the first token.

    The probabilities of all tokens that are the start of a word, in any case and after spaces, are
    summed. For a word without such a token the lowest log-probability in `top` is used, an upper
    bound. NaN if that applies to all five words. Our choice.
    """
    of_word: dict[str, list[float]] = {word: [] for word in RATING_WORDS}
    for token, value in top:
        start = token.strip("▁Ġ \n\t").lower()  # ▁ and Ġ mark a space in front of a token
        for word in RATING_WORDS:
            if start and word.startswith(start):
                of_word[word].append(max(value, NEVER))
    if not any(of_word.values()):
        return UNUSABLE
    # A token outside of `top` is at most as likely as the last one inside.
    bound = max(min(value for _, value in top), NEVER)
    logits = []
    for values in of_word.values():
        logits.append(float(np.logaddexp.reduce(values)) if values else bound)
    return tuple(logits)


def logits_from_text(text: str) -> tuple[float, ...]:
    """Return logits for a text: 0 for the word of RATING_WORDS that is the answer, else NEVER.

    The answer is the first word of the text, or the only one of the five words in it. Without an
    answer the result is NaN.
    """
    words = re.findall(r"[a-z]+", text.lower())
    ratings = {word for word in words if word in RATING_WORDS}
    if not ratings or (len(ratings) > 1 and words[0] not in ratings):
        return UNUSABLE
    answer = words[0] if words[0] in ratings else ratings.pop()
    return tuple(0.0 if word == answer else NEVER for word in RATING_WORDS)


@RATER_REGISTRY.register()
class ServerRater:
    """Rater that uses a model on a server.

    It reads the log-probabilities of the first token or, if the server does not return any, the
    answered word. The constructor sends a request about a grey image to find out which of the two
    the server supports. `rate` can be called from any thread.
    """

    Options = ServerRaterOptions
    tokens_of_word = 8
    """Limit on the length of an answered word, in the model's tokens."""

    def __init__(self, options: ServerRaterOptions):
        self.prompt = prompt_text("rating", options.prompt)
        self.server = ChatServer(options)
        self.image_format = options.image_format
        self.top = self._learn_top()

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Return the ratings (N,) of images.

        The logits are log-probabilities; for words that are not among the likeliest 20 tokens they
        are an upper bound.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).

        Raises:
            WxrError: the server is unreachable.
        """
        pixels = to_uint8(images)
        choices = self.server.ask(pixels, self._content, **self._request(self.top))
        rows = [self._logits(choice) for choice in choices]
        logits = torch.tensor(rows) if rows else torch.empty(0, 5)
        # to_uint8 turns NaN into 0, which would have a rating.
        logits[~finite_images(images)] = torch.nan
        return Ratings(rating_from_logits(logits), logits)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rating depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "maths": MATHS_VERSION,
            "prompt": self.prompt,
            **self.server.provenance(),
            "image_format": self.image_format,
            "top_logprobs": self.top,
        }

    def _content(self, image: torch.Tensor) -> list[dict[str, Any]]:
        return image_message(image, self.prompt, self.image_format)

    def _request(self, top: int) -> dict[str, Any]:
        if top:
            return {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": top}
        return {"max_tokens": self.tokens_of_word, "temperature": 0}

    def _learn_top(self) -> int:
        """Return the number of log-probabilities that the server supports: 20, 5 or 0."""
        content = self._content(grey_image())
        for top in (20, 5):  # some servers have a limit of 5
            try:
                choices = self.server.first_of_each(content, **self._request(top))
            except WxrError as error:
                if is_bad_request(error.__cause__):
                    continue
                raise
            # Ratings must not depend on which server answers, so all have to support it.
            if all(map(_top_logprobs, choices)):
                return top
        self.server.first(content, **self._request(0))
        logging.getLogger("basicsr").warning(
            f"{self.server.url} returns no log-probabilities: its answered word is used"
        )
        return 0

    def _logits(self, choice: Any) -> tuple[float, ...]:
        if not self.top:
            return logits_from_text(text_of(choice))
        top = _top_logprobs(choice)
        return logits_from_top(top) if top else UNUSABLE


def _top_logprobs(choice: Any) -> list[tuple[str, float]]:
    """Return (token, log-probability) of the likeliest first tokens in a `choice`, if any."""
    # Servers leave out any of these attributes, or set them to None.
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    if not tokens:
        return []
    pairs = []
    for item in getattr(tokens[0], "top_logprobs", None) or []:
        token, logprob = getattr(item, "token", None), getattr(item, "logprob", None)
        if isinstance(token, str) and isinstance(logprob, float | int):
            pairs.append((token, logprob))
    return pairs
