"""Rating by a vision-language model of transformers, from the logits of five words (WResVLM, arXiv 2409.02101)."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import Images, to_uint8
from wxr_plugin.vlm.loading import ModelOptions, settings_of
from wxr_plugin.vlm.rater import (
    MATHS_VERSION,
    RATING_WORDS,
    Ratings,
    finite_images,
    rating_from_logits,
)
from wxr_plugin.vlm.registries import RATER_REGISTRY


class TransformersRaterOptions(ModelOptions):
    """Options of a vision-language model that rates images in this process."""

    type: Literal["TransformersRater"] = "TransformersRater"
    """Class that rates."""
    model: str = "tiny"
    """A name of vlm/models.yml, a local folder, or a hub id."""
    prompt: str = "visibility"
    """A rating prompt of vlm/prompts.yml, or a whole question."""


def word_ids(tokenizer: Any, words: tuple[str, ...] = RATING_WORDS) -> list[int]:
    """The first sub-token of each word, with or without a space marker, skipping BOS and whatever else is special.

    For LLaVA's tokenizers these are the ids that WResVLM's script takes: `input_ids[1]` after a
    BOS, else `[0]`.

    Raises:
        WxrError: a word starts with nothing but unknown tokens, or two words start alike.
    """
    ids = {word: _first_id(tokenizer, word) for word in words}
    owners: dict[int, list[str]] = {}
    for word, number in ids.items():
        owners.setdefault(number, []).append(word)
    if alike := [names for names in owners.values() if len(names) > 1]:
        pairs = "; ".join(" and ".join(f"'{name}'" for name in names) for names in alike)
        raise WxrError(
            f"this tokenizer cannot rate: {pairs} start with the same token; use another model"
        )
    return list(ids.values())


@RATER_REGISTRY.register()
class TransformersRater:
    """Rates with an image-text-to-text model of transformers: one prefill a batch, nothing is generated."""

    Options = TransformersRaterOptions

    def __init__(self, options: TransformersRaterOptions):
        from wxr_plugin.vlm.transformers_vlm import load_vlm

        self.prompt = prompt_text("rating", options.prompt)
        self.vlm = load_vlm(options.model, settings_of(options))
        self.batch_size = options.batch_size
        self._ids = word_ids(self.vlm.tokenizer)
        self._question = self.vlm.question(self.prompt)

    def rate(self, images: torch.Tensor | list[np.ndarray]) -> Ratings:
        """Ratings of float RGB (N, 3, H, W) in [0, 1], or of a list of uint8 RGB arrays (H, W, 3)."""
        pixels = to_uint8(images)
        parts = [
            self.vlm.next_token_logits(self._question, list(part), self._ids)
            for part in self._batches(pixels)
        ]
        logits = torch.cat(parts) if parts else torch.empty(0, 5)
        logits[~finite_images(images)] = torch.nan
        return Ratings(rating_from_logits(logits), logits)

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rating depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "maths": MATHS_VERSION,
            **self.vlm.provenance(self.prompt),
        }

    def _batches(self, pixels: Images) -> Any:
        return (
            pixels[start : start + self.batch_size]
            for start in range(0, len(pixels), self.batch_size)
        )


def _first_id(tokenizer: Any, word: str) -> int:
    special = set(tokenizer.all_special_ids)
    for number in tokenizer(word, add_special_tokens=False)["input_ids"]:
        if number not in special and tokenizer.convert_ids_to_tokens(number).strip("▁Ġ "):
            return number
    raise WxrError(
        f"this tokenizer cannot rate: it does not know the word '{word}'; use another model"
    )
