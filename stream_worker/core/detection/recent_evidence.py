"""The last half hour of a brand beside its last half day: decayed sums, and what they make of the evidence.

Sums of evidence (share_detector.py) ask whether minutes were worse than usual. The windows add what such sums
cannot tell: how much worse it is now, whether it has been so for half a day (then the brand wanders), and
whether more is said than this half day. `picture` weighs all of that; rules for the sums:

1. They fade with the minutes that pass, holes among them; an incomplete minute adds no volume.
2. They are of the share that is usual now: with another model the excess begins anew, the volume goes on.
3. They are constant in size, and a pure function of the minutes that were fed.

The weights began as those of a logistic regression of "a crisis is going on" on simulated brands, minutes
soon after its begin counting most, and were then chosen for what people get: how many crises, and how soon.
"""

from math import log, sqrt
from typing import Final

import msgspec

SHORT_MINUTES: Final = 30.0
LOUD_MINUTES: Final = 270.0
LONG_MINUTES: Final = 720.0
SUMS: Final = 0.5
HEIGHT: Final = 4.0
SHORT: Final = 0.5
LONG: Final = -0.2
LOUDER: Final = 5.0
SPREAD: Final = -4.2
ZERO: Final = -0.4
SUMS_MAX: Final = 1.3
"""Windows support evidence, they never replace it: they make it this many times what it is, at most."""
GOOD_NEWS_LOUDER: Final = 0.25
_SHORT_FADE: Final = 2 ** (-1 / SHORT_MINUTES)
_LOUD_FADE: Final = 2 ** (-1 / LOUD_MINUTES)
_LONG_FADE: Final = 2 ** (-1 / LONG_MINUTES)


class RecentEvidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Sums that lose half of themselves in 30 minutes (short), 4.5 hours (loud) and 12 hours (long)."""

    short_excess: float = 0.0  # negative voices more than usual
    short_variance: float = 0.0  # of a binomial with as many voices
    long_excess: float = 0.0
    long_variance: float = 0.0
    loud_voices: float = 0.0
    loud_usual: float = 0.0  # voices that are usual for these minutes
    long_voices: float = 0.0
    long_usual: float = 0.0


def fed(
    windows: RecentEvidence,
    voices: float,
    negatives: float,
    share: float,
    usual_voices: float | None,
    gap_minutes: int,
) -> RecentEvidence:
    """Add one minute, `share` of whose voices would usually be negative.

    `usual_voices` is None where the volume of the minute is not known.
    """
    expected = voices * share
    excess, variance = negatives - expected, expected * (1 - share)
    short, loud, long = _SHORT_FADE, _LOUD_FADE, _LONG_FADE
    if gap_minutes:
        short, loud, long = short ** (gap_minutes + 1), loud ** (gap_minutes + 1), long ** (gap_minutes + 1)
    counted, usual = (0.0, 0.0) if usual_voices is None else (voices, usual_voices)
    return RecentEvidence(
        windows.short_excess * short + excess,
        windows.short_variance * short + variance,
        windows.long_excess * long + excess,
        windows.long_variance * long + variance,
        windows.loud_voices * loud + counted,
        windows.loud_usual * loud + usual,
        windows.long_voices * long + counted,
        windows.long_usual * long + usual,
    )


def picture(
    windows: RecentEvidence, sums: float, dispersion: float, spread: float, *, volume_known: bool
) -> float:
    """Return the score that the windows give to sums of evidence worth `sums`.

    With X the excess and B the binomial variance of a window, T and U its voices and those that are usual:

        0.5 sums + 4 X/(B + 1) + 0.5 X/√(dispersion · B + 0.3)           of 30 minutes: how far, how surely
        - 0.2 max(0, X/√(dispersion · B + 0.3))                          of 12 hours: it has been so for long
        + 5 ln((T + 1)/(U + 1)) - 5 ln((T + 1)/(U + 1))                  of 4.5 and of 12 hours: louder
        - 4.2 spread - 0.4                                               a brand that wanders must show more

    and at most 1.3 times `sums`.
    """
    excess, variance = windows.short_excess, windows.short_variance
    louder = _louder(windows) if volume_known else 0.0
    seen = (
        SUMS * sums
        + HEIGHT * excess / (variance + 1)
        + SHORT * excess / sqrt(dispersion * variance + 0.3)
        + LONG * max(0.0, windows.long_excess) / sqrt(dispersion * windows.long_variance + 0.3)
        + LOUDER * louder
        + SPREAD * spread
        + ZERO
    )
    return min(seen, SUMS_MAX * sums)


def good_news(windows: RecentEvidence) -> bool:
    """Whether much is said, and less of it negative than usual: one bad minute is noise of a crowd then."""
    return windows.short_excess < 0 and _louder(windows) > GOOD_NEWS_LOUDER


def begun_anew(windows: RecentEvidence) -> RecentEvidence:
    """Forget the excess over a share that is usual no more; the volume is what it was."""
    return msgspec.structs.replace(
        windows, short_excess=0.0, short_variance=0.0, long_excess=0.0, long_variance=0.0
    )


def _louder(windows: RecentEvidence) -> float:
    more = (windows.loud_voices + 1) * (windows.long_usual + 1)
    return log(more / ((windows.loud_usual + 1) * (windows.long_voices + 1)))
