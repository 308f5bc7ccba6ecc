"""Model inputs for one fixed question about many images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

Images = list[torch.Tensor]
"""uint8 RGB images, each (3, H, W)."""


def to_uint8(images: torch.Tensor | list[np.ndarray]) -> Images:
    """Images as uint8 tensors (3, H, W) on the CPU: what a PNG of them would hold.

    Takes float RGB (N, 3, H, W) in [0, 1] (values outside are clipped, NaN becomes 0), uint8 (N, 3,
    H, W), or a list of uint8 RGB arrays (H, W, 3) of any sizes.
    """
    if isinstance(images, torch.Tensor):
        if images.dtype != torch.uint8:
            images = (
                images.detach().float().nan_to_num(0).clamp(0, 1).mul(255).round().to(torch.uint8)
            )
        return list(images.cpu().unbind())
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"expected a uint8 RGB image (H, W, 3), got {image.dtype} {image.shape}"
            )
    return [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]


def pad_to_square(image: torch.Tensor, colour: tuple[float, float, float]) -> torch.Tensor:
    """Centre a uint8 image (3, H, W) on a square (3, S, S), S = max(H, W), of `colour` (RGB in [0, 1]).

    The same rounding as in LLaVA's own preprocessing: the colour is cut to whole numbers, an odd
    pixel goes after.
    """
    _, height, width = image.shape
    side = max(height, width)
    square = (
        torch.tensor([int(value * 255) for value in colour], dtype=torch.uint8)
        .view(3, 1, 1)
        .repeat(1, side, side)
    )
    top, left = (side - height) // 2, (side - width) // 2
    square[:, top : top + height, left : left + width] = image
    return square


def chat(processor: Any, question: str, system: str = "") -> str:
    """`question` about one image, as the processor's chat template writes it up to where the answer starts."""
    user = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
    messages = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    return processor.apply_chat_template(
        [*messages, user], tokenize=False, add_generation_prompt=True
    )


def leaves_images_out(processor: Any, question: str, system: str = "") -> bool:
    """Whether the chat template writes the same with an image as without one."""
    user = {"role": "user", "content": [{"type": "text", "text": question}]}
    messages = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    bare = processor.apply_chat_template(
        [*messages, user], tokenize=False, add_generation_prompt=True
    )
    return bare == chat(processor, question, system)


class QuestionInputs:
    """Turns uint8 images into the inputs of a model that is asked the same `text` about each of them.

    The text's tokens depend only on an image's size (through the number of image tokens), so they
    are made once a size and afterwards only the pixels are processed. Whether that gives what the
    whole processor gives is checked at each new size; if it does not, the processor does it all,
    always.
    """

    def __init__(self, processor: Any, text: str, square: bool = False):
        self.processor, self.text, self.square = processor, text, square
        self._texts: dict[torch.Size, dict[str, torch.Tensor]] = {}
        self._short, self._left_out = True, frozenset()
        bos = getattr(processor.tokenizer, "bos_token", None)
        self._text_options = {"add_special_tokens": False} if bos and text.startswith(bos) else {}

    def __call__(self, images: Images) -> dict[str, torch.Tensor]:
        """Inputs for `images`, with left padding where their token counts differ."""
        if self.square:
            images = [
                pad_to_square(image, tuple(self.processor.image_processor.image_mean))
                for image in images
            ]
        size = images[0].shape
        if not self._short or any(image.shape != size for image in images):
            return self.whole(images)
        if size not in self._texts:
            return self._learn(size, images)
        text = {
            key: value.expand(len(images), *value.shape[1:])
            for key, value in self._texts[size].items()
        }
        pixels = self._pixels(images)
        return {
            **text,
            **{key: value for key, value in pixels.items() if key not in self._left_out},
        }

    def whole(self, images: Images) -> dict[str, torch.Tensor]:
        """The same by the processor alone."""
        return dict(
            self.processor(
                images=self._given(images),
                text=[self.text] * len(images),
                return_tensors="pt",
                padding=True,
                padding_side="left",
                **self._text_options,
            )
        )

    def _learn(self, size: torch.Size, images: Images) -> dict[str, torch.Tensor]:
        whole, pixels = self.whole(images), self._pixels(images)
        self._left_out = frozenset(pixels.keys() - whole.keys())  # counts of tiles and the like
        pixels = {key: value for key, value in pixels.items() if key in whole}
        text = {key: value for key, value in whole.items() if key not in pixels}
        repeats = all(
            isinstance(value, torch.Tensor) and (value == value[:1]).all()
            for value in text.values()
        )
        self._short = repeats and "input_ids" in text and _equal(pixels, whole)
        if self._short:
            self._texts[size] = {key: value[:1] for key, value in text.items()}
        return whole

    def _pixels(self, images: Images) -> dict[str, torch.Tensor]:
        return dict(self.processor.image_processor(images=self._given(images), return_tensors="pt"))

    def _given(self, images: Images) -> list[list[Any]]:
        """One list an image, as chat templates give them; tensors where the image processor works on tensors."""
        if getattr(self.processor.image_processor, "backend", None) == "torchvision":
            return [[image] for image in images]
        from PIL import Image

        return [[Image.fromarray(image.permute(1, 2, 0).numpy())] for image in images]


def _equal(part: Mapping[str, torch.Tensor], whole: Mapping[str, torch.Tensor]) -> bool:
    return all(
        isinstance(value, torch.Tensor) and key in whole and torch.equal(value, whole[key])
        for key, value in part.items()
    )
