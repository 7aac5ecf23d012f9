"""The words of the synthetic feed, from `phrases.toml`: invented brands, and how each is spoken of.

Rules:
1. Every brand is invented. A likeness to a real one is chance.
2. A phrase is a template with slots. Each brand has phrases of its own, so that no two sound alike; slots,
   openings, second sentences and endings make so many texts that one seldom comes twice by chance (the
   worker would call it a repeat).
3. Brands past those made by hand have made-up names, get rarer, and speak like one of the others.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

Template = tuple[tuple[str, str], ...]
"""Pairs of literal text and the slot behind it; the slot is empty at the end."""

NEGATIVE, NEUTRAL, POSITIVE = MOODS = ("negative", "neutral", "positive")


class InventedBrand(NamedTuple):
    """An invented brand."""

    name: str
    weight: float
    """Its share of all mentions, relative to the others'."""
    negative: float
    """Share of its mentions that are meant negative on an ordinary day."""
    positive: float
    peak_hour: float
    """The hour (UTC) at which it is mentioned most."""
    swing: float
    """By how much the daily season moves its mentions, 0 … 1."""
    weekend: float
    """Its mentions on a Saturday or Sunday, against those of a working day."""
    default: str
    """The kind of crisis it has when none is named."""
    things: tuple[str, ...]
    where: tuple[str, ...]
    habit: tuple[str, ...]
    posts: Mapping[str, tuple[Template, ...]]
    """By mood."""
    trouble: Mapping[str, tuple[str, ...]]
    """What goes wrong, by the kind of crisis."""
    like: str
    """The brand made by hand that it is spoken of like; of those, its own name."""

    @property
    def tag(self) -> str:
        """Return the name in one word."""
        return "".join(filter(str.isalnum, self.name))


class Language(NamedTuple):
    """What little of another language is known."""

    tag: str
    nouns: tuple[str, ...]
    posts: Mapping[str, tuple[Template, ...]]


class Words(NamedTuple):
    """What belongs to no brand."""

    networks: Mapping[str, float]
    good: tuple[str, ...]
    bad: tuple[str, ...]
    when: tuple[str, ...]
    who: tuple[str, ...]
    openings: Mapping[str, tuple[Template, ...]]
    """By network; `any` for the others."""
    asides: Mapping[str, tuple[Template, ...]]
    endings: Mapping[str, tuple[Template, ...]]
    crises: Mapping[str, tuple[Template, ...]]
    """What is said in a crisis, by its kind."""
    languages: tuple[Language, ...]


def template(text: str) -> Template:
    """Take a phrase apart."""
    return tuple((literal, slot or "") for literal, slot, _, _ in Formatter().parse(text))


def _templates(texts: list[str]) -> tuple[Template, ...]:
    return tuple(map(template, texts))


def _by_mood(table: Mapping[str, Any], suffix: str) -> dict[str, tuple[Template, ...]]:
    return {mood: _templates(table[mood + suffix]) for mood in MOODS}


def _read_brand(table: Mapping[str, Any]) -> InventedBrand:
    numbers = ("name", "weight", "negative", "positive", "peak_hour", "swing", "weekend", "default")
    fields: dict[str, Any] = {name: table[name] for name in numbers}
    fields |= {name: tuple(table[name]) for name in ("things", "where", "habit")}
    return InventedBrand(
        **fields,
        posts=_by_mood(table, "_posts"),
        trouble={kind: tuple(texts) for kind, texts in table["trouble"].items()},
        like=table["name"],
    )


def _read_words(table: Mapping[str, Any]) -> Words:
    fields: dict[str, Any] = {name: tuple(table[name]) for name in ("good", "bad", "when", "who")}
    for key in ("openings", "asides", "endings"):
        fields[key] = {name: _templates(texts) for name, texts in table[key].items()}
    return Words(
        **fields,
        networks=table["networks"],
        crises={kind: _templates(crisis["posts"]) for kind, crisis in table["crisis"].items()},
        languages=tuple(
            Language(one["tag"], tuple(one["nouns"]), _by_mood(one, "")) for one in table["language"]
        ),
    )


_ALL = tomllib.loads((Path(__file__).with_name("phrases.toml")).read_text(encoding="utf-8"))
WORDS = _read_words(_ALL)
BRANDS = tuple(map(_read_brand, _ALL["brand"]))
BRANDS_MAX = 10_000

_FIRST = ("Al", "Bri", "Cor", "Del", "Em", "Fal", "Gri", "Hol", "Ister", "Jo", "Kel", "Lum")
_MIDDLE = ("a", "be", "di", "fe", "go", "li", "mo", "na", "ra", "ta", "vo", "zi")
_LAST = ("bar", "dex", "fin", "gard", "lia", "mont", "nix", "pool", "ria", "sett", "tron", "wick")


def brands(count: int) -> list[InventedBrand]:
    """Return the first `count` brands; past the hand-made ones, each is rarer than the one before it."""
    assert 1 <= count <= BRANDS_MAX
    return [*BRANDS[:count], *(_further(number) for number in range(len(BRANDS), count))]


def _further(number: int) -> InventedBrand:
    rest, first = divmod(number, len(_FIRST))
    rest, middle = divmod(rest, len(_MIDDLE))
    fourth, last = divmod(rest, len(_LAST))
    name = _FIRST[first] + _MIDDLE[middle] + _LAST[last] + (f" {fourth + 1}" if fourth else "")
    return BRANDS[number % len(BRANDS)]._replace(name=name, weight=len(BRANDS) / number)
