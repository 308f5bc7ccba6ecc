"""Taking the weather out of a sentence, by rules of our own (no model, English only).

What is weather becomes a mark first: NOUN for a noun phrase ("heavy rain"), WORD for adjectives
("wet and rainy"), DONE for what weather has done ("covered in snow"). The rules then are about
marks: where one stands, what falls with it, and what keeps the sentence whole ("the road is WORD"
becomes "the road is clear").
"""

import re
from functools import cache

from wxr_plugin.vlm.weather_words import ADVERB, ARTICLE, patterns, words

NOUN, WORD, DONE, GONE = "¤", "§", "‡", "·"
BE = r"(?:is|are|was|were|be|been|being|has been|have been|had been|'s|'re)"
SEEM = r"(?:(?:looks?|appears?|seems?|becomes?|became|remains?|remained|turns?|turned|gets?|feels?)(?: to be)?)"
PREPOSITION = (
    r"(?:in spite of|because of|due to|on account of|as a result of|regardless of|thanks "
    r"to|instead of|from|in|during|"
    r"through|throughout|underneath|under|amidst|amid|with|without|by|despite|against|after|before|of|for|about|into|"
    r"beneath|onto|over|on|to|between|among|across|behind|at|like|via|near|above|beyond|within|outside|around)"
)
JOIN = r"(?:even though|although|though|and|but|while|as|with|where|so that|so|because|since|which|or|yet|when|until)"
HARD = (
    r"(?:(?:it |quite |very |more |rather |somewhat |extremely "
    r")*(?:hard|difficult|challenging|tough|impossible|harder|"
    r"tricky|dangerous|hazardous|unsafe|not easy)(?: for [\w' ]+?)?(?: to \w+(?: out| through)?)?)"
)
EFFECT = (
    r"(?:making|makes|made|obscuring|obscures|reducing|reduces|limiting|limits|creating|creates|giving|gives|adding|adds|"
    r"causing|causes|blurring|blurs|hiding|hides|covering|covers|blanketing|shrouding|enveloping|lending|impairing|"
    r"affecting|affects|indicating|indicates|suggesting|suggests|contributing to|leaving|resulting "
    r"in|softening|muting|"
    r"partially obscuring|slightly "
    r"obscuring|forcing|requiring|prompting|diffusing|masking|veiling|dampening)"
)


def marked(sentence: str) -> str:
    """`sentence` with its weather as marks."""
    found = patterns()
    for wanted, mark in (
        (rf"(?:full|free|{found.participle[3:-1]}) (?:of )?{found.phrase}", DONE),
        (rf"{found.noun}(?= {found.thing}\b)", WORD),
        (found.phrase, NOUN),
        (found.adjectives, WORD),
    ):
        sentence = _compiled(rf"(?<![\w-])(?:{wanted})(?![\w-])").sub(mark, sentence)
    return sentence


def is_marked(text: str) -> bool:
    """Whether a mark is in `text`."""
    return any(mark in text for mark in (NOUN, WORD, DONE))


def spoken_of(clause: str) -> str | None:
    """What a clause with weather as its subject leaves, "¤ covers the hills": "the hills"; None if it has another."""
    verb = patterns().verb
    seen = rf"(?: (?:can|could|may|might|will|would|must)(?: also)? be (?:seen )?| {BE}| has| have)?(?: {ADVERB})*"
    act = rf"(?: (?:{verb}|{HARD}|{WORD}|{DONE})(?: {ADVERB}| down| up| in| out| off)*)*"
    subject = rf"^(?:{ARTICLE} )?{NOUN}(?: (?:that|which))?{seen}{act}"
    sight = r"(?:there(?: also)?|here|you can see|we see|we can see)"
    there = rf"^{sight}(?: (?:appears?|seems?) to)?(?: {BE})?(?: {ADVERB})* {NOUN}{act}"
    for start in (subject, there):
        found = _compiled(start).match(clause)
        if found:
            return _bare(clause[found.end() :])
    return None


def cleaned(clause: str) -> str:
    """A clause without marks, its grammar kept as well as rules can."""
    for wanted, instead in _RULES():
        clause = wanted.sub(instead, clause)
    return clause


def effect_on(clause: str) -> str | None:
    """What an effect of weather is about, "making it hard to see the hills": "the hills"; None if it is no effect."""
    found = _compiled(rf"^{EFFECT}\b ?").match(clause)
    if not found:
        return None
    rest = clause[found.end() :]
    rest = _compiled(rf"^{HARD}").sub("", rest).strip()
    rest = _compiled(
        rf"^(?:(?:clearly|far|ahead|much|anything|well|a (?:clear|full)?) ?)+(?=$|{PREPOSITION}\b)"
    ).sub("", rest)
    rest = _compiled(r"^([\w' -]+?) to (?=\w)").sub(r"\1 that ", rest)
    return _bare(rest)


def _bare(rest: str) -> str:
    """`rest` without marks, and without the prepositions at its start."""
    return (
        _compiled(rf"^(?: ?{PREPOSITION}(?= |$))+").sub("", cleaned(rest.strip()).strip()).strip()
    )


def has_content(clause: str) -> bool:
    """Whether a clause says anything apart from weather and what goes with talking about it."""
    return any(
        word not in _empty() for word in re.findall(r"[\w-]+", clause.lower().replace("'s", " is"))
    )


@cache
def _RULES() -> list[tuple[re.Pattern[str], str]]:
    then = rf"(?=$| {PREPOSITION}\b| {JOIN}\b)"
    falling = r"(?:falling|pouring|coming|drifting|blowing|swirling|streaming|beating|running|dripping|visible|present)"
    from_sky = r"(?: down| from (?:the )?(?:sky|above|clouds)| in the air| everywhere| all around)"
    loose = rf"\b(?:{PREPOSITION}|{ARTICLE}|and|or|but|very|{BE}|has|have|full)(?=[ {GONE}])"
    noun = rf"{ARTICLE} (?:middle|midst|face|wake|centre|center|aftermath|onset|threat) of {NOUN}"
    return [
        (_compiled(wanted), instead)
        for wanted, instead in (
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
            (
                rf"(?:,|\s|{loose})*{GONE}[{GONE} ]*$",
                "",
            ),
            (rf"\b{ARTICLE} {GONE}[{GONE} ]*(?={PREPOSITION}\b|{BE}\b|,)", ""),
            (rf"[{GONE} ]+", " "),
            (r"^(?:,| |and\b|or\b|but\b(?=$))+", ""),
        )
    ]


_VOWEL = r"(?!uni|use|euro|one\b|once)(?:[aeio]|u(?!s|t)|hour|honest)"


@cache
def _empty() -> frozenset[str]:
    return frozenset(word for line in words()["empty"] for word in str(line).split("|"))


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE)
