"""The last half hour of a brand beside its last half day: decayed sums, and how they weigh the evidence.

Sums of evidence (share_detector.py) ask whether minutes were worse than usual. The sums here add three
answers: how much worse it is now, whether it has been so for half a day (then the brand wanders), and whether
more is said than in this half day. `weighted_score` is a linear combination of these; rules for the sums:

1. They fade with the minutes that pass, holes among them; an incomplete minute adds no volume.
2. They refer to the current baseline share: with another model the excess starts again, the volume goes on.
3. They are constant in size, and a pure function of the minutes that were fed.
"""

from math import log, sqrt
from typing import Final

import msgspec

# Half-lives in minutes: half an hour, 4.5 hours and half a day. Tuned on simulated brands (bench/spikes.py).
SHORT_MINUTES: Final = 30.0
MEDIUM_MINUTES: Final = 270.0
LONG_MINUTES: Final = 720.0

# The weights began as those of a logistic regression of "a crisis is going on" on simulated brands, minutes
# soon after its begin counting most (docs/decisions/0045-the-share-beside-half-a-day.md). They were then
# tuned for what people get (bench/spikes.py): how many crises are found, and how soon.
EVIDENCE_WEIGHT: Final = 0.5
EXCESS_RATE_WEIGHT: Final = 4.0
SHORT_EXCESS_WEIGHT: Final = 0.5
LONG_EXCESS_WEIGHT: Final = -0.2
VOLUME_WEIGHT: Final = 5.0
WANDER_WEIGHT: Final = -4.2
INTERCEPT: Final = -0.4

# Added to variances and voices, so that the first minutes of a brand divide by something and weigh little.
VARIANCE_ADDED: Final = 1
STANDARD_VARIANCE_ADDED: Final = 0.3
VOICES_ADDED: Final = 1

EVIDENCE_GAIN_MAX: Final = 1.3
"""Recent minutes support evidence, they never replace it: they make it at most so many times what it is.

The bound costs nothing on simulated brands, and keeps brands unlike them safe
(docs/decisions/0045-the-share-beside-half-a-day.md).
"""

GOOD_NEWS_LOG_VOLUME: Final = 0.25
"""So much louder than the half day, on a log scale, is good news. Tuned on simulated brands
(bench/spikes.py)."""

_SHORT_FADE: Final = 2 ** (-1 / SHORT_MINUTES)
_MEDIUM_FADE: Final = 2 ** (-1 / MEDIUM_MINUTES)
_LONG_FADE: Final = 2 ** (-1 / LONG_MINUTES)


class RecentEvidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Sums that lose half of themselves in `SHORT_MINUTES`, `MEDIUM_MINUTES` and `LONG_MINUTES`.

    Stored in this order.
    """

    short_excess: float = 0.0  # negative voices above the expected ones
    short_variance: float = 0.0  # of a binomial with as many voices
    long_excess: float = 0.0
    long_variance: float = 0.0
    medium_voices: float = 0.0
    medium_expected: float = 0.0  # voices that the brand usually has in these minutes
    long_voices: float = 0.0
    long_expected: float = 0.0


def add_minute(
    recent: RecentEvidence,
    *,
    voices: float,
    negatives: float,
    share: float,
    volume: float | None,
    gap_minutes: int,
) -> RecentEvidence:
    """Add one minute, in which the brand usually has `volume` voices, `share` of them negative.

    `volume` is None for an incomplete minute, whose volume is not known.
    """
    expected = voices * share
    excess, variance = negatives - expected, expected * (1 - share)
    short, medium, long = _SHORT_FADE, _MEDIUM_FADE, _LONG_FADE
    if gap_minutes:
        passed = gap_minutes + 1
        short, medium, long = short**passed, medium**passed, long**passed
    counted, usual = (0.0, 0.0) if volume is None else (voices, volume)
    return RecentEvidence(
        short_excess=recent.short_excess * short + excess,
        short_variance=recent.short_variance * short + variance,
        long_excess=recent.long_excess * long + excess,
        long_variance=recent.long_variance * long + variance,
        medium_voices=recent.medium_voices * medium + counted,
        medium_expected=recent.medium_expected * medium + usual,
        long_voices=recent.long_voices * long + counted,
        long_expected=recent.long_expected * long + usual,
    )


def weighted_score(
    recent: RecentEvidence, evidence: float, dispersion: float, spread: float, *, volume_known: bool
) -> float:
    """Return the score of `evidence` in the light of the recent minutes.

    With X the excess and B the binomial variance, T and U the voices and the usual ones:

        0.5 evidence + 4 X/(B + 1) + 0.5 X/√(dispersion · B + 0.3)       of 30 minutes: how far, how surely
        - 0.2 max(0, X/√(dispersion · B + 0.3))                          of 12 hours: it has been so for long
        + 5 ln((T + 1)/(U + 1)) - 5 ln((T + 1)/(U + 1))                  of 4.5 and of 12 hours: louder
        - 4.2 spread - 0.4                                               a brand that wanders must show more

    and at most 1.3 times `evidence`.
    """
    short_excess, short_variance = recent.short_excess, recent.short_variance
    short_deviation = sqrt(dispersion * short_variance + STANDARD_VARIANCE_ADDED)
    long_deviation = sqrt(dispersion * recent.long_variance + STANDARD_VARIANCE_ADDED)
    log_volume = _log_volume(recent) if volume_known else 0.0
    score = (
        EVIDENCE_WEIGHT * evidence
        + EXCESS_RATE_WEIGHT * short_excess / (short_variance + VARIANCE_ADDED)
        + SHORT_EXCESS_WEIGHT * short_excess / short_deviation
        + LONG_EXCESS_WEIGHT * max(0.0, recent.long_excess) / long_deviation
        + VOLUME_WEIGHT * log_volume
        + WANDER_WEIGHT * spread
        + INTERCEPT
    )
    return min(score, EVIDENCE_GAIN_MAX * evidence)


def is_good_news(recent: RecentEvidence) -> bool:
    """Whether much is said, and less of it negative than usual: one bad minute is noise of a crowd then."""
    return recent.short_excess < 0 and _log_volume(recent) > GOOD_NEWS_LOG_VOLUME


def restart_excess(recent: RecentEvidence) -> RecentEvidence:
    """Forget the excess over a share that is no longer the baseline; keep the volume."""
    return msgspec.structs.replace(
        recent, short_excess=0.0, short_variance=0.0, long_excess=0.0, long_variance=0.0
    )


def _log_volume(recent: RecentEvidence) -> float:
    """Return how much louder 4.5 hours are than half a day, each beside its usual voices, on a log scale."""
    louder = (recent.medium_voices + VOICES_ADDED) * (recent.long_expected + VOICES_ADDED)
    return log(louder / ((recent.medium_expected + VOICES_ADDED) * (recent.long_voices + VOICES_ADDED)))
