"""The baseline of a brand: its usual share of negative voices, its volume, and how much both vary.

Rules:
1. The detector learns from whole quarters of an hour, from their complete minutes, after it evaluated them.
2. While the evidence for a spike is high, the brand learns at `SPIKING_RATE`. After `ADOPT_QUARTERS` in a row
   of that, its share rests on `PRIOR_VOICES` only: learning is quick again, and what lasts is the baseline.
3. The baseline is constant in size, and a pure function of the minutes that were fed.
4. Another model sees another share. With its first minute the share and its hours start again, with
   `PRIOR_VOICES` at the old share. Volume goes on; dispersion and wander wait until the share is settled.

With p the baseline share, V = voices · p (1 - p) the variance of a binomial, N and E negative voices observed
and expected, for each quarter of an hour (sources: docs/alerts.md):

    share        decayed sums of negative and other voices, half-life 11 d, from 15 voices at 17 % on.
                 A quarter with more than twice the usual voices + 4 weighs no more: a storm is no habit
    its hours    offset of the logit per hour of day; an hour moves its own and those of the five hours before
                 and after it, by 0.04 (N - E) / (V · dispersion + 6) times 0.8 per hour apart
    volume       voices per minute (half-life 40 h; at most three times the usual counts) x hour x weekday
    dispersion   slow mean of (N - E)² / V, at least 1: how much more than a binomial the share varies
    counts       slow mean of (N - mean)² / mean, at least 1: the same for the number of negative voices
    wander       slow mean of ((N - E)² - 1.2 V) / V² over groups of 2 to 12 h: variance of the logit

Every constant here without another origin was tuned on simulated brands (bench/spikes.py), together with all
others; docs/alerts.md measures the result on seeds that were not used for that.
"""

from math import exp, log
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

MINUTES_PER_QUARTER: Final = 15
QUARTERS_PER_HOUR: Final = 4
QUARTERS_PER_DAY: Final = 96
HOURS_PER_DAY: Final = 24
DAYS_PER_WEEK: Final = 7

# The share that a brand starts with: a common one in public streams, and so few voices that some tens of the
# brand's own wash it out (docs/alerts.md#the-detector-share5).
PRIOR_VOICES: Final = 15.0
PRIOR_SHARE: Final = 0.17

SHARE_HALF_LIFE_DAYS: Final = 11
_SHARE_FADE: Final = 2.0 ** (-1 / (SHARE_HALF_LIFE_DAYS * QUARTERS_PER_DAY))  # per quarter

# A quarter weighs no more than LOUD_TIMES its usual voices, and LOUD_VOICES_FREE on top for the quiet ones.
LOUD_TIMES: Final = 2
LOUD_VOICES_FREE: Final = 4

# A spike must not become the baseline, and yet what lasts must: hardly anything is learned while the evidence
# is high, and a share that lasts for two days is the new baseline
# (docs/decisions/0037-the-detector-decides-what-teaches-it.md).
SPIKING_RATE: Final = 0.03
ADOPT_QUARTERS: Final = 2 * QUARTERS_PER_DAY

SEASON_HOURS: Final = 24
"""Volume is compared with, and its seasons are learned, once every hour of a day was seen."""

# A day has no steps: an hour's share says something about the hours next to it
# (docs/decisions/0045-the-share-beside-half-a-day.md).
HOUR_STEP: Final = 0.04
HOUR_STEP_VARIANCE: Final = 6  # added to the variance: an hour with few voices moves little
NEIGHBOUR_WEIGHT: Final = 0.8  # per hour apart
NEIGHBOUR_HOURS: Final = 5
HOUR_OFFSET_MAX: Final = 0.8

# The volume. Its pace is 1 / hours until that is slower than the half-life.
LEVEL_HALF_LIFE_HOURS: Final = 40.0
LEVEL_TIMES: Final = 3  # an hour counts at most so many times its usual voices, and LEVEL_VOICES_FREE on top
LEVEL_VOICES_FREE: Final = 3
HOUR_MINUTES_MIN: Final = 15  # of complete minutes; an hour with fewer says nothing about volume

# The factors of the hours and of the weekdays move by e^(rate · (voices - mean) / (mean +
# VOLUME_MEAN_ADDED)). VOLUME_MEAN_ADDED keeps the handful of voices of a quiet brand from moving them far.
VOLUME_MEAN_ADDED: Final = 5
VOLUME_HOUR_RATE: Final = 0.15
VOLUME_HOUR_DRIFTS: Final = (-0.9, 1.0)
VOLUME_HOUR_FACTORS: Final = (0.05, 5.0)
VOLUME_DAY_RATE: Final = 0.2
VOLUME_DAY_DRIFTS: Final = (-0.6, 0.6)
VOLUME_DAY_FACTORS: Final = (0.3, 2.0)
WEEKDAYS_FROM_HOURS: Final = 2 * SEASON_HOURS  # the hours of the day come first

