"""Images in messages to a chat server."""

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
    """Options of raters and describers that send images to a server."""

    image_format: Literal["png", "jpeg", "webp"] = "png"
    """Format of the images that are sent.

    png is exact; jpeg (quality 95) and webp are smaller and change the answers slightly.
    """


def image_message(
    image: torch.Tensor, question: str, image_format: str = "png"
) -> list[dict[str, Any]]:
    """Return the content of a message with a uint8 RGB image (3, H, W) and a question about it."""
    rgb = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)  # the order of OpenCV
    _, encoded = cv2.imencode(f".{image_format}", bgr, _SETTINGS[image_format])
    data = base64.b64encode(encoded).decode()
    url = {"url": f"data:{_MIME[image_format]};base64,{data}"}
    return [{"type": "image_url", "image_url": url}, {"type": "text", "text": question}]


def grey_image() -> torch.Tensor:
    """Return a grey uint8 image (3, 224, 224) for checking that a server works."""
    return torch.full((3, 224, 224), 128, dtype=torch.uint8)
