"""The rates that the minutes of a quarter of an hour are compared with, computed once as the quarter begins.

They follow from the brand's baseline (baseline.py): its share, how far above that a share is unremarkable,
and how much one voice weighs. The formulas are in the docstring of share_detector.py.

Every constant here without another origin was tuned on simulated brands (bench/spikes.py), together with all
others; docs/alerts.md measures the result on seeds that were not used for that.
"""

from math import exp, log, log10, sqrt
from typing import Final

import msgspec

from stream_worker.core.detection.baseline import SEASON_HOURS, Baseline

# The two alternatives to the baseline, as log odds above the share that is unremarkable
FAST_LOG_ODDS: Final = 1.1  # a jump
SLOW_LOG_ODDS: Final = 0.29  # a slow burn

# The margin: how far above the baseline share, on the logit, nothing is remarkable yet
MARGIN: Final = 0.2
MARGIN_WANDER: Final = 0.8  # plus so many standard deviations of the brand's own wander
MARGIN_UNKNOWN: Final = (
    1.2  # plus so much over the root of the negative voices that the share was learned from
)
MARGIN_UNKNOWN_NEGATIVES: Final = (
    3.0  # added under that root, so that a share without negative voices has one, too
)
SLOW_MARGIN_WANDER: Final = 1.5  # the margin against a slow burn, in the same standard deviations

# MARGIN and MARGIN_WANDER grow in with the binomial variance V of six hours, by √(V / (V + 10)): the share of
# a quiet brand varies by chance, it does not wander.
MARGIN_MINUTES: Final = 360
MARGIN_VARIANCE: Final = 10.0
MARGIN_VARIANCE_MIN: Final = 0.5

# Evidence for a jump fades with this half-life. A quiet brand needs longer for as many voices: the half-life
# of one with QUIET_VOICES_PER_HOUR is twice as long.
FAST_HALF_LIFE_MINUTES: Final = 135.0
QUIET_VOICES_PER_HOUR: Final = 4.5
VOICES_PER_HOUR_MIN: Final = 0.1  # keeps the half-life of a silent brand finite

DISPERSION_POWER: Final = 0.7
"""A voice weighs 1 / dispersion^0.7. Quasi-likelihood would say 1 / dispersion (docs/alerts.md)."""

# From nats to the score, so that OPEN_AT comes as often as detector.py says
SCALE: Final = 1.35  # of a brand with SCALE_VOICES_PER_DAY
SCALE_VOICES_PER_DAY: Final = 3_000
SCALE_PER_TENFOLD: Final = 0.08  # less for ten times as many: a quiet brand has fewer chances a week to err
SCALE_VOICES_PER_DAY_MIN: Final = 30

MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 1_440
_FAST_ODDS, _SLOW_ODDS = exp(FAST_LOG_ODDS) - 1, exp(SLOW_LOG_ODDS) - 1


class ExpectedRates(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The rates of one quarter of an hour; computed from `Baseline` as it begins. Stored in this order."""

    share: float  # of negative voices that the brand usually has at this hour
    fast_cost: float  # how much each voice speaks against a jump, in nats
    slow_cost: float  # … against a slow burn
    weight: float  # of a voice
    volume: float  # voices per minute that the brand usually has at this hour
    mean: float  # negative voices per minute that are unremarkable
    counts_weight: float  # 0 until the volume is known
    fast_fade: float  # per minute
    scale: float  # from nats to the score
    spread: float  # standard deviation of the brand's wander, on the logit


def expected_rates(baseline: Baseline, quarter: int, *, share_settled: bool = True) -> ExpectedRates:
    """Compute the rates for this quarter of an hour.

    While the share is not settled (another model scores), the number of negative voices is no evidence.
    """
    logit = baseline.logit(quarter)
    share = _share(logit)
    spread = sqrt(baseline.wander)
    unremarkable = _share(logit + _margin(baseline, share, spread))
    slower = _share(logit + SLOW_MARGIN_WANDER * spread)
    volume = baseline.volume(quarter)
    counts_known = share_settled and baseline.hours > SEASON_HOURS
    return ExpectedRates(
        share=share,
        fast_cost=log(1 + unremarkable * _FAST_ODDS),
        slow_cost=log(1 + slower * _SLOW_ODDS),
        weight=baseline.dispersion**-DISPERSION_POWER,
        volume=volume,
        mean=volume * unremarkable,
        counts_weight=1 / baseline.counts_dispersion if counts_known else 0.0,
        fast_fade=2 ** (-1 / _fast_half_life_minutes(baseline.level)),
        scale=_scale(baseline.level),
        spread=spread,
    )


def _margin(baseline: Baseline, share: float, spread: float) -> float:
    """Return how far above the baseline share, on the logit, a share is unremarkable."""
    voices = baseline.level * MARGIN_MINUTES
    variance = voices * share * (1 - share) / baseline.dispersion + MARGIN_VARIANCE_MIN
    margin = (MARGIN + MARGIN_WANDER * spread) * sqrt(variance / (variance + MARGIN_VARIANCE))
    return margin + MARGIN_UNKNOWN / sqrt(baseline.negatives + MARGIN_UNKNOWN_NEGATIVES)


def _fast_half_life_minutes(voices_per_minute: float) -> float:
    voices_per_hour = max(MINUTES_PER_HOUR * voices_per_minute, VOICES_PER_HOUR_MIN)
    return FAST_HALF_LIFE_MINUTES * (1 + QUIET_VOICES_PER_HOUR / voices_per_hour)


def _scale(voices_per_minute: float) -> float:
    voices_per_day = max(MINUTES_PER_DAY * voices_per_minute, SCALE_VOICES_PER_DAY_MIN)
    return SCALE * (1 - SCALE_PER_TENFOLD * log10(voices_per_day / SCALE_VOICES_PER_DAY))


def _share(logit: float) -> float:
    return 1 / (1 + exp(-logit))