# Dispersion: a quarter says something from DISPERSION_VOICES_MIN voices and DISPERSION_VARIANCE_MIN on, and
# at most DISPERSION_OUTLIER times what is known, so that one odd quarter is no habit.
DISPERSION_START: Final = 1.3
DISPERSION_RATE: Final = 0.01
DISPERSION_VOICES_MIN: Final = 2
DISPERSION_VARIANCE_MIN: Final = 0.3
DISPERSION_OUTLIER: Final = 6
DISPERSION_MIN: Final = 1.0  # that of a binomial, and of a Poisson count

COUNTS_START: Final = 1.5
COUNTS_RATE: Final = 0.003
COUNTS_MEAN_MIN: Final = 0.01  # with fewer expected negative voices a quarter says nothing
COUNTS_VARIANCE_MIN: Final = 0.3
COUNTS_OUTLIER: Final = 40

# Wander, a variance of the logit. A group of quarters is long enough for it after 2 h, or after 12 h where
# the binomial variance is still small by then; 1.2 times that variance is chance.
WANDER_START: Final = 0.04
WANDER_RATE: Final = 0.025
WANDER_QUARTERS_MIN: Final = 2 * QUARTERS_PER_HOUR
WANDER_QUARTERS_MAX: Final = 12 * QUARTERS_PER_HOUR
WANDER_VARIANCE_ENOUGH: Final = 15
WANDER_VARIANCE_MIN: Final = 1  # a group with less says nothing
WANDER_VARIANCE_ADDED: Final = 8  # a group with little variance moves the mean little
WANDER_CHANCE: Final = 1.2
WANDER_OUTLIERS: Final = (-0.3, 0.5)
WANDER_MIN: Final = 0.0025

STORED_DIGITS: Final = 4
"""Of offsets and factors, which are half of the numbers in the stored text."""


class QuarterSummary(NamedTuple):
    """The complete minutes of a quarter of an hour as they were observed, and what was expected of them."""

    minutes: int
    voices: int
    negatives: int
    share: float  # expected
    mean: float  # negative voices per minute, expected
    spiking: bool  # the evidence for a spike was high
    settled: bool = True  # the baseline share is that of the model which scored them


class HourSums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The hour under way. The last three are of quarters with a settled share."""

    minutes: int = 0
    voices: int = 0
    negatives: int = 0
    expected: float = 0.0  # negative voices
    variance: float = 0.0  # binomial


class DaySums(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The day under way."""

    voices: int = 0
    expected: float = 0.0  # voices


