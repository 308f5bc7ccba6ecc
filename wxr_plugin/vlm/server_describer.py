"""Describer that uses a vision-language model on an OpenAI-compatible server."""

from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.vlm.catalog import prompt_text
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY
from wxr_plugin.vlm.server import ChatServer, text_of
from wxr_plugin.vlm.server_images import ImageServerOptions, grey_image, image_message


class ServerDescriberOptions(ImageServerOptions):
    """Options of a describer that uses a server."""

    type: Literal["ServerDescriber"] = "ServerDescriber"
    """Class of the describer."""
    prompt: str = "describe"
    """A description prompt of vlm/prompts.yml, or a complete question."""
    max_tokens: AtLeastOne = 64
    """Longest description, in the model's tokens; CLIP's text encoders read 77 of their own."""


@DESCRIBER_REGISTRY.register()
class ServerDescriber:
    """Describer that uses a model on a server, at temperature 0.

    The constructor sends a request to check that the server works.
    """

    Options = ServerDescriberOptions

    def __init__(self, options: ServerDescriberOptions):
        self.prompt = prompt_text("description", options.prompt)
        self.server = ChatServer(options)
        self.image_format = options.image_format
        self._request = {"max_tokens": options.max_tokens, "temperature": 0}
        self.server.first(self._content(grey_image()), **self._request | {"max_tokens": 1})

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """Return one text per image; it is empty if the answer is not usable.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).

        Raises:
            WxrError: the server is unreachable.
        """
        choices = self.server.ask(to_uint8(images), self._content, **self._request)
        return [text_of(choice) for choice in choices]

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a description depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self._request["max_tokens"],
            **self.server.provenance(),
            "image_format": self.image_format,
        }

    def _content(self, image: torch.Tensor) -> list[dict[str, Any]]:
        return image_message(image, self.prompt, self.image_format)
