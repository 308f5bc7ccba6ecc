"""Words of weather (`weather_words.yml`) as regular expressions, and a search for them."""

import re
from functools import cache
from importlib import resources
from typing import NamedTuple

import yaml

ARTICLE = (
    r"(?:the|an?|this|that|these|those|some|any|no|its|their|all|such|what (?:appears|seems|"
    r"looks) to be)"
)
ADVERB = (
    r"(?:very|quite|rather|somewhat|extremely|slightly|fairly|really|so|too|all|still|mostly|"
    r"partly|partially|entirely|completely|heavily|lightly|densely|thickly|mildly|almost|"
    r"clearly|visibly|totally|fully|further|more|most|a bit|a little|quite a bit|a lot|also|"
    r"just|currently|now|being|likely|probably)"
)


class Patterns(NamedTuple):
    """Sources of regular expressions that match whole words."""

    noun: str
    """A weather noun."""
    adjective: str
    """A weather adjective."""
    adjectives: str
    """A sequence of weather adjectives: "wet, foggy and rainy"."""
    phrase: str
    """A noun phrase that is only about weather: "a thick blanket of fog and heavy rain"."""
    participle: str
    """A participle for an effect of weather, with its preposition: "completely covered in"."""
    verb: str
    """A verb with weather as its subject: "falling"."""
    thing: str
    """An object that a weather noun may qualify: "boots" (rain boots)."""


@cache
def words() -> dict[str, list]:
    """Return the lists of `weather_words.yml`."""
    file = resources.files(__package__) / "weather_words.yml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@cache
def patterns() -> Patterns:
    """Return the lists as regular expressions."""
    noun, adjective = _one_of("nouns"), _one_of("adjectives")
    modifier = _one_of("modifiers")
    own = rf"(?:(?:{ADVERB} )*(?:{modifier}|{adjective})(?:,| and|, and| or)? )*"
    head = rf"(?:{own}{_one_of('heads')} of (?:{ARTICLE} )?)?"
    single = rf"(?:{ARTICLE} )?(?:{ARTICLE} )?{head}{own}{noun}(?! {_one_of('things')}\b)"
    lens = r"(?: (?:on|across|over) (?:the |a |your )?(?:camera(?:'s)?(?: lens)?|lens)\b)?"
    conjunction = r"(?:,| and|, and| or|, or|/|, as well as| as well as)"
    phrase = rf"(?:{single}(?:{conjunction} {single})*{lens})"
    graded = rf"(?:{ADVERB} )*{adjective}"
    adjectives = rf"(?:{graded}(?:(?:,| and|, and| or|, or|, but| yet) {graded})*)"
    cause = r"(?:in|with|by|under|beneath|from|due to|because of|of|to)"
    participle = rf"(?:(?:{ADVERB} )*{_one_of('participles')} {cause})"
    return Patterns(
        noun, adjective, adjectives, phrase, participle, _one_of("verbs"), _one_of("things")
    )


def weather_words(text: str) -> list[str]:
    """Return the words for bad weather in `text`, in order; "umbrella" and "raincoat" are none."""
    matches = _any_word().finditer(text.replace("’", "'"))
    return [match.group() for match in matches]


@cache
def _any_word() -> re.Pattern[str]:
    weather = patterns()
    source = rf"(?<![\w-])(?:{weather.adjective}|{weather.noun})(?![\w-])"
    return re.compile(source, re.IGNORECASE)


def _one_of(name: str) -> str:
    """Return the alternatives of a list of `weather_words.yml`."""
    entries = [" ".join(entry.split()) for entry in words()[name]]
    # Entries of several words come first, because the first alternative that matches is taken.
    entries.sort(key=lambda entry: not re.search("[ -]", entry))
    alternatives = "|".join(map(_spaced, entries))
    return rf"\b(?:{alternatives})\b"


def _spaced(entry: str) -> str:
    """Return `entry` with each hyphen matching a hyphen or a space."""
    # Entries have no hyphens of the regular-expression syntax, as in [a-z].
    return re.sub(r"-(?!\?)", "[- ]", entry).replace("-?", "[- ]?")
