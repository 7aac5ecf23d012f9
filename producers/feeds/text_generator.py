"""Writes posts: phrases with their slots filled, in the manner of a network and of an author."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import prod
from typing import NamedTuple, TypeVar

from producers.feeds.phrases import BRANDS, NEGATIVE, WORDS, InventedBrand, Template

FOREIGN = 0.04
"""Share of posts in another language than English."""
ASIDES = 0.6
"""Share of posts with a second sentence; one with few other words to choose from has it always."""
FEW_WAYS = 1_000
"""A post that can be said in fewer ways would soon come again by chance."""
HASHTAGS = 0.7
"""Share of posts on a network of pictures that end in the brand's hashtag."""
IN_CRISIS = 0.85
"""Share of negative posts in a crisis that are about what went wrong."""

_NAME, _TAG = "\0", "\1"
"""Stand for the brand's name in what is kept at hand: ten thousand brands speak like a dozen."""
_NUMBERS = tuple(str(number) for number in range(3, 50))
_SENTENCE = re.compile(r"(?:^|(?<=[.!?] ))[a-z]")
_ADJECTIVES = (
    *("amber", "bold", "calm", "dusty", "early", "fuzzy", "gentle", "hazel", "icy", "jolly", "keen", "lunar"),
    *("mossy", "noble", "olive", "plain", "quiet", "rusty", "silver", "tiny", "urban", "velvet", "windy"),
)
_NOUNS = (
    *("acorn", "badger", "cedar", "dune", "ember", "fern", "goose", "harbor", "iris", "jackdaw", "kite"),
    *("maple", "newt", "otter", "pebble", "quartz", "robin", "sparrow", "thistle", "violet", "walnut"),
)

_Phrase = tuple[tuple[str, Sequence[str]], ...]
"""Pairs of literal text and what may follow it."""
_Phrases = tuple[_Phrase, ...]
_T = TypeVar("_T")


class _Speech(NamedTuple):
    """How people speak of some brands, in a crisis of one kind or without."""

    posts: Mapping[str, _Phrases]
    asides: Mapping[str, _Phrases]
    endings: Mapping[str, _Phrases]
    openings: Mapping[str, _Phrases]
    crisis: _Phrases
    foreign: tuple[tuple[str, Mapping[str, _Phrases]], ...]
    hashtags: tuple[str, ...]
    short: frozenset[int]
    """Phrases, by identity, that can be said in few ways."""


def author_name(number: int) -> str:
    """Return the name of an author; another number is another name."""
    rest, adjective = divmod(number, len(_ADJECTIVES))
    rest, noun = divmod(rest, len(_NOUNS))
    join = ("_", "", ".", "-")[number % 4]
    return f"{_ADJECTIVES[adjective]}{join}{_NOUNS[noun]}{rest or ''}"


def write_post(
    dice: random.Random, brand: InventedBrand, mood: str, network: str, manner: int, trouble: str = ""
) -> tuple[str, str]:
    """Return a text and its language. `manner` is the author's number, `trouble` the kind of a crisis."""
    speech = _speech(brand.like, trouble)
    luck = dice.random
    if luck() < FOREIGN:
        tag, foreign = _pick(speech.foreign, dice)
        return _named(_say(foreign[mood], dice), brand), tag
    angry = mood == NEGATIVE
    posts = speech.crisis if angry and trouble and luck() < IN_CRISIS else speech.posts[mood]
    phrase = _pick(posts, dice)
    text = _fill(phrase, dice)
    opening = "" if network == "news" else _say(speech.openings.get(network) or speech.openings["any"], dice)
    if opening:
        text = _opened(opening, text)
    if luck() < ASIDES or id(phrase) in speech.short:
        text += " " if text[-1] in ".!?" else ". "
        text += _say(speech.asides[mood], dice)
    text = _named(text, brand)
    if network == "news":
        return _capitalised(text), "en"
    if manner % 5 == 0:  # some write all in lower case, and few shout when they are angry
        text = text.lower()
    else:
        text = text.upper() if angry and manner % 29 == 1 else _capitalised(text)
    text += _named(_say(speech.endings[mood], dice), brand)
    if network == "instagram" and luck() < HASHTAGS:
        text += f" #{brand.tag} {_pick(speech.hashtags, dice)}"
    return text, "en"


def write_rumour(brand: InventedBrand, number: int) -> str:
    """Return the text of a swarm: the same for the same number."""
    text = _say(_speech(brand.like, "rumour").crisis, random.Random(number))  # noqa: S311 - no secret
    return _named(text, brand)


@cache
def _speech(like: str, trouble: str) -> _Speech:
    brand = next(one for one in BRANDS if one.name == like)
    slots = {
        "brand": (_NAME,),
        "tag": (_TAG,),
        "thing": brand.things,
        "where": brand.where,
        "habit": brand.habit,
        "trouble": brand.trouble.get(trouble, ()),
        **{name: getattr(WORDS, name) for name in ("good", "bad", "when", "who")},
    }
    foreign = (
        (language.tag, _all(language.posts, {**slots, "noun": language.nouns}))
        for language in WORDS.languages
    )
    posts = _all(brand.posts, slots)
    return _Speech(
        posts,
        _all(WORDS.asides, slots),
        _all(WORDS.endings, slots),
        _all(WORDS.openings, slots),
        _each(WORDS.crises.get(trouble, ()), slots),
        tuple(foreign),
        tuple(f"#{thing.replace(' ', '')}" for thing in brand.things),
        frozenset(id(phrase) for phrases in posts.values() for phrase in phrases if _ways(phrase) < FEW_WAYS),
    )


def _all(table: Mapping[str, Iterable[Template]], slots: Mapping[str, Sequence[str]]) -> dict[str, _Phrases]:
    return {name: _each(templates, slots) for name, templates in table.items()}


def _each(templates: Iterable[Template], slots: Mapping[str, Sequence[str]]) -> _Phrases:
    filled = {**slots, "num": _NUMBERS, "": ("",)}
    return tuple(_phrase(template, filled) for template in templates)


def _phrase(template: Template, slots: Mapping[str, Sequence[str]]) -> _Phrase:
    parts, text = [], ""
    for literal, slot in template:
        text += literal
        options = slots[slot]
        if len(options) == 1:  # nothing to choose
            text += options[0]
        else:
            parts.append((text, options))
            text = ""
    return (*parts, (text, ("",))) if text or not parts else tuple(parts)


def _ways(phrase: _Phrase) -> int:
    return prod(len(options) for _, options in phrase)


def _say(phrases: _Phrases, dice: random.Random) -> str:
    return _fill(phrases[int(dice.random() * len(phrases))], dice)


def _fill(phrase: _Phrase, dice: random.Random) -> str:
    luck = dice.random
    return "".join([literal + options[int(luck() * len(options))] for literal, options in phrase])


def _pick(options: Sequence[_T], dice: random.Random) -> _T:
    return options[int(dice.random() * len(options))]


def _opened(opening: str, text: str) -> str:
    """Put an opening before a text; in the middle of a sentence only names stay capital."""
    if opening[-2] not in ".!]" and not text.startswith("I "):
        text = text[0].lower() + text[1:]
    return opening + text


def _named(text: str, brand: InventedBrand) -> str:
    if _TAG in text:
        text = text.replace(_TAG, brand.tag)
    return text.replace(_NAME, brand.name)


def _capitalised(text: str) -> str:
    return _SENTENCE.sub(lambda found: found[0].upper(), text)