class WanderGroup(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The quarters with a settled share that wander is learned from next."""

    quarters: int = 0
    negatives: int = 0
    expected: float = 0.0  # negative voices
    variance: float = 0.0  # binomial


class Baseline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that was learned of a brand, with the sums of the hour, day and group under way.

    Stored in this order.
    """

    quarter: int = -1  # of an hour, since 1970; the one under way
    hours: int = 0  # hours that were learned from
    spiking_quarters: int = 0  # in a row
    negatives: float = PRIOR_VOICES * PRIOR_SHARE
    others: float = PRIOR_VOICES * (1 - PRIOR_SHARE)
    share_hours: tuple[float, ...] = (0.0,) * HOURS_PER_DAY
    level: float = 0.0  # voices per minute
    volume_hours: tuple[float, ...] = (1.0,) * HOURS_PER_DAY
    volume_days: tuple[float, ...] = (1.0,) * DAYS_PER_WEEK
    dispersion: float = DISPERSION_START
    counts_dispersion: float = COUNTS_START
    wander: float = WANDER_START
    hour: HourSums = HourSums()
    day: DaySums = DaySums()
    group: WanderGroup = WanderGroup()

    @property
    def known_voices(self) -> float:
        """How many voices the share rests on."""
        return self.negatives + self.others

    def logit(self, quarter: int) -> float:
        """Return the logit of the usual share in this quarter of an hour."""
        return log(self.negatives / self.others) + self.share_hours[_hour_of_day(quarter)]

    def volume(self, quarter: int) -> float:
        """Return the usual voices per minute in this quarter of an hour."""
        return self.level * self.volume_hours[_hour_of_day(quarter)] * self.volume_days[_day_of_week(quarter)]


def learn(baseline: Baseline, seen: QuarterSummary, next_quarter: int) -> Baseline:
    """Learn from the quarter under way, and begin `next_quarter`, a later one."""
    rate = SPIKING_RATE if seen.spiking else 1.0
    learned = _learn_share(baseline, seen, rate)
    learned = replace(
        learned,
        quarter=next_quarter,
        hour=replace(
            learned.hour,
            minutes=learned.hour.minutes + seen.minutes,
            voices=learned.hour.voices + seen.voices,
        ),
    )
    if seen.settled:
        learned = _learn_variation(learned, seen, rate)
    if next_quarter // QUARTERS_PER_HOUR == baseline.quarter // QUARTERS_PER_HOUR:
        return learned
    return _end_hour(learned, baseline.quarter, rate)


def restart_share(baseline: Baseline) -> Baseline:
    """Forget the share but for a guess that some tens of voices wash out, and the hours of the share."""
    kept = min(1.0, PRIOR_VOICES / baseline.known_voices)
    return replace(
        baseline,
        negatives=baseline.negatives * kept,
        others=baseline.others * kept,
        share_hours=(0.0,) * HOURS_PER_DAY,
        spiking_quarters=0,
        hour=HourSums(minutes=baseline.hour.minutes, voices=baseline.hour.voices),
    )


def _learn_share(baseline: Baseline, seen: QuarterSummary, rate: float) -> Baseline:
    """Add a quarter to the decayed sums of negative and other voices; adopt a share that lasts."""
    weight = rate
    if baseline.hours > SEASON_HOURS:
        minutes = MINUTES_PER_QUARTER if seen.settled else seen.minutes
        limit = LOUD_TIMES * minutes * baseline.volume(baseline.quarter) + LOUD_VOICES_FREE
        if seen.voices > limit:
            weight *= limit / seen.voices
    counted = weight * seen.negatives
    negatives = baseline.negatives * _SHARE_FADE + counted
    others = baseline.others * _SHARE_FADE + weight * seen.voices - counted
    spiking_quarters = baseline.spiking_quarters + 1 if seen.spiking and seen.settled else 0
    if spiking_quarters >= ADOPT_QUARTERS:
        known = negatives + others
        negatives, others = PRIOR_VOICES * negatives / known, PRIOR_VOICES * others / known
        spiking_quarters = 0
    return replace(baseline, spiking_quarters=spiking_quarters, negatives=negatives, others=others)


def _learn_variation(baseline: Baseline, seen: QuarterSummary, rate: float) -> Baseline:
    """Learn how much the share and the counts vary, and add the quarter to the hour and the group."""
    expected = seen.voices * seen.share
    variance = expected * (1 - seen.share)
    hour, group = baseline.hour, baseline.group
    group = WanderGroup(
        quarters=group.quarters + 1,
        negatives=group.negatives + seen.negatives,
        expected=group.expected + expected,
        variance=group.variance + variance,
    )
    ended = group.quarters >= WANDER_QUARTERS_MIN and (
        group.variance >= WANDER_VARIANCE_ENOUGH or group.quarters >= WANDER_QUARTERS_MAX
    )
    return replace(
        baseline,
        dispersion=_dispersion(baseline.dispersion, seen, expected, variance, rate),
        counts_dispersion=_counts_dispersion(baseline.counts_dispersion, seen, rate),
        wander=_wander(baseline.wander, group, rate) if ended else baseline.wander,
        hour=replace(
            hour,
            negatives=hour.negatives + seen.negatives,
            expected=hour.expected + expected,
            variance=hour.variance + variance,
        ),
        group=WanderGroup() if ended else group,
    )


def _dispersion(
    dispersion: float, seen: QuarterSummary, expected: float, variance: float, rate: float
) -> float:
    if seen.voices < DISPERSION_VOICES_MIN or variance <= DISPERSION_VARIANCE_MIN:
        return dispersion
    sample = min((seen.negatives - expected) ** 2 / variance, DISPERSION_OUTLIER * dispersion)
    return max(DISPERSION_MIN, dispersion + DISPERSION_RATE * rate * (sample - dispersion))


def _counts_dispersion(dispersion: float, seen: QuarterSummary, rate: float) -> float:
    mean = seen.minutes * seen.mean
    if mean <= COUNTS_MEAN_MIN:
        return dispersion
    sample = (seen.negatives - mean) ** 2 / max(mean, COUNTS_VARIANCE_MIN)
    sample = min(sample, COUNTS_OUTLIER * dispersion)
    return max(DISPERSION_MIN, dispersion + COUNTS_RATE * rate * (sample - dispersion))


def _wander(wander: float, group: WanderGroup, rate: float) -> float:
    variance = group.variance
    if variance <= WANDER_VARIANCE_MIN:
        return wander
    excess = (group.negatives - group.expected) ** 2 - WANDER_CHANCE * variance
    sample = _clip(excess / (variance * variance), WANDER_OUTLIERS)
    pace = WANDER_RATE * rate * variance / (variance + WANDER_VARIANCE_ADDED)
    return max(WANDER_MIN, wander + pace * (sample - wander))


def _end_hour(baseline: Baseline, quarter: int, rate: float) -> Baseline:
    """Learn the seasons from the hour that holds `quarter`, its last one; and begin the next hour."""
    learned = baseline
    if baseline.hour.variance > 0:
        learned = _learn_share_hours(learned, _hour_of_day(quarter), rate)
    if baseline.hour.minutes >= HOUR_MINUTES_MIN:
        learned = _learn_volume(learned, quarter, rate)
    if baseline.quarter // QUARTERS_PER_DAY != quarter // QUARTERS_PER_DAY:
        learned = _end_day(learned, _day_of_week(quarter), rate)
    return replace(learned, hour=HourSums())


def _learn_share_hours(baseline: Baseline, hour_of_day: int, rate: float) -> Baseline:
    hour = baseline.hour
    variance = hour.variance * baseline.dispersion + HOUR_STEP_VARIANCE
    step = rate * HOUR_STEP * (hour.negatives - hour.expected) / variance
    offsets = (
        _moved(offset, step, (at - hour_of_day) % HOURS_PER_DAY)
        for at, offset in enumerate(baseline.share_hours)
    )
    return replace(baseline, share_hours=tuple(offsets))


def _moved(offset: float, step: float, hours_later: int) -> float:
    """Return the offset of the hour that is so much later in the day than the one that was learned from."""
    apart = min(hours_later, HOURS_PER_DAY - hours_later)
    if apart > NEIGHBOUR_HOURS:
        return offset
    moved = _clip(offset + step * NEIGHBOUR_WEIGHT**apart, (-HOUR_OFFSET_MAX, HOUR_OFFSET_MAX))
    return round(moved, STORED_DIGITS)


def _learn_volume(baseline: Baseline, quarter: int, rate: float) -> Baseline:
    """Learn the level and the hour of the day from the hour that ends, and add the hour to the day."""
    hour, day = baseline.hour, baseline.day
    hour_of_day = _hour_of_day(quarter)
    factor = baseline.volume_hours[hour_of_day]
    season = factor * baseline.volume_days[_day_of_week(quarter)]
    mean = baseline.level * hour.minutes * season
    seasons_known = baseline.hours > SEASON_HOURS
    voices = min(hour.voices, LEVEL_TIMES * mean + LEVEL_VOICES_FREE) if seasons_known else hour.voices
    pace = max(1 - 2 ** (-1 / LEVEL_HALF_LIFE_HOURS), 1 / (baseline.hours + 1))
    learned = replace(
        baseline,
        hours=baseline.hours + 1,
        level=baseline.level + rate * pace * (voices / hour.minutes / season - baseline.level),
        day=DaySums(voices=day.voices + hour.voices, expected=day.expected + mean),
    )
    if learned.hours <= SEASON_HOURS:
        return learned
    drift = VOLUME_HOUR_RATE * _clip((hour.voices - mean) / (mean + VOLUME_MEAN_ADDED), VOLUME_HOUR_DRIFTS)
    factor = _clip(factor * exp(rate * drift), VOLUME_HOUR_FACTORS)
    return replace(learned, volume_hours=_with_factor(learned.volume_hours, hour_of_day, factor))


def _end_day(baseline: Baseline, day_of_week: int, rate: float) -> Baseline:
    """Learn the weekday from the day that ends, and begin the next day."""
    if baseline.hours <= WEEKDAYS_FROM_HOURS:
        return replace(baseline, day=DaySums())
    day, factors = baseline.day, baseline.volume_days
    drift = (day.voices - day.expected) / (day.expected + VOLUME_MEAN_ADDED)
    drift = VOLUME_DAY_RATE * _clip(drift, VOLUME_DAY_DRIFTS)
    factor = _clip(factors[day_of_week] * exp(rate * drift), VOLUME_DAY_FACTORS)
    return replace(baseline, day=DaySums(), volume_days=_with_factor(factors, day_of_week, factor))


def _with_factor(factors: tuple[float, ...], index: int, factor: float) -> tuple[float, ...]:
    return (*factors[:index], round(factor, STORED_DIGITS), *factors[index + 1 :])


def _clip(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(max(value, low), high)


def _hour_of_day(quarter: int) -> int:
    return quarter // QUARTERS_PER_HOUR % HOURS_PER_DAY


def _day_of_week(quarter: int) -> int:
    return quarter // QUARTERS_PER_DAY % DAYS_PER_WEEK
