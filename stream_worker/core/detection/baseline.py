"""What a brand is used to: its share of negative voices, its volume, and how much both wander.

Rules:
1. Everything is learned in quarters of an hour, from complete minutes, after they were judged.
2. While the evidence for a spike is high, the brand learns at `EXCITED_RATE`. After `ADOPT_QUARTERS` in a
   row of that, what is seen is the new usual: all but the share is forgotten, and learning is quick again.
3. The state is constant in size, and a pure function of the minutes that were fed.
4. Another model sees another share. With its first minute the share and its hours begin anew, with
   `PRIOR_VOICES` at the old share. Volume goes on, and dispersion and wander wait until the share is settled.

With p the usual share, V = voices · p (1 - p) the variance of a binomial, N and E negative voices seen
and expected, for each quarter of an hour (sources: docs/alerts.md):

    share        decayed sums of negative and other voices, half-life 11 d, begun with 15 voices at 17 %.
                 A quarter with more than twice the usual voices + 4 weighs no more: a storm is no habit
    its hours    offset of the logit per hour of day; an hour moves its own and those of the five hours before
                 and after it, by 0.04 (N - E) / (V · dispersion + 6) times 0.8 per hour apart
    volume       voices per minute (half-life 40 h; at most three times the usual counts) x hour x weekday
    dispersion   slow mean of (N - E)² / V, at least 1: how much more than a binomial the share trembles
    counts       slow mean of (N - mean)² / mean, at least 1: the same for the number of negative voices
    wander       slow mean of ((N - E)² - 1.2 V) / V² over groups of 2 to 12 h: variance of the logit
"""

from math import exp, log
from typing import Final, NamedTuple

import msgspec

QUARTERS_PER_HOUR: Final = 4
QUARTERS_PER_DAY: Final = 96
PRIOR_VOICES: Final = 15.0
PRIOR_SHARE: Final = 0.17  # a common share in public streams; washed out after some tens of voices
FORGET: Final = 2.0 ** (-1 / (11 * QUARTERS_PER_DAY))
EXCITED_RATE: Final = 0.03
ADOPT_QUARTERS: Final = 2 * QUARTERS_PER_DAY
SEASON_HOURS: Final = 24
"""Volume is compared with, and seasons are learned, from this many hours on."""
HOUR_STEP: Final = 0.04
HOUR_NEAR: Final = 0.8
HOURS_NEAR: Final = 5
"""A day has no steps: what one hour shows, the hours about it know as well."""
HOUR_OFFSET_MAX: Final = 0.8
LEVEL_HALF_LIFE_HOURS: Final = 40.0
DISPERSION_RATE: Final = 0.01
COUNTS_RATE: Final = 0.003
WANDER_RATE: Final = 0.025


class Quarter(NamedTuple):
    """What was seen in the complete minutes of a quarter of an hour, and what was expected of them."""

    minutes: int
    voices: int
    negatives: int
    share: float
    mean: float  # negative voices per minute
    excited: bool  # the evidence for a spike was high
    settled: bool = True  # the usual share is that of the model which scored them


