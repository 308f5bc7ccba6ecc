"""Rewriting a description for clear weather by a language model of transformers, run in this process."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import find_model, prompt_text
from wxr_plugin.vlm.fetch import identity, local_folder
from wxr_plugin.vlm.loading import ModelOptions, Settings, frozen, load, settings_of
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.rewriter import finished, question


class TransformersRewriterOptions(ModelOptions):
    """Options of a language model that rewrites descriptions in this process."""

    type: Literal["TransformersRewriter"] = "TransformersRewriter"
    """Class that rewrites."""
    model: str
    """A name of vlm/models.yml, a local folder, or a hub id; a text model, or an image-text-to-text model."""
    prompt: str = "clear"
    """A rewrite prompt of vlm/prompts.yml, or a whole instruction; the description follows it."""
    max_tokens: AtLeastOne = 96
    """Longest rewritten description, in the model's tokens."""
    clean: bool = True
    """Let the rules take out the weather words that the model has left."""


class TextModel:
    """A frozen model that answers texts, by greedy decoding."""

    def __init__(self, name: str, settings: Settings):
        entry = find_model(name, "language model")
        self.name, self.system, self.settings = entry.model, entry.system, settings
        self.device = device_of(settings.device)
        folder = local_folder(entry.model, settings.revision)
        self.weights = identity(folder)
        self.processor, self.model = load(
            folder, entry.model, settings, _classes(folder), "a language model"
        )
        self.tokenizer = getattr(self.processor, "tokenizer", self.processor)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token

    def written(self, text: str) -> str:
        """The user's message `text`, as the chat template writes it up to where the answer starts."""
        has_parts = self.processor is not self.tokenizer
        turns = [("system", self.system), ("user", text)] if self.system else [("user", text)]
        said = [
            {"role": r, "content": [{"type": "text", "text": t}] if has_parts else t}
            for r, t in turns
        ]
        return self.processor.apply_chat_template(said, tokenize=False, add_generation_prompt=True)

    def answers(self, texts: list[str], max_tokens: int) -> list[str]:
        """The answers to `texts`, in one batch with left padding."""
        written = [self.written(text) for text in texts]
        bos = self.tokenizer.bos_token
        own = {"add_special_tokens": False} if bos and written[0].startswith(bos) else {}
        given = self.tokenizer(
            written, return_tensors="pt", padding=True, padding_side="left", **own
        ).to(self.device)
        given = {key: given[key] for key in ("input_ids", "attention_mask")}
        with frozen(self.device):
            tokens = self.model.generate(
                **given,
                do_sample=False,
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        return self.tokenizer.batch_decode(
            tokens[:, given["input_ids"].shape[1] :], skip_special_tokens=True
        )

    def provenance(self) -> dict[str, Any]:
        """What an answer depends on, in plain types."""
        known = {
            "model": Path(self.name).name if Path(self.name).is_dir() else self.name,
            "weights": self.weights,
        }
        chat = {"chat": self.written(""), "dtype": str(self.model.dtype).removeprefix("torch.")}
        return {**known, **chat, "quantization": self.settings.quantization}


@lru_cache
def load_text_model(name: str, settings: Settings) -> TextModel:
    """The model called `name`, loaded once a process for each `settings`."""
    return TextModel(name, settings)


@REWRITER_REGISTRY.register()
class TransformersRewriter:
    """Rewrites descriptions with a language model of transformers.

    With `clean`, the rules (`rule_rewriter.clear_weather`) finish an answer in which a weather word
    is left.
    """

    Options = TransformersRewriterOptions

    def __init__(self, options: TransformersRewriterOptions):
        self.prompt, self.clean = prompt_text("rewrite", options.prompt), options.clean
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens
        self.model = load_text_model(options.model, settings_of(options))

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """For each description one for clear weather; None where nothing usable came out."""
        asked = [question(self.prompt, text) for text in texts]
        parts = (
            asked[start : start + self.batch_size]
            for start in range(0, len(asked), self.batch_size)
        )
        answers = [answer for part in parts for answer in self.model.answers(part, self.max_tokens)]
        return [finished(answer, self.clean) for answer in answers]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rewrite depends on, in plain types."""
        own = {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "clean": self.clean,
        }
        return {**own, **self.model.provenance()}


def _classes(folder: Path) -> tuple[Any, Any]:
    """Transformers' auto classes for what the folder holds; both with images and without know how to write."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
        AutoTokenizer,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    try:
        sees = (
            type(AutoConfig.from_pretrained(folder, trust_remote_code=False))
            in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
        )
    except (OSError, ValueError, KeyError):
        sees = False  # loading will say what is wrong with the folder
    return (
        (AutoProcessor, AutoModelForImageTextToText)
        if sees
        else (AutoTokenizer, AutoModelForCausalLM)
    )
