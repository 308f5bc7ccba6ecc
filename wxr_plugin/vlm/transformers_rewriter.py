"""Rewriter that runs a language model of transformers in this process."""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from wxr_plugin.schema import AtLeastOne
from wxr_plugin.utils.devices import device_of
from wxr_plugin.vlm.catalog import find_model, prompt_text
from wxr_plugin.vlm.fetch import identity, local_folder, portable_name
from wxr_plugin.vlm.inputs import batches
from wxr_plugin.vlm.loading import ModelOptions, Settings, frozen, load, settings_of
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.rewriter import finished, question


class TransformersRewriterOptions(ModelOptions):
    """Options of a rewriter that runs a language model in this process."""

    type: Literal["TransformersRewriter"] = "TransformersRewriter"
    """Class of the rewriter."""
    model: str
    """A name of vlm/models.yml, a local folder, a hub id, or hf://OWNER/NAME.

    It is a text model or an image-text-to-text model.
    """
    prompt: str = "clear"
    """A rewrite prompt of vlm/prompts.yml, or an instruction; the description follows it."""
    max_tokens: AtLeastOne = 96
    """Longest rewritten description, in the model's tokens."""
    clean: bool = True
    """Remove weather words that are left in an answer by the rules of RuleRewriter."""


class TextModel:
    """Frozen language model with greedy decoding."""

    def __init__(self, name: str, settings: Settings):
        entry = find_model(name, "language model")
        self.name, self.system = entry.model, entry.system
        self.settings = settings
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
        """Return the message `text` in the chat template, up to the start of the answer."""
        messages = []
        if self.system:
            messages.append({"role": "system", "content": self._content(self.system)})
        messages.append({"role": "user", "content": self._content(text)})
        return self.processor.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )

    def _content(self, text: str) -> Any:
        # The templates of processors for images expect a list of parts, those of tokenizers text.
        is_tokenizer = self.processor is self.tokenizer
        return text if is_tokenizer else [{"type": "text", "text": text}]

    def answers(self, texts: list[str], max_tokens: int) -> list[str]:
        """Return the answers to `texts`, which are processed as one batch."""
        written = [self.written(text) for text in texts]
        # The template may start with BOS, which the tokenizer must not add again then.
        bos = self.tokenizer.bos_token
        options = {"add_special_tokens": False} if bos and written[0].startswith(bos) else {}
        inputs = self.tokenizer(
            written, return_tensors="pt", padding=True, padding_side="left", **options
        ).to(self.device)
        with frozen(self.device):
            tokens = self.model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
                max_new_tokens=max_tokens,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        answers = tokens[:, inputs["input_ids"].shape[1] :]  # without the prompt
        return self.tokenizer.batch_decode(answers, skip_special_tokens=True)

    def provenance(self) -> dict[str, Any]:
        """Return everything that an answer depends on, in plain types."""
        return {
            "model": portable_name(self.name),
            "weights": self.weights,
            "chat": self.written(""),
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "quantization": self.settings.quantization,
        }


@lru_cache
def load_text_model(name: str, settings: Settings) -> TextModel:
    """Return the model `name`, loaded once per process and `settings`."""
    return TextModel(name, settings)


@REWRITER_REGISTRY.register()
class TransformersRewriter:
    """Rewriter with a language model of transformers.

    With `clean`, an answer that still has weather words is rewritten by the rules
    (`rule_rewriter.clear_weather`).
    """

    Options = TransformersRewriterOptions

    def __init__(self, options: TransformersRewriterOptions):
        self.prompt, self.clean = prompt_text("rewrite", options.prompt), options.clean
        self.batch_size, self.max_tokens = options.batch_size, options.max_tokens
        self.model = load_text_model(options.model, settings_of(options))

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """Return a description for clear weather for each text; None if there is no usable one."""
        questions = [question(self.prompt, text) for text in texts]
        answers: list[str] = []
        for batch in batches(questions, self.batch_size):
            answers += self.model.answers(batch, self.max_tokens)
        return [finished(answer, self.clean) for answer in answers]

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rewrite depends on, in plain types."""
        return {
            "type": type(self).__name__,
            "prompt": self.prompt,
            "max_tokens": self.max_tokens,
            "clean": self.clean,
            **self.model.provenance(),
        }


def _classes(folder: Path) -> tuple[Any, Any]:
    """Return transformers' auto classes for the folder: a text or an image-text-to-text model."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
        AutoTokenizer,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        takes_images = type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    except (OSError, ValueError, KeyError):
        takes_images = False  # loading will report the problem with the folder
    if takes_images:
        return AutoProcessor, AutoModelForImageTextToText
    return AutoTokenizer, AutoModelForCausalLM