class Baseline(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was learned of a brand. Sums of the hour, day and group under way are among it."""

    quarter: int = -1  # of an hour, since 1970; the one under way
    hours: int = 0  # hours that were learned from
    excited_quarters: int = 0  # in a row
    negatives: float = PRIOR_VOICES * PRIOR_SHARE
    others: float = PRIOR_VOICES * (1 - PRIOR_SHARE)
    share_hours: tuple[float, ...] = (0.0,) * 24
    level: float = 0.0  # voices per minute
    volume_hours: tuple[float, ...] = (1.0,) * 24
    volume_days: tuple[float, ...] = (1.0,) * 7
    dispersion: float = 1.3
    counts_dispersion: float = 1.5
    wander: float = 0.04
    hour: tuple[int, int, int, float, float] = (0, 0, 0, 0.0, 0.0)  # minutes, voices, N, E, V
    day: tuple[int, float] = (0, 0.0)  # voices, expected
    group: tuple[int, int, float, float] = (0, 0, 0.0, 0.0)  # quarters, N, E, V

    @property
    def known_voices(self) -> float:
        """How many voices the usual share rests on."""
        return self.negatives + self.others

    def logit(self, quarter: int) -> float:
        """The logit of the usual share in this quarter of an hour."""
        return log(self.negatives / self.others) + self.share_hours[_hour(quarter)]

    def volume(self, quarter: int) -> float:
        """The usual voices per minute in this quarter of an hour."""
        return self.level * self.volume_hours[_hour(quarter)] * self.volume_days[_day(quarter)]


def learn(usual: Baseline, seen: Quarter, quarter: int) -> Baseline:
    """Learn from the quarter under way, and begin `quarter`, a later one."""
    excited = usual.excited_quarters + 1 if seen.excited and seen.settled else 0
    rate = EXCITED_RATE if seen.excited else 1.0
    voices, negatives = seen.voices, seen.negatives
    expected = voices * seen.share
    variance = expected * (1 - seen.share)
    weight = rate
    if usual.hours > SEASON_HOURS:
        limit = 2 * (15 if seen.settled else seen.minutes) * usual.volume(usual.quarter) + 4
        if voices > limit:
            weight *= limit / voices
    counted = weight * negatives
    sums = usual.negatives * FORGET + counted, usual.others * FORGET + weight * voices - counted
    if excited >= ADOPT_QUARTERS:
        known = sums[0] + sums[1]
        sums, excited = (PRIOR_VOICES * sums[0] / known, PRIOR_VOICES * sums[1] / known), 0
    minutes, v, n, e, var = usual.hour
    hour = minutes + seen.minutes, v + voices, n, e, var
    trembles = usual.dispersion, usual.counts_dispersion, usual.wander
    group = usual.group
    if seen.settled:
        hour = *hour[:2], n + negatives, e + expected, var + variance
        wander, group = _wander(usual, negatives, expected, variance, rate)
        trembles = (
            _dispersion(usual, voices, negatives, expected, variance, rate),
            _counts(usual, negatives, seen.minutes * seen.mean, rate),
            wander,
        )
    learned = Baseline(
        quarter,
        usual.hours,
        excited,
        *sums,
        usual.share_hours,
        usual.level,
        usual.volume_hours,
        usual.volume_days,
        *trembles,
        hour,
        usual.day,
        group,
    )
    if quarter // QUARTERS_PER_HOUR == usual.quarter // QUARTERS_PER_HOUR:
        return learned
    return _end_of_hour(learned, usual.quarter, rate)


def under_another_model(usual: Baseline) -> Baseline:
    """Begin the share and its hours anew: the old share is a guess that some tens of voices wash out."""
    part = min(1.0, PRIOR_VOICES / usual.known_voices)
    return msgspec.structs.replace(
        usual,
        negatives=usual.negatives * part,
        others=usual.others * part,
        share_hours=(0.0,) * 24,
        excited_quarters=0,
        hour=(*usual.hour[:2], 0, 0.0, 0.0),
    )


def _dispersion(
    usual: Baseline, voices: int, negatives: int, expected: float, variance: float, rate: float
) -> float:
    dispersion = usual.dispersion
    if voices < 2 or variance <= 0.3:
        return dispersion
    one = min((negatives - expected) ** 2 / variance, 6 * dispersion)
    return max(1.0, dispersion + DISPERSION_RATE * rate * (one - dispersion))


def _counts(usual: Baseline, negatives: int, mean: float, rate: float) -> float:
    dispersion = usual.counts_dispersion
    if mean <= 0.01:
        return dispersion
    one = min((negatives - mean) ** 2 / max(mean, 0.3), 40 * dispersion)
    return max(1.0, dispersion + COUNTS_RATE * rate * (one - dispersion))


def _wander(
    usual: Baseline, negatives: int, expected: float, variance: float, rate: float
) -> tuple[float, tuple[int, int, float, float]]:
    quarters, n, e, v = usual.group
    quarters, n, e, v = quarters + 1, n + negatives, e + expected, v + variance
    if quarters < 8 or (v < 15 and quarters < 48):
        return usual.wander, (quarters, n, e, v)
    wander = usual.wander
    if v > 1:
        one = min(max(((n - e) ** 2 - 1.2 * v) / (v * v), -0.3), 0.5)
        wander = max(0.0025, wander + WANDER_RATE * rate * v / (v + 8) * (one - wander))
    return wander, (0, 0, 0.0, 0.0)


def _end_of_hour(usual: Baseline, quarter: int, rate: float) -> Baseline:
    """Learn the seasons from the hour that holds `quarter`."""
    minutes, voices, negatives, expected, variance = usual.hour
    hour, day = _hour(quarter), _day(quarter)
    hours, level, share_hours = usual.hours, usual.level, usual.share_hours
    volume_hours, volume_days, (day_voices, day_mean) = usual.volume_hours, usual.volume_days, usual.day
    if variance > 0:
        step = rate * HOUR_STEP * (negatives - expected) / (variance * usual.dispersion + 6)
        share_hours = tuple(_moved(offset, step, (at - hour) % 24) for at, offset in enumerate(share_hours))
    if minutes >= 15:
        season = volume_hours[hour] * volume_days[day]
        mean = level * minutes * season
        counted = min(voices, 3 * mean + 3) if hours > SEASON_HOURS else voices
        pace = max(1 - 2 ** (-1 / LEVEL_HALF_LIFE_HOURS), 1 / (hours + 1))
        level += rate * pace * (counted / minutes / season - level)
        hours += 1
        if hours > SEASON_HOURS:
            drift = 0.15 * _clip((voices - mean) / (mean + 5), -0.9, 1.0)
            volume_hours = _with(volume_hours, hour, _clip(volume_hours[hour] * exp(rate * drift), 0.05, 5.0))
        day_voices, day_mean = day_voices + voices, day_mean + mean
    if usual.quarter // QUARTERS_PER_DAY != quarter // QUARTERS_PER_DAY:
        if hours > 2 * SEASON_HOURS:
            drift = 0.2 * _clip((day_voices - day_mean) / (day_mean + 5), -0.6, 0.6)
            volume_days = _with(volume_days, day, _clip(volume_days[day] * exp(rate * drift), 0.3, 2.0))
        day_voices, day_mean = 0, 0.0
    return msgspec.structs.replace(
        usual,
        hours=hours,
        share_hours=share_hours,
        level=level,
        volume_hours=volume_hours,
        volume_days=volume_days,
        hour=(0, 0, 0, 0.0, 0.0),
        day=(day_voices, day_mean),
    )


def _moved(offset: float, step: float, later: int) -> float:
    """Return the offset of the hour of the day that is so much later than the one that was learned from."""
    apart = min(later, 24 - later)
    if apart > HOURS_NEAR:
        return offset
    return round(_clip(offset + step * HOUR_NEAR**apart, -HOUR_OFFSET_MAX, HOUR_OFFSET_MAX), 4)


def _with(values: tuple[float, ...], index: int, value: float) -> tuple[float, ...]:
    return (*values[:index], round(value, 4), *values[index + 1 :])


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _hour(quarter: int) -> int:
    return quarter // QUARTERS_PER_HOUR % 24


def _day(quarter: int) -> int:
    return quarter // QUARTERS_PER_DAY % 7
