"""Rules that remove weather from a sentence (our own; no model, English only).

First, weather is replaced by marks: NOUN for a noun phrase ("heavy rain"), WORD for adjectives
("wet and rainy"), DONE for participles ("covered in snow"). Then rules remove the marks together
with words that depend on them, or replace them so that the sentence stays complete ("the road is
WORD" becomes "the road is clear"). GONE marks a removed part until spaces are tidied.
"""

import re
from functools import cache

from wxr_plugin.vlm.weather_words import ADVERB, ARTICLE, patterns, words

NOUN, WORD, DONE, GONE = "¤", "§", "‡", "·"
BE = r"(?:is|are|was|were|be|been|being|has been|have been|had been|'s|'re)"
SEEM = (
    r"(?:(?:looks?|appears?|seems?|becomes?|became|remains?|remained|turns?|turned|gets?|"
    r"feels?)(?: to be)?)"
)
PREPOSITION = (
    r"(?:in spite of|because of|due to|on account of|as a result of|regardless of|thanks to|"
    r"instead of|from|in|during|through|throughout|underneath|under|amidst|amid|with|without|"
    r"by|despite|against|after|before|of|for|about|into|beneath|onto|over|on|to|between|among|"
    r"across|behind|at|like|via|near|above|beyond|within|outside|around)"
)
JOIN = (
    r"(?:even though|although|though|and|but|while|as|with|where|so that|so|because|since|"
    r"which|or|yet|when|until)"
)
HARD = (
    r"(?:(?:it |quite |very |more |rather |somewhat |extremely )*(?:hard|difficult|"
    r"challenging|tough|impossible|harder|tricky|dangerous|hazardous|unsafe|"
    r"not easy)(?: for [\w' ]+?)?(?: to \w+(?: out| through)?)?)"
)
EFFECT = (
    r"(?:making|makes|made|obscuring|obscures|reducing|reduces|limiting|limits|creating|"
    r"creates|giving|gives|adding|adds|causing|causes|blurring|blurs|hiding|hides|covering|"
    r"covers|blanketing|shrouding|enveloping|lending|impairing|affecting|affects|indicating|"
    r"indicates|suggesting|suggests|contributing to|leaving|resulting in|softening|muting|"
    r"partially obscuring|slightly obscuring|forcing|requiring|prompting|diffusing|masking|"
    r"veiling|dampening)"
)


def marked(sentence: str) -> str:
    """Return `sentence` with its weather replaced by marks."""
    weather = patterns()
    # The participle is a group "(?:...)"; its alternatives are joined with two more.
    participle = rf"(?:full|free|{weather.participle[3:-1]})"
    marks = (
        (rf"{participle} (?:of )?{weather.phrase}", DONE),
        (rf"{weather.noun}(?= {weather.thing}\b)", WORD),  # "rain boots"
        (weather.phrase, NOUN),
        (weather.adjectives, WORD),
    )
    for source, mark in marks:
        sentence = _compiled(rf"(?<![\w-])(?:{source})(?![\w-])").sub(mark, sentence)
    return sentence


def is_marked(text: str) -> bool:
    """Return whether `text` contains a mark."""
    return any(mark in text for mark in (NOUN, WORD, DONE))


def object_of_weather(clause: str) -> str | None:
    """Return the rest of a clause whose subject is weather, or None if it has another subject.

    "¤ covers the hills" gives "the hills".
    """
    verb = patterns().verb
    modal = r"(?:can|could|may|might|will|would|must)(?: also)?"
    auxiliary = rf"(?: {modal} be (?:seen )?| {BE}| has| have)?(?: {ADVERB})*"
    act = rf"(?: (?:{verb}|{HARD}|{WORD}|{DONE})(?: {ADVERB}| down| up| in| out| off)*)*"
    subject = rf"^(?:{ARTICLE} )?{NOUN}(?: (?:that|which))?{auxiliary}{act}"
    sight = r"(?:there(?: also)?|here|you can see|we see|we can see)"
    there = rf"^{sight}(?: (?:appears?|seems?) to)?(?: {BE})?(?: {ADVERB})* {NOUN}{act}"
    for source in (subject, there):
        match = _compiled(source).match(clause)
        if match:
            return _bare(clause[match.end() :])
    return None


def cleaned(clause: str) -> str:
    """Return a clause without marks; the rules keep its grammar as far as possible."""
    for pattern, replacement in _rules():
        clause = pattern.sub(replacement, clause)
    return clause


