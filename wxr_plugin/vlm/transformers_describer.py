"""Describing an image and its weather with an image-text-to-text model of transformers."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.loading import settings_of
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY
from wxr_plugin.vlm.transformers_rater import TransformersRaterOptions


class TransformersDescriberOptions(TransformersRaterOptions):
    """Options of a vision-language model that describes images in this process."""

    type: Literal["TransformersDescriber"] = "TransformersDescriber"
    """Class that describes."""
    prompt: str = "describe"
    """A description prompt of vlm/prompts.yml, or a whole question."""
    max_tokens: AtLeastOne = 64
    """Longest description, in the model's tokens; CLIP's text encoders read 77 of their own."""


@DESCRIBER_REGISTRY.register()
class TransformersDescriber:
    """Describes images with an image-text-to-text model of transformers, by greedy decoding."""

    Options = TransformersDescriberOptions

    def __init__(self, options: TransformersDescriberOptions):
        from wxr_plugin.vlm.transformers_vlm import load_vlm

        self.prompt = prompt_text("description", options.prompt)
        self.vlm = load_vlm(options.model, settings_of(options))
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens
        self._question = self.vlm.question(self.prompt)

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """One text an image, of float RGB (N, 3, H, W) in [0, 1] or a list of uint8 RGB arrays (H, W, 3)."""
        pixels = to_uint8(images)
        parts = (
            pixels[start : start + self.batch_size]
            for start in range(0, len(pixels), self.batch_size)
        )
        return [
            text
            for part in parts
            for text in self.vlm.answers(self._question, part, self.max_tokens)
        ]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a description depends on, in plain types."""
        own = {"type": type(self).__name__, "max_tokens": self.max_tokens}
        return {**own, **self.vlm.provenance(self.prompt)}
