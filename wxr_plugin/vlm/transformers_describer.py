"""Describer that uses an image-text-to-text model of transformers."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import batches, to_uint8
from wxr_plugin.vlm.loading import settings_of
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY
from wxr_plugin.vlm.transformers_rater import TransformersRaterOptions


class TransformersDescriberOptions(TransformersRaterOptions):
    """Options of a describer that runs a vision-language model in this process."""

    type: Literal["TransformersDescriber"] = "TransformersDescriber"
    """Class of the describer."""
    prompt: str = "describe"
    """A description prompt of vlm/prompts.yml, or a complete question."""
    max_tokens: AtLeastOne = 64
    """Longest description, in the model's tokens; CLIP's text encoders read 77 of their own."""


@DESCRIBER_REGISTRY.register()
class TransformersDescriber:
    """Describer with an image-text-to-text model of transformers and greedy decoding."""

    Options = TransformersDescriberOptions

    def __init__(self, options: TransformersDescriberOptions):
        from wxr_plugin.vlm.transformers_vlm import load_vlm

        self.prompt = prompt_text("description", options.prompt)
        self.vlm = load_vlm(options.model, settings_of(options))
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens
        self._question = self.vlm.question(self.prompt)

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """Return one text per image.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).
        """
        texts: list[str] = []
        for batch in batches(to_uint8(images), self.batch_size):
            texts += self.vlm.answers(self._question, batch, self.max_tokens)
        return texts

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a description depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "max_tokens": self.max_tokens,
            **self.vlm.provenance(self.prompt),
        }
