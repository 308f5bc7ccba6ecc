"""Interface of rewriters, which turn a description (d_neg) into one for clear weather (d_pos)."""

from typing import Any, Protocol

from wxr_plugin.vlm.registries import build
from wxr_plugin.vlm.weather_words import weather_words


class Rewriter(Protocol):
    """Interface of the classes in REWRITER_REGISTRY."""

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """Return a description for clear weather for each text; None if there is no usable one.

        Raises:
            WxrError: the rewriter as a whole does not work.
        """

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rewrite depends on, in plain types."""


def build_rewriter(opt: dict[str, Any] | None = None) -> Rewriter:
    """Return the rewriter of a block of options; by default the rules, which need no model.

    Raises:
        WxrError: an unknown type, key, model or prompt, or a model that cannot be loaded.
    """
    return build("rewriter", opt)


def question(prompt: str, text: str) -> str:
    """Return the question to a language model: `prompt`, then the description."""
    return f"{prompt}\n\n{text}"


def finished(answer: str, clean: bool) -> str | None:
    """Return a model's answer on one line, without quotation marks; None for an empty one.

    With `clean`, an answer that still has weather words is rewritten by the rules.
    """
    from wxr_plugin.vlm.rule_rewriter import clear_weather

    answer = " ".join(answer.split()).strip("\"'“”")
    if clean and weather_words(answer):
        return clear_weather(answer)
    return answer or None
