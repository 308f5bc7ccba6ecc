"""Image-text-to-text models of transformers, run in this process."""

import hashlib
import inspect
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import torch

from wxr_plugin.errors import WxrError
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import ModelEntry, find_model
from wxr_plugin.vlm.fetch import identity, local_folder, portable_name
from wxr_plugin.vlm.inputs import Images, QuestionInputs, chat, leaves_images_out
from wxr_plugin.vlm.loading import Settings, frozen, load

DEFAULTS = Settings()


class TransformersVLM:
    """Frozen model with its processor: logits of the next token, and generated answers."""

    def __init__(self, entry: ModelEntry, settings: Settings = DEFAULTS):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.settings = settings
        self.device = device_of(settings.device)
        folder = local_folder(entry.model, settings.revision)
        self.entry, self.weights = entry, identity(folder)
        classes = AutoProcessor, AutoModelForImageTextToText
        self.processor, self.model = load(
            folder, entry.model, settings, classes, "an image-text-to-text model"
        )
        self.tokenizer = self.processor.tokenizer
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        parameters = inspect.signature(self.model.forward).parameters
        # Only the logits of the last position are needed, and the vocabulary is large.
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def question(self, text: str) -> QuestionInputs:
        """Return the inputs of this model for the question `text` about images.

        Raises:
            WxrError: the chat template of the model ignores images.
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
        """Return the logits of K tokens as the first token of the answer: (N, K), float32, CPU.

        One prefill, without a KV cache. Where the model supports it, only the logits of the last
        position are computed.
        """
        logits = torch.empty(len(images), len(token_ids))
        with frozen(self.device):
            for rows, inputs in self._equal_lengths(question, images):
                output = self.model(**inputs, use_cache=False, **self._last_only)
                last = output.logits[:, -1, token_ids]  # (rows, K)
                logits[rows] = last.float().cpu()
        return logits

    def answers(self, question: QuestionInputs, images: Images, max_tokens: int) -> list[str]:
        """Return the answer about each image, of at most `max_tokens` tokens (greedy decoding)."""
        answers = [""] * len(images)
        with frozen(self.device):
            for rows, inputs in self._equal_lengths(question, images):
                for row, text in zip(rows, self._generate(inputs, max_tokens)):
                    answers[row] = text
        return answers

    def provenance(self, question: str) -> dict[str, Any]:
        """Return everything that an answer to `question` depends on, in plain types.

        It is part of the key of a stored answer.
        """
        preprocessing = self.processor.image_processor.to_dict()
        preprocessing["pad_to_square"] = self.entry.pad_to_square
        text = json.dumps(preprocessing, sort_keys=True, default=str)
        provenance = {
            "model": portable_name(self.entry.model),
            "weights": self.weights,
            "prompt": question,
            "chat": chat(self.processor, question, self.entry.system),
            "preprocessing": hashlib.sha256(text.encode()).hexdigest(),
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }
        # Left out otherwise, so that answers of earlier versions keep their keys.
        if self.settings.quantization != "none":
            provenance["quantization"] = self.settings.quantization
        return provenance

    def _generate(self, inputs: dict[str, torch.Tensor], max_tokens: int) -> list[str]:
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = tokens[:, inputs["input_ids"].shape[1] :]  # without the prompt
        texts = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [text.strip() for text in texts]

    def _equal_lengths(
        self, question: QuestionInputs, images: Images
    ) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
        """Yield (rows of `images`, their inputs) for each number of tokens, without padding."""
        # With padding, the logits of an image would depend on the other images of a batch.
        inputs = question(images)
        lengths = inputs["attention_mask"].sum(1).tolist()
        for length in dict.fromkeys(lengths):
            rows = [row for row, value in enumerate(lengths) if value == length]
            if len(rows) < len(lengths):
                inputs = question([images[row] for row in rows])
            yield rows, {key: self._moved(value) for key, value in inputs.items()}

    def _moved(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        dtype = self.model.dtype if value.is_floating_point() else None
        return value.to(self.device, dtype)


@lru_cache
def load_vlm(model: str, settings: Settings = DEFAULTS) -> TransformersVLM:
    """Return the model `model` (see `catalog.find_model`), loaded once per process and `settings`.

    Raises:
        WxrError: the name is unknown, the model cannot be downloaded, or it does not answer
            questions about images.
    """
    return TransformersVLM(find_model(model), settings)
