"""Net sentiment as it is told: the estimate, its interval, and what that interval holds. Pure functions.

Rules:
1. Labels that the model in use gave, and nobody else, are corrected for what it is known to mistake: the
   interval holds sampling and the errors of the classifier (core/sentiment/correction.py).
2. Labels of another model, of two, or of nobody knows which are not: the estimate is the plain mean of
   sentiments, and the interval speaks of sampling only (core/sentiment/net.py). Which of both it is, is said.
3. The plain mean stands beside it in any case: it adds up, and it is what archive and Redis hold.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.net import net_sentiment

Holds = Literal["sampling and classifier", "sampling"]
BOTH: Final[Holds] = "sampling and classifier"
SAMPLING: Final[Holds] = "sampling"


class MeasuredModel(NamedTuple):
    """A model whose errors are known; `artefact` is the first 12 hex digits of its pin."""

    artefact: str
    errors: ConfusionMatrix


class Estimate(NamedTuple):
    """`mean` of the sentiments; `value` and the 95 % interval it lies in; `margin`, half its width."""

    mean: float
    value: float
    low: float
    high: float
    margin: float
    holds: Holds


def is_by(known: MeasuredModel | None, models: str | None) -> bool:
    """Say whether all of these models (several with commas) are the known one, whichever path scored."""
    if known is None or not models:
        return False
    return all(model.partition("-")[0] == known.artefact for model in models.split(","))


def estimates(
    tallies: Sequence[Sequence[int]], by_known: Sequence[bool], known: MeasuredModel | None
) -> list[Estimate | None]:
    """Return the estimate of each tally, ten sums in the order of MEASURES; None: nothing is scored.

    `by_known` says of each whether the known model scored it.
    """
    ours = [sums for sums, by in zip(tallies, by_known, strict=True) if by]
    intervals = iter(known.errors.intervals(ours) if known is not None else [None] * len(ours))
    found: list[Estimate | None] = []
    for sums, by in zip(tallies, by_known, strict=True):
        net, interval = net_sentiment(sums), next(intervals) if by else None
        if net is None:
            found.append(None)
        elif interval is not None:
            margin = (interval.high - interval.low) / 2
            found.append(Estimate(net.value, *interval, margin, BOTH))
        else:
            found.append(Estimate(net.value, *net, SAMPLING))
    return found
