"""The suite of behaviour as a list of cases: templates x brands from `suite.toml`.

Rules:
1. The suite is data. It was committed before the model it measures, and no sentence of it trains one.
2. A case is one text and what its label must be, or two texts whose labels must be the same.
3. The same file gives the same cases in the same order; nothing is drawn by chance.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import msgspec

SUITE: Final = Path(__file__).with_name("suite.toml")

Expectation = Literal["negative", "neutral", "positive", "not-negative", "same"]

LONG_WORD: Final = re.compile(r"\b[a-z]{6,}\b")  # small letters only: a brand is spelt as it is


class SuiteGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file: templates, or the name of a list of sentences."""

    name: str
    expect: Expectation
    templates: list[str] | str
    target: float | None = None
    change: str | None = None


class Suite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it stands."""

    brands: list[str]
    group: list[SuiteGroup]
    sentences: dict[str, list[str]]


class Case(msgspec.Struct, frozen=True):
    """One question. `like` is the text whose label must be equal if `expect` is "same"."""

    group: str
    text: str
    expect: Expectation
    like: str | None = None


def load(path: Path = SUITE) -> Suite:
    """Read a suite. Raises msgspec.DecodeError or OSError."""
    return msgspec.toml.decode(path.read_bytes(), type=Suite)


def cases(suite: Suite) -> list[Case]:
    """Return all cases of a suite."""
    found: list[Case] = []
    for group in suite.group:
        templates = suite.sentences[group.templates] if isinstance(group.templates, str) else group.templates
        for template in templates:
            if group.change == "brand":
                found += [
                    Case(group.name, _fill(template, other), group.expect, _fill(template, one))
                    for one, other in pairwise(suite.brands)
                ]
                continue
            for brand in suite.brands:
                text = _fill(template, brand)
                if group.change is None:
                    found.append(Case(group.name, text, group.expect))
                else:
                    found.append(Case(group.name, CHANGES[group.change](text), group.expect, text))
    return found


def targets(suite: Suite) -> dict[str, float | None]:
    """Return the share of each group that must be right, in the order of the file; None: reported only."""
    return {group.name: group.target for group in suite.group}


def texts(all_cases: Sequence[Case]) -> list[str]:
    """Return every text that occurs in the cases, each once, in order."""
    return list(dict.fromkeys(text for case in all_cases for text in (case.text, case.like) if text))


def with_typos(text: str) -> str:
    """Swap the two letters in the middle of every word of six small letters or more."""

    def swapped(match: re.Match[str]) -> str:
        word = match[0]
        middle = len(word) // 2
        return word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]

    return LONG_WORD.sub(swapped, text)


CHANGES: Final[dict[str, Callable[[str], str]]] = {
    "url": lambda text: f"{text} https://t.co/Ab3dE9fGh",
    "retweet": lambda text: f"RT @jane_doe42: {text}",
    "hashtags": lambda text: f"{text} #tech #monday",
    "typo": with_typos,
    "apostrophe": lambda text: text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"),
}


def _fill(template: str, brand: str) -> str:
    return template.replace("{brand}", brand)