def effect_on(clause: str) -> str | None:
    """Return the object of an effect of weather, or None if the clause is not such an effect.

    "making it hard to see the hills" gives "the hills".
    """
    match = _compiled(rf"^{EFFECT}\b ?").match(clause)
    if not match:
        return None
    rest = clause[match.end() :]
    rest = _compiled(rf"^{HARD}").sub("", rest).strip()
    # "to see clearly in the distance": nothing is named that could be seen.
    vague = r"(?:clearly|far|ahead|much|anything|well|a (?:clear|full)?)"
    rest = _compiled(rf"^(?:{vague} ?)+(?=$|{PREPOSITION}\b)").sub("", rest)
    # "forcing people to walk" -> "people that walk"
    rest = _compiled(r"^([\w' -]+?) to (?=\w)").sub(r"\1 that ", rest)
    return _bare(rest)


def _bare(rest: str) -> str:
    """Return `rest` without marks, and without the prepositions at its start."""
    text = cleaned(rest.strip()).strip()
    return _compiled(rf"^(?: ?{PREPOSITION}(?= |$))+").sub("", text).strip()


def has_content(clause: str) -> bool:
    """Return whether a clause has a word apart from those that only serve to mention weather."""
    expanded = clause.lower().replace("'s", " is")
    return any(word not in _empty_words() for word in re.findall(r"[\w-]+", expanded))


@cache
def _rules() -> list[tuple[re.Pattern[str], str]]:
    """Return (pattern, replacement) in the order in which they are applied."""
    then = rf"(?=$| {PREPOSITION}\b| {JOIN}\b)"
    falling = (
        r"(?:falling|pouring|coming|drifting|blowing|swirling|streaming|beating|running|dripping|"
        r"visible|present)"
    )
    from_sky = r"(?: down| from (?:the )?(?:sky|above|clouds)| in the air| everywhere| all around)"
    loose = rf"\b(?:{PREPOSITION}|{ARTICLE}|and|or|but|very|{BE}|has|have|full)(?=[ {GONE}])"
    noun = rf"{ARTICLE} (?:middle|midst|face|wake|centre|center|aftermath|onset|threat) of {NOUN}"
    # Specific rules come first, since each rule consumes the marks that it matches.
    return [
        (_compiled(source), replacement)
        for source, replacement in (
            (rf"(?:{PREPOSITION} )?{NOUN}(?: {ADVERB})* {falling}(?: {ADVERB}|{from_sky})*", GONE),
            (rf"\b(?:with|of|and) {NOUN}(?: {ADVERB})* (?=\w+ing\b){patterns().verb}", "with"),
            (rf"{PREPOSITION} {noun}", GONE),
            (
                rf"(?:has|have|had|having|with|got) {NOUN} (?:on|over|in|at) "
                rf"(?:it|them|top|itself|themselves)\b",
                GONE,
            ),
            (rf"(?:,? (?:and|or|as well as)|,) {NOUN}", GONE),
            (rf"{NOUN}(?:,? (?:and|or|as well as)|,) ", ""),
            (rf"\b({BE}|{SEEM})(?: {ADVERB})* {DONE}{then}", r"\1 clearly visible"),
            (rf"\b({BE}|{SEEM})(?: {ADVERB})* (?:{WORD}|{HARD}){then}", r"\1 clear"),
            (rf"\b({BE}|{SEEM})(?: {ADVERB})* {WORD} (and|but|yet) ", r"\1 "),
            (
                rf"(?: and| but| yet|,)(?: {ADVERB})* (?:{WORD}|{DONE})(?=$|,| {JOIN}\b| "
                rf"{PREPOSITION}\b)",
                GONE,
            ),
            (rf"\b(?:{PREPOSITION}|along)(?: {PREPOSITION})* {NOUN}", GONE),
            (rf"\ban? {WORD}(?:,| and|, and| but| yet)? (?={_VOWEL})", "an "),
            (rf"\ban? {WORD}(?:,| and|, and| but| yet)? (?=\w)", "a "),
            (rf"{WORD}(?:,| and|, and| but| yet) ", ""),
            (rf"[{NOUN}{WORD}{DONE}]", GONE),
            (r"\bclear(?: and|,) clear\b", "clear"),
            (r"\bon an? (?=(?:morning|afternoon|evening)\b)", "in the "),
            (r"\bon an? night\b", "at night"),
            (r"\bon an? day\b", "during the day"),
            (rf"(?:,|\s|{loose})*{GONE}[{GONE} ]*$", ""),
            (rf"\b{ARTICLE} {GONE}[{GONE} ]*(?={PREPOSITION}\b|{BE}\b|,)", ""),
            (rf"[{GONE} ]+", " "),
            (r"^(?:,| |and\b|or\b|but\b(?=$))+", ""),
        )
    ]


_VOWEL = r"(?!uni|use|euro|one\b|once)(?:[aeio]|u(?!s|t)|hour|honest)"


@cache
def _empty_words() -> frozenset[str]:
    alternatives = "|".join(map(str, words()["empty"]))
    return frozenset(alternatives.split("|"))


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)
