"""Made-up posts for measuring speed where no texts are at hand: every one another, words as in a language.

A text costs what its words, pieces of words and signs cost, not what it says. So there are 30,000 words of
made-up syllables, drawn by Zipf's law (G. K. Zipf, 1935: the n-th word 1/n as often as the first), 10 to 30
to a post, and now and then a link, a name, a hashtag, an emoji. Nothing about quality can be learnt here.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

WORDS: Final = 30_000
SYLLABLES: Final = (
    "a e i o u an en in on er or is it al ed re st th he ha to ou ea und ing tion",
    "ver con pro mint ly ness ful",
)
SIGNS: Final = (
    "\N{SMILING FACE WITH HEART-SHAPED EYES}",
    "\N{POUTING FACE}",
    ":)",
    ":(",
    "!",
    "!!",
    "...",
    "?",
)


def made_texts(count: int, seed: int) -> list[str]:
    """Return `count` posts of 95 characters on average; the same seed gives the same posts."""
    chance = np.random.default_rng(seed)
    words = list(_words(chance))
    odds = 1 / np.arange(1, WORDS + 1)
    lengths = chance.integers(10, 31, count)
    drawn = chance.choice(WORDS, int(lengths.sum()), p=odds / odds.sum())
    extras = chance.integers(0, 10, count)
    texts, at = [], 0
    for length, extra in zip(lengths.tolist(), extras.tolist(), strict=True):
        text = " ".join([words[word] for word in drawn[at : at + length]])
        texts.append(f"{text} {_extra(chance, extra, words)}".rstrip())
        at += length
    return texts


def _words(chance: np.random.Generator) -> Iterator[str]:
    """Make each word once, the short ones first, as the frequent words of a language are."""
    syllables = " ".join(SYLLABLES).split()
    made = {"".join(chance.choice(syllables, chance.integers(1, 6))) for _ in range(3 * WORDS)}
    ordered = sorted(made, key=lambda word: (len(word), word))
    return iter(ordered[:: max(1, len(ordered) // WORDS)][:WORDS])


def _extra(chance: np.random.Generator, kind: int, words: list[str]) -> str:
    match kind:
        case 0:
            return f"https://t.co/{chance.integers(36**8):x}"
        case 1:
            return f"@{words[chance.integers(WORDS)]}"
        case 2:
            return f"#{words[chance.integers(WORDS)]}"
        case 3 | 4:
            return SIGNS[chance.integers(len(SIGNS))]
        case _:
            return ""
