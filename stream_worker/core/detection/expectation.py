"""What the minutes of a quarter of an hour are compared with, worked out once as it begins.

From what is usual for the brand (baseline.py): its share, how far above that is unremarkable, and what a
voice weighs. The formulas are in the docstring of share_detector.py.
"""

from math import exp, log, log10, sqrt
from typing import Final

import msgspec

from stream_worker.core.detection.baseline import SEASON_HOURS, Baseline

FAST: Final = 1.1  # log odds of a jump above what is unremarkable
SLOW: Final = 0.29  # … of a slow burn
MARGIN: Final = 0.2  # on the logit: this much above usual is nothing
MARGIN_WANDER: Final = 0.8  # … and this many standard deviations of the brand's own wander
MARGIN_UNKNOWN: Final = 1.2  # … and this much over the root of the negative voices it was learned from
SLOW_MARGIN_WANDER: Final = 1.5
MARGIN_VOICES: Final = 10.0  # margins grow in with the voices of six hours: quiet brands tremble, not wander
QUIET_VOICES: Final = 4.5
FAST_HALF_LIFE_MINUTES: Final = 135.0  # and more for a quiet brand: as long as 4.5 voices take
DISPERSION_POWER: Final = 0.7
SCALE: Final = 1.35
"""From nats to the score of a brand with 3,000 voices a day, so that OPEN_AT is what it says."""
SCALE_VOLUME: Final = 0.08  # less for ten times as many: a quiet brand has fewer chances a week to err

_FAST_ODDS, _SLOW_ODDS = exp(FAST) - 1, exp(SLOW) - 1


class ExpectedRates(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the minutes of one quarter of an hour are compared with; made from `Baseline` as it begins."""

    share: float  # of negative voices that is usual at this hour
    fast_cost: float  # what each voice speaks against a jump, in nats
    slow_cost: float  # … against a slow burn
    weight: float  # of a voice: 1 / dispersion^0.7
    volume: float  # voices per minute that are usual at this hour
    mean: float  # negative voices per minute that are unremarkable
    counts_weight: float  # 0 until the volume is known
    fast_fade: float  # per minute
    scale: float  # from nats to the score
    spread: float  # standard deviation of the brand's wander, on the logit


def against_of(usual: Baseline, quarter: int, *, settled: bool = True) -> ExpectedRates:
    """Work out what the minutes of this quarter of an hour are compared with."""
    logit = usual.logit(quarter)
    share = _share(logit)
    spread = sqrt(usual.wander)
    voices = usual.level * 360 * share * (1 - share) / usual.dispersion + 0.5
    margin = (MARGIN + MARGIN_WANDER * spread) * sqrt(voices / (voices + MARGIN_VOICES))
    margin += MARGIN_UNKNOWN / sqrt(usual.negatives + 3)
    unremarkable = _share(logit + margin)
    slower = _share(logit + SLOW_MARGIN_WANDER * spread)
    volume = usual.volume(quarter)
    half_life = FAST_HALF_LIFE_MINUTES * (1 + QUIET_VOICES / max(60 * usual.level, 0.1))
    return ExpectedRates(
        share=share,
        fast_cost=log(1 + unremarkable * _FAST_ODDS),
        slow_cost=log(1 + slower * _SLOW_ODDS),
        weight=usual.dispersion**-DISPERSION_POWER,
        volume=volume,
        mean=volume * unremarkable,
        counts_weight=1 / usual.counts_dispersion if settled and usual.hours > SEASON_HOURS else 0.0,
        fast_fade=2 ** (-1 / half_life),
        scale=SCALE * (1 - SCALE_VOLUME * log10(max(1_440 * usual.level, 30) / 3_000)),
        spread=spread,
    )


def _share(logit: float) -> float:
    return 1 / (1 + exp(-logit))
