"""Rewriting a description (d_neg) as if the weather were clear (d_pos)."""

from typing import Any, Protocol

from wxr_plugin.vlm.registries import build
from wxr_plugin.vlm.weather_words import weather_words


class Rewriter(Protocol):
    """What `build_rewriter` gives."""

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """For each description one for clear weather; None where nothing usable came out.

        WxrError only if the rewriter as a whole does not work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rewrite depends on, in plain types."""


def build_rewriter(opt: dict[str, Any] | None = None) -> Rewriter:
    """The rewriter that a block of options describes; the rules, which need no model, without one.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("rewriter", opt)


def question(prompt: str, text: str) -> str:
    """What a language model is asked: `prompt`, then the description."""
    return f"{prompt}\n\n{text}"


def finished(answer: str, clean: bool) -> str | None:
    """A model's answer on one line, without its quotation marks; None for an empty one.

    With `clean`, the rules rewrite it once more if a weather word is left.
    """
    from wxr_plugin.vlm.rule_rewriter import clear_weather

    answer = " ".join(answer.split()).strip("\"'“”")
    if clean and weather_words(answer):
        return clear_weather(answer)
    return answer or None
