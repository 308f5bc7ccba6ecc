"""Rewriter that uses rules instead of a model."""

import re
from functools import cache
from typing import Any, Literal

from wxr_plugin.schema import Block
from wxr_plugin.vlm import weather_rules as rules
from wxr_plugin.vlm.registries import REWRITER_REGISTRY
from wxr_plugin.vlm.weather_words import patterns, weather_words, words

RULES_VERSION = 1
"""Version of the rules and their words; a change invalidates stored texts."""
OPENING = "The weather is clear."

_CLEAR = re.compile(
    r"\b(?:clear|sunny|cloudless|good weather|weather (?:is|looks) (?:good|fine|nice))\b",
    re.IGNORECASE,
)
_SHOWS = "The scene shows "


class RuleRewriterOptions(Block):
    """Options of the rule-based rewriter."""

    type: Literal["RuleRewriter"] = "RuleRewriter"
    """Class of the rewriter."""
    opening: str = OPENING
    """Start of a rewritten description, unless the original mentions good weather already."""


@REWRITER_REGISTRY.register()
class RuleRewriter:
    """Rewriter that removes every mention of bad weather (see `clear_weather`)."""

    Options = RuleRewriterOptions

    def __init__(self, options: RuleRewriterOptions):
        self.opening = options.opening

    def rewrite(self, texts: list[str]) -> list[str | None]:
        """Return a description for clear weather for each English text; None for an empty one."""
        return [clear_weather(text, self.opening) if text.strip() else None for text in texts]

    @property
    def provenance(self) -> dict[str, Any]:
        """Return everything that a rewrite depends on, in plain types."""
        return {"type": type(self).__name__, "rules": RULES_VERSION, "opening": self.opening}


def clear_weather(text: str, opening: str = OPENING) -> str:
    """Return `opening` and `text` without words of bad weather (see `weather_words`).

    Objects, actions and places are kept. Sentences and clauses that are only about weather are
    removed, as are adjectives; "the road is wet" becomes "the road is clear". A text that already
    mentions clear weather, and no bad weather, is unchanged. English only; correct grammar is
    likely but not guaranteed. The rules are our own.
    """
    text = " ".join(text.replace("’", "'").split())
    if not weather_words(text) and _CLEAR.search(text):
        return text
    sentences = [_sentence(sentence) for sentence in re.split(r"(?<=[.!?]) ", text)]
    body = _without_leftovers(" ".join(filter(None, sentences)))
    if not body or body.startswith(opening):
        return body or opening
    return f"{opening} {body}"


def _sentence(sentence: str) -> str:
    """Return a sentence without its weather; empty if nothing else is left."""
    body, end = re.fullmatch(r"(.*?)([.!?]*)", sentence).groups()
    for pattern, replacement in _phrases():
        body = pattern.sub(replacement, body)
    body = rules.marked(body)
    hard_to_see = re.search(rf"\b{rules.HARD} to (?:see|make out|discern)", body)
    if not rules.is_marked(body) and not hard_to_see:
        keep = rules.has_content(body) or _CLEAR.search(body)
        return body + end if keep else ""
    clauses = _clauses(body)
    if not clauses:
        return ""
    return clauses[:1].upper() + clauses[1:] + (end or ".")


def _clauses(body: str) -> str:
    """Return the clauses of a sentence that have a meaning without weather, joined again."""
    body = body.replace(f", {rules.DONE},", "")
    # With a capturing group, re.split returns clauses and separators in turn.
    parts = _compiled_separator().split(body)
    separators = ["", *parts[1::2]]
    text = ""
    for separator, part in zip(separators, parts[::2]):
        join, clause = _compiled_join().match(part).groups()
        text += _clause(separator, join, clause, first=not text)
    return text


@cache
def _compiled_separator() -> re.Pattern[str]:
    """Return the pattern between clauses: punctuation, or the space before a weather clause."""
    subject = r"(?:it|there|the weather|the sky|the scene)"
    start = rf"(?:{rules.NOUN}|{subject}(?: {rules.BE}|'s)|it {rules.SEEM})"
    weather_clause = rf"{rules.JOIN} (?:the )?{start}"
    effect = rf"(?:which|that) {rules.EFFECT}"
    return re.compile(rf"(, |; |: | [–—-] | (?={weather_clause})| (?={effect}))", re.IGNORECASE)


@cache
def _compiled_join() -> re.Pattern[str]:
    """Return the pattern of a clause: its conjunctions, if any, and the rest."""
    return re.compile(rf"((?:{rules.JOIN}|then)\b(?: {rules.JOIN}\b)* |)(.*)", re.IGNORECASE)


def _clause(separator: str, join: str, clause: str, first: bool) -> str:
    # An effect ("making it hard to see the hills") or weather as the subject ("fog covers the
    # hills"): the rest is a noun phrase. Otherwise the rest is the clause without its weather.
    thing = rules.effect_on(clause)
    if thing is None:
        thing = rules.object_of_weather(clause)
    if thing is None:
        clause = rules.cleaned(clause).strip()
        if not rules.has_content(clause):
            return ""
        if first:
            return (_SHOWS if join.strip().lower() == "with" else "") + clause
        return separator + join + clause
    if not rules.has_content(thing):
        return ""
    return _SHOWS + thing if first else f", with {thing}"


def _without_leftovers(text: str) -> str:
    """Remove weather words that the rules have missed, and punctuation around them."""
    while leftovers := weather_words(text):
        for word in leftovers:
            text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", "", text)
    text = re.sub(r" +(?=[ ,.;:!?])", "", text)
    return re.sub(r"([,;:])(?=[.,;:!?])", "", text).strip(" ,;:")


@cache
def _phrases() -> list[tuple[re.Pattern[str], str]]:
    """Return the phrases of `weather_words.yml` as (pattern, replacement)."""
    adjective = patterns().adjective
    modifiers = "|".join(words()["modifiers"])
    phrases = []
    for entry, replacement in words()["phrases"]:
        source = entry.replace("ADJ", adjective).replace("MOD", f"(?:{modifiers})")
        phrases.append((re.compile(rf"\b{source}", re.IGNORECASE), replacement))
    return phrases
