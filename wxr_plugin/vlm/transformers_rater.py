"""Rater with the logits of five words in a model of transformers (WResVLM, arXiv 2409.02101)."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm.catalog import find_model, prompt_text
from wxr_plugin.vlm.inputs import batches, to_uint8
from wxr_plugin.vlm.loading import ModelOptions, settings_of
from wxr_plugin.vlm.rater import (
    MATHS_VERSION,
    RATING_WORDS,
    Ratings,
    finite_images,
    rating_from_logits,
)
from wxr_plugin.vlm.registries import RATER_REGISTRY, chosen


class TransformersRaterOptions(ModelOptions):
    """Options of a rater that runs a vision-language model in this process."""

    type: Literal["TransformersRater"] = "TransformersRater"
    """Class of the rater."""
    model: str = "tiny"
    """A name of vlm/models.yml, a local folder, a hub id, or hf://OWNER/NAME."""
    prompt: str = "visibility"
    """A rating prompt of vlm/prompts.yml, or a complete question."""


def word_ids(tokenizer: Any, words: tuple[str, ...] = RATING_WORDS) -> list[int]:
    """Return the id of the first sub-token of each word, without special tokens.

    A token may have a marker for a space. For LLaVA's tokenizers these are the ids in WResVLM's
    script: `input_ids[1]` after a BOS, else `[0]`.

    Raises:
        WxrError: a word has only unknown tokens, or two words have the same first token.
    """
    ids = {word: _first_id(tokenizer, word) for word in words}
    owners: dict[int, list[str]] = {}
    for word, number in ids.items():
        owners.setdefault(number, []).append(word)
    alike = [" and ".join(map(repr, names)) for names in owners.values() if len(names) > 1]
    if alike:
        pairs = "; ".join(alike)
        raise WxrError(
            f"this tokenizer cannot rate: {pairs} start with the same token; use another model"
        )
    return list(ids.values())


@RATER_REGISTRY.register()
class TransformersRater:
    """Rater with an image-text-to-text model of transformers: one prefill, no generated text."""

    Options = TransformersRaterOptions

    def __init__(self, options: TransformersRaterOptions):
        from wxr_plugin.vlm.transformers_vlm import load_vlm

        self.prompt = prompt_text("rating", options.prompt)
        self.vlm = load_vlm(options.model, settings_of(options))
        self.batch_size = options.batch_size
        self._ids = word_ids(self.vlm.tokenizer)
        self._question = self.vlm.question(self.prompt)

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Return the ratings (N,) of images.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).
        """
        parts = [torch.empty(0, 5)]
        for batch in batches(to_uint8(images), self.batch_size):
            parts.append(self.vlm.next_token_logits(self._question, batch, self._ids))
        logits = torch.cat(parts)
        # to_uint8 turns NaN into 0, which would have a rating.
        logits[~finite_images(images)] = torch.nan
        return Ratings(rating_from_logits(logits), logits)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rating depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "maths": MATHS_VERSION,
            **self.vlm.provenance(self.prompt),
        }


def check_names(opt: dict[str, Any] | None) -> None:
    """Check the block of a rater, and the names of its model and prompt; nothing is loaded.

    For runs that load the model after hours.

    Raises:
        WxrError: the block cannot be built, or there is no such model or prompt.
    """
    _, options = chosen("rater", opt)
    if isinstance(options, TransformersRaterOptions):
        find_model(options.model)
        prompt_text("rating", options.prompt)


def _first_id(tokenizer: Any, word: str) -> int:
    special = set(tokenizer.all_special_ids)
    for number in tokenizer(word, add_special_tokens=False)["input_ids"]:
        # Some tokenizers have a separate token for the space in front of a word.
        text = tokenizer.convert_ids_to_tokens(number).strip("▁Ġ ")
        if text and number not in special:
            return number
    raise WxrError(
        f"this tokenizer cannot rate: it does not know the word '{word}'; use another model"
    )
