"""Rewriting a description for clear weather by rules, without a model."""

import re
from functools import cache
from typing import Any, Literal

from wxr_plugin.schema import Block
from wxr_plugin.vlm import weather_rules as rules
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.weather_words import patterns, weather_words, words

RULES_VERSION = 1
"""Goes up when the rules or their words give other texts than before, so that stored ones are not reused."""
OPENING = "The weather is clear."

_CLEAR = re.compile(
    r"\b(?:clear|sunny|cloudless|good weather|weather (?:is|looks) (?:good|fine|nice))\b",
    re.IGNORECASE,
)
_SHOWS = "The scene shows "


class RuleRewriterOptions(Block):
    """Options of the rules that rewrite descriptions."""

    type: Literal["RuleRewriter"] = "RuleRewriter"
    """Class that rewrites."""
    opening: str = OPENING
    """How a rewritten description begins, unless it says already that the weather is fine."""


@REWRITER_REGISTRY.register()
class RuleRewriter:
    """Takes every mention of bad weather out of a description, by `clear_weather`."""

    Options = RuleRewriterOptions

    def __init__(self, options: RuleRewriterOptions):
        self.opening = options.opening

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """For each English description one for clear weather; None for an empty one."""
        return [clear_weather(text, self.opening) if text.strip() else None for text in texts]

    @property
    def provenance(self) -> dict[str, Any]:
        """All that a rewrite depends on, in plain types."""
        return {"type": type(self).__name__, "rules": RULES_VERSION, "opening": self.opening}


def clear_weather(text: str, opening: str = OPENING) -> str:
    """`text` without a word of bad weather (see `weather_words`), after `opening`; objects, actions and places stay.

    Sentences and clauses that are only about weather go, adjectives go, "the road is wet" becomes
    "the road is clear". A text that says already that the weather is clear, and names no bad
    weather, is returned as it is. English only; the grammar of what is left is plausible, not
    guaranteed. The rules are our own.
    """
    text = " ".join(text.replace("’", "'").split())
    if not weather_words(text) and _CLEAR.search(text):
        return text
    sentences = [
        rewritten
        for sentence in re.split(r"(?<=[.!?]) ", text)
        if (rewritten := _sentence(sentence))
    ]
    body = _without_rest(" ".join(sentences))
    if not body or body.startswith(opening):
        return body or opening
    return f"{opening} {body}"


def _sentence(sentence: str) -> str:
    body, end = re.fullmatch(r"(.*?)([.!?]*)", sentence).groups()
    for wanted, instead in _phrases():
        body = wanted.sub(instead, body)
    body = rules.marked(body)
    if not rules.is_marked(body) and not re.search(
        rf"\b{rules.HARD} to (?:see|make out|discern)", body
    ):
        return body + end if rules.has_content(body) or _CLEAR.search(body) else ""
    clauses = _clauses(body)
    return clauses[:1].upper() + clauses[1:] + (end or ".") if clauses else ""


def _clauses(body: str) -> str:
    """The clauses of a sentence that say something without their weather, joined again."""
    start = rf"(?:{rules.NOUN}|(?:it|there|the weather|the sky|the scene)(?: {rules.BE}|'s)|it {rules.SEEM})"
    body = body.replace(f", {rules.DONE},", "")
    parts = re.split(
        rf"(, |; |: | [–—-] | (?={rules.JOIN} (?:the )?{start})| (?=(?:which|that) "
        rf"{rules.EFFECT}))",
        body,
        flags=re.IGNORECASE,
    )
    text = ""
    for separator, part in zip(["", *parts[1::2]], parts[::2]):
        join, clause = re.match(
            rf"((?:{rules.JOIN}|then)\b(?: {rules.JOIN}\b)* |)(.*)", part, re.IGNORECASE
        ).groups()
        text += _clause(separator, join, clause, first=not text)
    return text


def _clause(separator: str, join: str, clause: str, first: bool) -> str:
    left = rules.effect_on(clause)
    left = rules.spoken_of(clause) if left is None else left
    if left is None:
        clause = rules.cleaned(clause).strip()
        if not rules.has_content(clause):
            return ""
        if first:
            return (_SHOWS if join.strip().lower() == "with" else "") + clause
        return separator + join + clause
    if not rules.has_content(left):
        return ""
    return _SHOWS + left if first else f", with {left}"


def _without_rest(text: str) -> str:
    """What the rules have left standing, if anything, falls word by word."""
    while found := weather_words(text):
        for word in found:
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", "", text)
    text = re.sub(r" +(?=[ ,.;:!?])", "", text)
    return re.sub(r"([,;:])(?=[.,;:!?])", "", text).strip(" ,;:")


@cache
def _phrases() -> list[tuple[re.Pattern[str], str]]:
    found = patterns()
    modifier = "|".join(words()["modifiers"])
    return [
        (
            re.compile(
                rf"\b{wanted.replace('ADJ', found.adjective).replace('MOD', f'(?:{modifier})')}",
                re.IGNORECASE,
            ),
            to,
        )
        for wanted, to in words()["phrases"]
    ]
