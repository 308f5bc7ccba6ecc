"""Any image-text-to-text model of transformers, run in this process."""

import hashlib
import inspect
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import ModelEntry, find_model
from wxr_plugin.vlm.fetch import identity, local_folder
from wxr_plugin.vlm.inputs import Images, QuestionInputs, chat, leaves_images_out
from wxr_plugin.vlm.loading import Settings, frozen, load


class TransformersVLM:
    """A frozen model with its processor, and the two things asked of it: next-token logits and a generated answer."""

    def __init__(self, entry: ModelEntry, settings: Settings = Settings()):  # noqa: B008 (it is immutable)
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.device, self.settings = device_of(settings.device), settings
        folder = local_folder(entry.model, settings.revision)
        self.entry, self.weights = entry, identity(folder)
        classes = AutoProcessor, AutoModelForImageTextToText
        self.processor, self.model = load(
            folder, entry.model, settings, classes, "an image-text-to-text model"
        )
        self.tokenizer = self.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        takes = inspect.signature(self.model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}

    def question(self, text: str) -> QuestionInputs:
        """The inputs of this model for the question `text` about an image.

        Raises:
            WxrError: the model's chat template writes text only.
        """
        written = chat(self.processor, text, self.entry.system)
        if leaves_images_out(self.processor, text, self.entry.system):
            raise WxrError(
                f"the chat template of '{self.entry.model}' leaves the image out: {written!r}"
            )
        return QuestionInputs(self.processor, written, self.entry.pad_to_square)

    def next_token_logits(
        self, question: QuestionInputs, images: Images, token_ids: list[int]
    ) -> torch.Tensor:
        """Logits (N, len(token_ids)), float32 on the CPU, of the first token of the answer.

        One prefill; only the last position's logits are computed where the model supports it, and
        no KV cache is kept.
        """
        with frozen(self.device):
            parts = [
                (
                    rows,
                    self.model(**inputs, use_cache=False, **self._last_only)
                    .logits[:, -1, token_ids]
                    .float()
                    .cpu(),
                )
                for rows, inputs in self._equal_lengths(question, images)
            ]
        return torch.stack(_in_order(parts))

    def answers(self, question: QuestionInputs, images: Images, max_tokens: int) -> list[str]:
        """The model's answer about each image, by greedy decoding of at most `max_tokens` tokens."""
        with frozen(self.device):
            parts = [
                (rows, self._generate(inputs, max_tokens))
                for rows, inputs in self._equal_lengths(question, images)
            ]
        return _in_order(parts)

    def provenance(self, question: str) -> dict[str, Any]:
        """What an answer to `question` depends on, in plain types; it is part of the key under which it is stored."""
        processing = self.processor.image_processor.to_dict()
        processing["pad_to_square"] = self.entry.pad_to_square
        return {
            "model": Path(self.entry.model).name
            if Path(self.entry.model).is_dir()
            else self.entry.model,
            "weights": self.weights,
            "prompt": question,
            "chat": chat(self.processor, question, self.entry.system),
            "preprocessing": hashlib.sha256(
                json.dumps(processing, sort_keys=True, default=str).encode()
            ).hexdigest(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            **(
                {"quantization": self.settings.quantization}
                if self.settings.quantization != "none"
                else {}
            ),
        }

    def _generate(self, inputs: dict[str, torch.Tensor], max_tokens: int) -> list[str]:
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        texts = self.tokenizer.batch_decode(
            tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        return [text.strip() for text in texts]

    def _equal_lengths(
        self, question: QuestionInputs, images: Images
    ) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """Rows of `images` and their inputs, without padding: a padded row's logits would depend on its neighbours."""
        inputs = question(images)
        lengths = inputs["attention_mask"].sum(1).tolist()
        for length in dict.fromkeys(lengths):
            rows = [row for row, value in enumerate(lengths) if value == length]
            part = inputs if len(rows) == len(lengths) else question([images[row] for row in rows])
            yield rows, {key: self._moved(value) for key, value in part.items()}

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        return value.to(self.device, self.model.dtype if value.is_floating_point() else None)


@lru_cache
def load_vlm(model: str, settings: Settings = Settings()) -> TransformersVLM:  # noqa: B008 (it is immutable)
    """The model called `model` (see `catalog.find_model`), loaded once a process for each `settings`.

    Raises:
        WxrError: unknown name, no network, or not a model that answers questions about images.
    """
    return TransformersVLM(find_model(model), settings)


def _in_order(parts: list[tuple[list[int], Any]]) -> list[Any]:
    """The items of all parts, in the order of the rows they belong to."""
    pairs = [(row, item) for rows, items in parts for row, item in zip(rows, items)]
    return [item for _, item in sorted(pairs, key=lambda pair: pair[0])]
