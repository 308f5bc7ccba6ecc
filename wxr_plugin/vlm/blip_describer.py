"""Captioning an image by BLIP (Li et al., ICML 2022) through transformers, as DA-CLIP's training data was."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import find_model
from wxr_plugin.vlm.fetch import identity, local_folder
from wxr_plugin.vlm.inputs import to_uint8
from wxr_plugin.vlm.loading import ModelOptions, Settings, frozen, load, settings_of
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY


class BlipDescriberOptions(ModelOptions):
    """Options of a BLIP that captions images in this process."""

    type: Literal["BlipDescriber"] = "BlipDescriber"
    """Class that captions."""
    model: str = "blip-large"
    """A name of vlm/models.yml, a local folder, or a hub id; the default is that of clip-interrogator."""
    max_tokens: AtLeastOne = 32
    """Longest caption, in the model's tokens."""


@DESCRIBER_REGISTRY.register()
class BlipDescriber:
    """Captions images, without a question, by greedy decoding; nothing about weather is asked."""

    Options = BlipDescriberOptions

    def __init__(self, options: BlipDescriberOptions):
        settings = settings_of(options)
        self.device = device_of(settings.device)
        self.name, self.processor, self.model, self.weights = _load(options.model, settings)
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """One caption an image, of float RGB (N, 3, H, W) in [0, 1] or a list of uint8 RGB arrays (H, W, 3)."""
        pixels = to_uint8(images)
        parts = (
            pixels[start : start + self.batch_size]
            for start in range(0, len(pixels), self.batch_size)
        )
        return [text for part in parts for text in self._captions(part)]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a caption depends on, in plain types."""
        processing = json.dumps(
            self.processor.image_processor.to_dict(), sort_keys=True, default=str
        )
        return {
            "type": type(self).__name__,
            "model": Path(self.name).name if Path(self.name).is_dir() else self.name,
            "weights": self.weights,
            "max_tokens": self.max_tokens,
            "preprocessing": hashlib.sha256(processing.encode()).hexdigest(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def _captions(self, pixels: list[torch.Tensor]) -> list[str]:
        values = self.processor.image_processor(images=pixels, return_tensors="pt")["pixel_values"]
        with frozen(self.device):
            tokens = self.model.generate(
                pixel_values=values.to(self.device, self.model.dtype),
                do_sample=False,
                max_new_tokens=self.max_tokens,
            )
        texts = self.processor.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]


@lru_cache
def _load(model: str, settings: Settings) -> tuple[str, Any, torch.nn.Module, str]:
    """Name, processor, model and identity, loaded once a process for each `settings`."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    name = find_model(model, "captioner").model
    folder = local_folder(name, settings.revision)
    classes = AutoProcessor, BlipForConditionalGeneration
    processor, module = load(folder, name, settings, classes, "a BLIP that captions", chats=False)
    return name, processor, module, identity(folder)
