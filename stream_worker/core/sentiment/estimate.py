"""Net sentiment as readers get it: the estimate, its interval, and what that interval covers. Pure functions.

Rules:
1. Labels that only the model in use gave are corrected for its known errors: the interval covers sampling and
   the errors of the classifier (core/sentiment/correction.py).
2. Labels of another model, of two models or of unknown ones are not corrected: the estimate is the plain mean
   of sentiments, and the interval covers sampling only (core/sentiment/net.py). `holds` says which.
3. The plain mean stands beside it in any case: it adds up, and archive and Redis hold the same.
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
    """The plain `mean`; the estimate, `value`, with its 95 % interval; `margin`, half the width of that."""

    mean: float
    value: float
    low: float
    high: float
    margin: float
    holds: Holds


def is_by(known: MeasuredModel | None, models: str | None) -> bool:
    """Whether all of these models (comma-separated) are the known one, whichever path scored."""
    if known is None or not models:
        return False
    return all(model.partition("-")[0] == known.artefact for model in models.split(","))


def estimates(
    tallies: Sequence[Sequence[int]], by_known: Sequence[bool], known: MeasuredModel | None
) -> list[Estimate | None]:
    """Return the estimate of each tally, ten sums in the order of MEASURES; None: nothing is scored.

    `by_known` tells for each tally whether the known model scored it.
    """
    correctable = [sums for sums, corrected in zip(tallies, by_known, strict=True) if corrected]
    intervals = iter(known.errors.intervals(correctable) if known is not None else [None] * len(correctable))
    found: list[Estimate | None] = []
    for sums, corrected in zip(tallies, by_known, strict=True):
        net, interval = net_sentiment(sums), next(intervals) if corrected else None
        if net is None:
            found.append(None)
        elif interval is not None:
            margin = (interval.high - interval.low) / 2
            found.append(
                Estimate(
                    mean=net.value,
                    value=interval.estimate,
                    low=interval.low,
                    high=interval.high,
                    margin=margin,
                    holds=BOTH,
                )
            )
        else:
            found.append(
                Estimate(
                    mean=net.value,
                    value=net.value,
                    low=net.low,
                    high=net.high,
                    margin=net.margin,
                    holds=SAMPLING,
                )
            )
    return found
