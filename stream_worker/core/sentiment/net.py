"""Net sentiment of a tally, and how far it can be trusted: pure functions of ten sums.

Rules:
1. Net = sum / scored, -1 … 1. Scored leaves out what is unscored, and nothing else.
2. The interval covers sampling only: how much another sample of such mentions would differ.
   It does not cover errors of the model.
3. A copy is no new evidence: it counts in the value and not in the certainty.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Final, NamedTuple

from stream_worker.core.aggregates.measures import MEASURES

MICRO: Final = 1_000_000
Z: Final = 1.96
"""Half the width of a 95 % interval, in standard errors."""

_N, _NEG, _POS = MEASURES.index("n"), MEASURES.index("neg"), MEASURES.index("pos")
_UNSCORED, _SUM = MEASURES.index("unscored"), MEASURES.index("sum")
_REPEATS = MEASURES.index("repeats")
_MILD_SQUARE: Final = 0.25
"""The square of the sentiment that a neutral or uncertain mention has at most: ± 0.5."""
_ADDED_MENTIONS: Final = 4
"""Agresti and Coull add the square of `Z`, about four, to the mentions of a 95 % interval."""


class Net(NamedTuple):
    """Net sentiment and the 95 % interval it lies in, each -1 … 1."""

    value: float
    low: float
    high: float
    margin: float


def net_sentiment(sums: Sequence[int]) -> Net | None:
    """Return the net sentiment of a tally, ten sums in the order of MEASURES; None when nothing is scored.

    A tally has no sum of squares, so the variance is taken as large as the labels allow: ± 1 for a positive
    or negative mention, ± 0.5 for any other. Four mentions of variance 1 are added, as Agresti and Coull do,
    so that a handful of equal mentions is not taken for certain. The margin is rather too wide than too
    narrow.
    """
    scored = sums[_N] - sums[_UNSCORED]
    if scored <= 0:
        return None
    value = max(-1.0, min(1.0, sums[_SUM] / MICRO / scored))
    clear = min(scored, sums[_NEG] + sums[_POS])
    square = (clear + _MILD_SQUARE * (scored - clear)) / scored
    independent = max(1, scored - sums[_REPEATS])
    variance = max(0.0, square - value * value) + _ADDED_MENTIONS / independent
    margin = Z * sqrt(variance / independent)
    return Net(value, max(-1.0, value - margin), min(1.0, value + margin), margin)


def coverage(sums: Sequence[int]) -> float | None:
    """Return scored / received; None when nothing was received."""
    return (sums[_N] - sums[_UNSCORED]) / sums[_N] if sums[_N] > 0 else None


def negative_share(sums: Sequence[int]) -> float | None:
    """Return negative / scored; None when nothing is scored."""
    scored = sums[_N] - sums[_UNSCORED]
    return sums[_NEG] / scored if scored > 0 else None
