"""Describing an image and its weather by a vision-language model behind an OpenAI-compatible server."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY
from wxr_plugin.vlm.server import ChatServer, text_of
from wxr_plugin.vlm.server_images import ImageServerOptions, about, grey


class ServerDescriberOptions(ImageServerOptions):
    """Options of a vision-language model that describes images on a server."""

    type: Literal["ServerDescriber"] = "ServerDescriber"
    """Class that describes."""
    prompt: str = "describe"
    """A description prompt of vlm/prompts.yml, or a whole question."""
    max_tokens: AtLeastOne = 64
    """Longest description, in the model's tokens; CLIP's text encoders read 77 of their own."""


@DESCRIBER_REGISTRY.register()
class ServerDescriber:
    """Describes images with a model on a server, at temperature 0; asks it once when made, to learn if it works."""

    Options = ServerDescriberOptions

    def __init__(self, options: ServerDescriberOptions):
        self.prompt = prompt_text("description", options.prompt)
        self.server, self.image_format = ChatServer(options), options.image_format
        self._request = {"max_tokens": options.max_tokens, "temperature": 0}
        self.server.first(self._content(grey()), **{**self._request, "max_tokens": 1})

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """One text an image, of float RGB (N, 3, H, W) in [0, 1] or a list of uint8 RGB arrays (H, W, 3).

        Empty where nothing usable was answered.

        Raises:
            WxrError: the server is gone.
        """
        return [
            text_of(choice)
            for choice in self.server.ask(to_uint8(images), self._content, **self._request)
        ]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a description depends on, in plain types."""
        own = {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self._request["max_tokens"],
        }
        return {**own, **self.server.provenance(), "image_format": self.image_format}

    def _content(self, image: torch.Tensor) -> list[dict[str, Any]]:
        return about(image, self.prompt, self.image_format)
