"""The words of weather (`weather_words.yml`) as regular expressions, and which of them a text holds."""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml

ARTICLE = r"(?:the|an?|this|that|these|those|some|any|no|its|their|all|such|what (?:appears|seems|looks) to be)"
ADVERB = (
    r"(?:very|quite|rather|somewhat|extremely|slightly|fairly|really|so|too|all|still|mostly|partly|partially|entirely|"
    r"completely|heavily|lightly|densely|thickly|mildly|almost|clearly|visibly|totally|fully|further|more|most|a bit|"
    r"a little|quite a bit|a lot|also|just|currently|now|being|likely|probably)"
)


class Patterns(NamedTuple):
    """Sources of regular expressions; each matches whole words."""

    noun: str
    """One weather noun."""
    adjective: str
    """One weather adjective."""
    adjectives: str
    """Weather adjectives in a row: "wet, very cold and rainy" without the cold."""
    phrase: str
    """A noun phrase that is only about weather: "a thick blanket of fog and heavy rain"."""
    participle: str
    """What was done by weather, up to the preposition: "completely covered in"."""
    verb: str
    """What weather does: "is falling"."""
    thing: str
    """What a weather noun may name the kind of: "boots"."""


@cache
def words() -> dict[str, list]:
    """The lists of `weather_words.yml`."""
    return yaml.safe_load(
        (resources.files(__package__) / "weather_words.yml").read_text(encoding="utf-8")
    )


@cache
def patterns() -> Patterns:
    """The lists as regular expressions."""
    noun, adjective, modifier = _one_of("nouns"), _one_of("adjectives"), _one_of("modifiers")
    own = rf"(?:(?:{ADVERB} )*(?:{modifier}|{adjective})(?:,| and|, and| or)? )*"
    head = rf"(?:{own}{_one_of('heads')} of (?:{ARTICLE} )?)?"
    single = rf"(?:{ARTICLE} )?(?:{ARTICLE} )?{head}{own}{noun}(?! {_one_of('things')}\b)"
    lens = r"(?: (?:on|across|over) (?:the |a |your )?(?:camera(?:'s)?(?: lens)?|lens)\b)?"
    phrase = (
        rf"(?:{single}(?:(?:,| and|, and| or|, or|/|, as well as| as well as) {single})*{lens})"
    )
    adjectives = rf"(?:(?:{ADVERB} )*{adjective}(?:(?:,| and|, and| or|, or|, but| yet) (?:{ADVERB} )*{adjective})*)"
    participle = rf"(?:(?:{ADVERB} )*{_one_of('participles')} (?:in|with|by|under|beneath|from|due to|because of|of|to))"
    return Patterns(
        noun, adjective, adjectives, phrase, participle, _one_of("verbs"), _one_of("things")
    )


def weather_words(text: str) -> list[str]:
    """The words of `text` that speak of bad weather, in its order; an umbrella or a raincoat does not."""
    return [found.group() for found in _any_word().finditer(text.replace("’", "'"))]


@cache
def _any_word() -> re.Pattern[str]:
    return re.compile(
        rf"(?<![\w-])(?:{patterns().adjective}|{patterns().noun})(?![\w-])", re.IGNORECASE
    )


def _one_of(name: str) -> str:
    """The alternatives of a list, those of several words first, because the first that fits is taken."""
    entries = [" ".join(entry.split()) for entry in words()[name]]
    entries.sort(key=lambda entry: not re.search("[ -]", entry))
    return rf"\b(?:{'|'.join(_spaced(entry) for entry in entries)})\b"


def _spaced(entry: str) -> str:
    """A hyphen in an entry stands for a hyphen or a space; those of the syntax, as in [a-z], do not occur."""
    return re.sub(r"-(?!\?)", "[- ]", entry).replace("-?", "[- ]?")
