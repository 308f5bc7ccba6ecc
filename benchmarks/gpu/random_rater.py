"""Rater of the size of LLaVA-1.5-7B with random weights, made on its device and never stored.

Its ratings mean nothing; they cost as much as the published model's, since time does not depend on
weights.
"""

from typing import Any, Literal

import torch

from wxr_plugin.schema import AtLeastOne, Block
from wxr_plugin.vlm.catalog import find_model, prompt_text
from wxr_plugin.vlm.loading import Settings, device_of
from wxr_plugin.vlm.registries import RATER_REGISTRY
from wxr_plugin.vlm.transformers_rater import TransformersRater, word_ids
from wxr_plugin.vlm.transformers_vlm import TransformersVLM

IMAGE_TOKEN = 4
"""Of the packaged tokenizer."""


class RandomLlavaOptions(Block):
    """Options of RandomLlavaRater."""

    type: Literal["RandomLlavaRater"] = "RandomLlavaRater"
    size: Literal["7b", "tiny"] = "7b"
    """7b: CLIP ViT-L/14 at 336 px and a Llama as Vicuna-7B. tiny: the packaged LLaVA's sizes."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Of the weights."""
    device: str | None = None
    """cpu, cuda, cuda:1, …; the GPU if there is one when absent."""
    batch_size: AtLeastOne = 8
    """Images in one forward pass."""


@RATER_REGISTRY.register()
class RandomLlavaRater(TransformersRater):
    """TransformersRater of a `RandomLlava`; the packaged tokenizer writes the question."""

    Options = RandomLlavaOptions

    def __init__(self, options: RandomLlavaOptions):
        self.prompt = prompt_text("rating", "visibility")
        self.vlm = RandomLlava(options)
        self.batch_size = options.batch_size
        self._ids = word_ids(self.vlm.tokenizer)
        self._question = self.vlm.question(self.prompt)


class RandomLlava(TransformersVLM):
    """TransformersVLM whose weights are drawn instead of loaded."""

    def __init__(self, options: RandomLlavaOptions):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.device, self.settings = (
            device_of(options.device),
            Settings(dtype=options.dtype, device=options.device),
        )
        self.entry, self.weights = find_model("tiny"), f"random {options.size}"
        config = llava_config(options.size, self.entry.model)
        self.processor = AutoProcessor.from_pretrained(self.entry.model)
        self._fit_processor(config)
        self.tokenizer = self.processor.tokenizer
        with self.device, torch.random.fork_rng(devices=self._generators()):
            torch.manual_seed(0)
            model = AutoModelForImageTextToText.from_config(
                config, dtype=getattr(torch, options.dtype)
            )
        self.model = model.eval().requires_grad_(False)
        self._last_only = {"logits_to_keep": 1}

    def _fit_processor(self, config: Any) -> None:
        """Let the processor make images, and as many image tokens, as the vision tower takes."""
        side = config.vision_config.image_size
        self.processor.patch_size = config.vision_config.patch_size
        self.processor.image_processor.size = {"height": side, "width": side}

    def _generators(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []


def llava_config(size: str, tiny: str) -> Any:
    """Return the transformers config of a LLaVA: "7b" as published, or the folder `tiny`'s."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

    if size == "tiny":
        return LlavaConfig.from_pretrained(tiny)
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    text = LlamaConfig(
        vocab_size=32064,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE_TOKEN,
        image_seq_length=576,
        vision_feature_layer=-2,
    )
