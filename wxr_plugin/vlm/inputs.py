"""Model inputs for a fixed question about many images."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch

T = TypeVar("T")
Images = list[torch.Tensor]
"""uint8 RGB images, each (3, H, W)."""


def to_uint8(images: torch.Tensor | list[np.ndarray]) -> Images:
    """Return images as uint8 tensors (3, H, W) on the CPU, with the values that a PNG would have.

    Args:
        images: float RGB (N, 3, H, W) in [0, 1] (values outside are clipped, NaN becomes 0), uint8
            (N, 3, H, W), or a list of uint8 RGB arrays (H, W, 3) of any sizes.

    Raises:
        ValueError: an array of a list has another type or shape.
    """
    if isinstance(images, torch.Tensor):
        if images.dtype != torch.uint8:
            unit = images.detach().float().nan_to_num(0).clamp(0, 1)
            images = unit.mul(255).round().to(torch.uint8)
        return list(images.cpu().unbind())
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"expected a uint8 RGB image (H, W, 3), got {image.dtype} {image.shape}"
            )
    tensors = [torch.from_numpy(np.ascontiguousarray(image)) for image in images]
    return [tensor.permute(2, 0, 1) for tensor in tensors]


def batches(items: list[T], size: int) -> Iterator[list[T]]:
    """Yield slices of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def pad_to_square(image: torch.Tensor, colour: tuple[float, float, float]) -> torch.Tensor:
    """Centre a uint8 image (3, H, W) on a square (3, S, S), S = max(H, W), of `colour`.

    The colour is RGB in [0, 1]. As in LLaVA's preprocessing, it is truncated to whole numbers, and
    an odd pixel of padding is at the bottom or right.
    """
    _, height, width = image.shape
    side = max(height, width)
    values = [int(value * 255) for value in colour]
    pixel = torch.tensor(values, dtype=torch.uint8).view(3, 1, 1)
    square = pixel.repeat(1, side, side)
    top = (side - height) // 2
    left = (side - width) // 2
    square[:, top : top + height, left : left + width] = image
    return square


def chat(processor: Any, question: str, system: str = "") -> str:
    """Return `question` about an image in the chat template, up to the start of the answer."""
    return _templated(processor, [{"type": "image"}, _text_part(question)], system)


def leaves_images_out(processor: Any, question: str, system: str = "") -> bool:
    """Return whether the chat template writes the same text with and without an image."""
    bare = _templated(processor, [_text_part(question)], system)
    return bare == chat(processor, question, system)


def _templated(processor: Any, content: list[dict[str, str]], system: str) -> str:
    messages: list[dict[str, Any]] = []
    if system:
        messages.append({"role": "system", "content": [_text_part(system)]})
    messages.append({"role": "user", "content": content})
    return processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


class QuestionInputs:
    """Inputs of a model for the same `text` about each image.

    The tokens of the text depend only on the size of an image (through the number of image tokens),
    so they are computed once per size, and later only pixels are processed. At each new size this
    is compared with the output of the whole processor; if they differ, the whole processor is used
    from then on.

    Args:
        processor: processor of transformers.
        text: the question in the chat template.
        square: pad images to a square first (see `pad_to_square`).
    """

    def __init__(self, processor: Any, text: str, square: bool = False):
        self.processor, self.text, self.square = processor, text, square
        self._texts: dict[torch.Size, dict[str, torch.Tensor]] = {}
        """Size of images -> inputs of the text, with a batch of one."""
        self._reusable = True
        """Whether the inputs of the text can be reused."""
        self._unused: frozenset[str] = frozenset()
        """Outputs of the image processor that the model does not take."""
        # The template may start with BOS, which the tokenizer must not add again then.
        bos = getattr(processor.tokenizer, "bos_token", None)
        has_bos = bool(bos) and text.startswith(bos)
        self._text_options = {"add_special_tokens": False} if has_bos else {}

    def __call__(self, images: Images) -> dict[str, torch.Tensor]:
        """Return the inputs for `images`, with left padding where numbers of tokens differ."""
        if self.square:
            mean = tuple(self.processor.image_processor.image_mean)
            images = [pad_to_square(image, mean) for image in images]
        size = images[0].shape
        if not self._reusable or any(image.shape != size for image in images):
            return self.whole(images)
        if size not in self._texts:
            return self._learn(size, images)
        inputs = {}
        for key, value in self._texts[size].items():
            inputs[key] = value.expand(len(images), *value.shape[1:])
        for key, value in self._pixels(images).items():
            if key not in self._unused:
                inputs[key] = value
        return inputs

    def whole(self, images: Images) -> dict[str, torch.Tensor]:
        """Return the inputs by the whole processor."""
        inputs = self.processor(
            images=self._nested(images),
            text=[self.text] * len(images),
            return_tensors="pt",
            padding=True,
            padding_side="left",
            **self._text_options,
        )
        return dict(inputs)

    def _learn(self, size: torch.Size, images: Images) -> dict[str, torch.Tensor]:
        """Return the inputs by the whole processor, and store those of the text for this size."""
        whole = self.whole(images)
        pixels = self._pixels(images)
        self._unused = frozenset(pixels.keys() - whole.keys())  # numbers of tiles and the like
        pixels = {key: value for key, value in pixels.items() if key in whole}
        text = {key: value for key, value in whole.items() if key not in pixels}
        # Equal rows: the text does not depend on the content of an image.
        repeats = all(map(_has_equal_rows, text.values()))
        self._reusable = repeats and "input_ids" in text and _equal(pixels, whole)
        if self._reusable:
            self._texts[size] = {key: value[:1] for key, value in text.items()}
        return whole

    def _pixels(self, images: Images) -> dict[str, torch.Tensor]:
        images = self._nested(images)
        return dict(self.processor.image_processor(images=images, return_tensors="pt"))

    def _nested(self, images: Images) -> list[list[Any]]:
        """Return one list per image, as chat templates do, with tensors or PIL images."""
        if getattr(self.processor.image_processor, "backend", None) == "torchvision":
            return [[image] for image in images]
        from PIL import Image

        arrays = [image.permute(1, 2, 0).numpy() for image in images]
        return [[Image.fromarray(array)] for array in arrays]


def _has_equal_rows(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and bool((value == value[:1]).all())


def _equal(part: Mapping[str, torch.Tensor], whole: Mapping[str, torch.Tensor]) -> bool:
    """Return whether all entries of `part` are tensors and equal those of `whole`."""
    for key, value in part.items():
        if not isinstance(value, torch.Tensor) or key not in whole:
            return False
        if not torch.equal(value, whole[key]):
            return False
    return True
