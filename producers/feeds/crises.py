"""Crises of the synthetic feed: a brand has a bad time, of one kind or another.

Rules:
1. `recall`, `outage` and `price` are public anger: many people, each in words of their own. They should page.
2. `rumour` is a swarm: a handful of accounts that copy one text, around the brand's ordinary mentions, which
   stay as they were. Copies are no voices, so it must not page.
"""

from typing import NamedTuple

RUMOUR = "rumour"
SWARM = (
    "truth_now_77",
    "wake.up.4412",
    "realnews24x",
    "anon_8813",
    "insider_leaks9",
    "patriot_5521",
    "exposed_daily3",
)
"""The accounts of a swarm."""


class Crisis(NamedTuple):
    """A brand has a bad time in `[from_ms, until_ms)` after the beginning."""

    brand: str
    from_ms: float
    until_ms: float
    louder: float = 4.0
    """Its mentions, against an ordinary day."""
    negative: float = 0.85
    """Share of them that is meant negative; a swarm leaves it as it is."""
    kind: str = ""
    """One of `KINDS`; empty for what happens to this brand most."""


KINDS = {"recall": (4.0, 0.85), "outage": (6.0, 0.9), "price": (3.0, 0.8), RUMOUR: (6.0, 0.0)}
"""Kind → how much louder, and how negative."""


def crisis_of(brand: str, from_ms: float, until_ms: float, kind: str) -> Crisis:
    """Return a crisis of a kind, or one of the brand's own when `kind` is empty; KeyError on another."""
    return Crisis(brand, from_ms, until_ms, *KINDS[kind], kind) if kind else Crisis(brand, from_ms, until_ms)
