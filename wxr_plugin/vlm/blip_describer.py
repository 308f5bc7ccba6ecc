"""Image captions by BLIP (Li et al., ICML 2022) of transformers, as in DA-CLIP's training data."""

import hashlib
import json
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import find_model
from wxr_plugin.vlm.fetch import identity, local_folder, portable_name
from wxr_plugin.vlm.inputs import batches, to_uint8
from wxr_plugin.vlm.loading import ModelOptions, Settings, frozen, load, settings_of
from wxr_plugin.vlm.registries import DESCRIBER_REGISTRY


class BlipDescriberOptions(ModelOptions):
    """Options of BLIP, run in this process."""

    type: Literal["BlipDescriber"] = "BlipDescriber"
    """Class of the describer."""
    model: str = "blip-large"
    """A name of vlm/models.yml, a local folder, a hub id, or hf://OWNER/NAME.

    The default is that of clip-interrogator.
    """
    max_tokens: AtLeastOne = 32
    """Longest caption, in the model's tokens."""


@DESCRIBER_REGISTRY.register()
class BlipDescriber:
    """Describer that captions images by greedy decoding, without a question about weather."""

    Options = BlipDescriberOptions

    def __init__(self, options: BlipDescriberOptions):
        settings = settings_of(options)
        self.device = device_of(settings.device)
        self.name, self.processor, self.model, self.weights = _load(options.model, settings)
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens

    def describe(self, images: torch.Tensor | list[np.ndarray]) -> list[str]:
        """Return one caption per image.

        Args:
            images: float RGB (N, 3, H, W) in [0, 1], or a list of uint8 RGB arrays (H, W, 3).
        """
        captions: list[str] = []
        for batch in batches(to_uint8(images), self.batch_size):
            captions += self._captions(batch)
        return captions

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a caption depends on, in plain types."""
        preprocessing = self.processor.image_processor.to_dict()
        text = json.dumps(preprocessing, sort_keys=True, default=str)
        return {
            "type": type(self).__name__,
            "model": portable_name(self.name),
            "weights": self.weights,
            "max_tokens": self.max_tokens,
            "preprocessing": hashlib.sha256(text.encode()).hexdigest(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def _captions(self, pixels: list[torch.Tensor]) -> list[str]:
        inputs = self.processor.image_processor(images=pixels, return_tensors="pt")
        values = inputs["pixel_values"]
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
    """Return name, processor, model and identity, loaded once per process and `settings`."""
    from transformers import AutoProcessor, BlipForConditionalGeneration

    name = find_model(model, "captioner").model
    folder = local_folder(name, settings.revision)
    classes = AutoProcessor, BlipForConditionalGeneration
    processor, module = load(folder, name, settings, classes, "a BLIP that captions", chats=False)
    return name, processor, module, identity(folder)
