"""Existing texts in another form that means the same: links, retweets, names, typos, apostrophes ...

Rules:
1. A variant keeps the label of its text.
2. The same generator state gives the same variants.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Final

from models.training.augment import brand, emoji, hashtag

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
CODE: Final = LETTERS + LETTERS.upper() + "0123456789"
APOSTROPHE: Final = re.compile(r"(?<=\w)['\u2019\u2018`\u00b4](?=\w)")
LONG_WORD: Final = re.compile(r"(?<![@#/\w.])[A-Za-z]{5,}(?![/\w.])")


def code(random: Random, length: int) -> str:
    """Return random letters and digits."""
    return "".join(random.choice(CODE) for _ in range(length))


def link(random: Random) -> str:
    """Return an address of the kinds that posts hold."""
    kind = random.random()
    if kind < 0.5:
        return f"http{'s' if kind < 0.3 else ''}://t.co/{code(random, 10)}"
    if kind < 0.65:
        return f"http://bit.ly/{code(random, 7)}"
    if kind < 0.75:
        return f"pic.twitter.com/{code(random, 10)}"
    if kind < 0.85:
        return "http"
    site = re.sub(r"\W", "", brand(random)).lower()
    return f"https://www.{site}.com/{code(random, random.randrange(3, 9)).lower()}"


def name(random: Random) -> str:
    """Return the @name of a person."""
    word = re.sub(r"\W", "", brand(random))
    kind = random.random()
    if kind < 0.3:
        return "@user"
    return f"@{word}{code(random, 2) if kind < 0.5 else ''}{random.randrange(1, 9999) if kind > 0.8 else ''}"


def with_link(random: Random, text: str) -> str:
    """Add a link, mostly behind the text."""
    return f"{text} {link(random)}" if random.random() < 0.9 else f"{link(random)} {text}"


def retweeted(random: Random, text: str) -> str:
    """Put RT and a name in front."""
    return f"RT {name(random)}{':' if random.random() < 0.7 else ''} {text}"


def with_names(random: Random, text: str) -> str:
    """Address the text to somebody."""
    return f"{name(random)} {text}" if random.random() < 0.7 else f"{text} {name(random)}"


def with_neutral_hashtags(random: Random, text: str) -> str:
    """Add hashtags that say nothing."""
    tags = [hashtag(random, "neutral") for _ in range(random.randrange(1, 4))]
    return f"{text} {' '.join(tags)}"


def with_typos(random: Random, text: str) -> str:
    """Spoil one letter in each long word: two swapped, one left out, doubled or mistyped."""

    def spoilt(match: re.Match[str]) -> str:
        word = match[0]
        if random.random() < 0.15:
            return word
        place = random.randrange(1, len(word) - 1)
        kind = random.random()
        if kind < 0.45:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        if kind < 0.7:
            return word[:place] + word[place + 1 :]
        if kind < 0.85:
            return word[:place] + word[place] + word[place:]
        return word[:place] + random.choice(LETTERS) + word[place + 1 :]

    return LONG_WORD.sub(spoilt, text)


def with_other_apostrophes(random: Random, text: str) -> str:
    """Write apostrophes and commas as other programs do."""
    other = random.choice(("\u2019", "\u2019", "`", "", "\\u2019", "&#39;"))
    text = text.replace("'", other).replace("\u2019", other)
    return text.replace(",", "\\u002c") if random.random() < 0.3 else text


def with_any_apostrophe(random: Random, text: str) -> str:
    """Write the apostrophes of a text in one of the ways people do, whichever they were."""
    if not APOSTROPHE.search(text):
        return text
    return APOSTROPHE.sub(random.choice(("'", "'", "\u2019", "\u2019", "`", "")), text)


def in_other_case(random: Random, text: str) -> str:
    """Shout, or whisper."""
    return text.upper() if random.random() < 0.5 else text.lower()


def with_neutral_emoji(random: Random, text: str) -> str:
    """Add emoji that say nothing."""
    return f"{text} {emoji(random, 'neutral')}"


CHANGES: Final[tuple[tuple[float, Callable[[Random, str], str]], ...]] = (
    (0.17, with_link),
    (0.13, retweeted),
    (0.10, with_names),
    (0.12, with_neutral_hashtags),
    (0.40, with_typos),
    (0.10, with_other_apostrophes),
    (0.04, in_other_case),
    (0.06, with_neutral_emoji),
)
"""The share of variants that get a change, and the change."""
WEIGHTED: Final = ([change for _, change in CHANGES], [share for share, _ in CHANGES])


def variant(random: Random, text: str) -> str:
    """Return the text in another form: one change, sometimes two."""
    for change in random.choices(*WEIGHTED, k=2 if random.random() < 0.15 else 1):
        text = change(random, text)
    return text
