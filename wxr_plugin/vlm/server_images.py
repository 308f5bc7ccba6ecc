"""Images in the messages of a chat server."""

import base64
from typing import Any, Literal

import cv2
import numpy as np
import torch

from wxr_plugin.vlm.server import ServerOptions

_MIME = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_SETTINGS = {
    "png": [cv2.IMWRITE_PNG_COMPRESSION, 1],
    "jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    "webp": [],
}


class ImageServerOptions(ServerOptions):
    """Options of what asks a server about images."""

    image_format: Literal["png", "jpeg", "webp"] = "png"
    """How images travel; png is exact, jpeg (quality 95) and webp are smaller and change the answers a little."""


def about(image: torch.Tensor, question: str, image_format: str = "png") -> list[dict[str, Any]]:
    """The content of a message that asks `question` about a uint8 RGB image (3, H, W)."""
    pixels = cv2.cvtColor(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2BGR)
    data = base64.b64encode(
        cv2.imencode(f".{image_format}", pixels, _SETTINGS[image_format])[1]
    ).decode()
    url = {"url": f"data:{_MIME[image_format]};base64,{data}"}
    return [{"type": "image_url", "image_url": url}, {"type": "text", "text": question}]


def grey() -> torch.Tensor:
    """A grey uint8 image (3, 224, 224), for learning whether a server works."""
    return torch.full((3, 224, 224), 128, dtype=torch.uint8)
