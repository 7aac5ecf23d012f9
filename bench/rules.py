"""The rules that people ship, in their published shape: a statistic per minute and a threshold."""

import math
from collections import deque
from collections.abc import Callable


class _Sum:
    """The sum of the last minutes."""

    def __init__(self, minutes: int) -> None:
        self.minutes, self.items, self.sum = minutes, deque(), 0

    def add(self, now: int, value: int) -> int:
        while self.items and self.items[0][0] <= now - self.minutes:
            self.sum -= self.items.popleft()[1]
        if value:
            self.items.append((now, value))
            self.sum += value
        return self.sum


Rule = Callable[[int, int, int], float]
"""(minute, voices, negative voices) -> statistic."""


def share_of_minute() -> Rule:
    return lambda _now, voices, negative: negative / voices if voices else 0.0


def share_of_hour() -> Rule:
    voices_of, negative_of = _Sum(60), _Sum(60)

    def step(now: int, voices: int, negative: int) -> float:
        v, n = voices_of.add(now, voices), negative_of.add(now, negative)
        return n / v if v >= 10 else 0.0

    return step


def z_score() -> Rule:
    sums, squares = _Sum(60), _Sum(60)

    def step(now: int, _voices: int, negative: int) -> float:
        mean = sums.add(now, 0) / 60
        deviation = math.sqrt(max(squares.add(now, 0) / 60 - mean * mean, 0.0))
        sums.add(now, negative)
        squares.add(now, negative * negative)
        return (negative - mean) / deviation if deviation else 3.0 * negative

    return step


def hour_against_day() -> Rule:
    hour, day = _Sum(60), _Sum(1_440)
    return lambda now, _voices, negative: hour.add(now, negative) / max(day.add(now, negative) / 24, 1 / 24)


def hour_against_week() -> Rule:
    hour, week = _Sum(60), _Sum(10_080)
    return lambda now, _voices, negative: (
        hour.add(now, negative) / max(week.add(now, negative) / 168, 1 / 168)
    )


def hour_against_half_day() -> Rule:
    """Against the last 12 h, confirmed against the same hour of yesterday and of last week."""
    hour, half_day, past = _Sum(60), _Sum(720), {}

    def step(now: int, _voices: int, negative: int) -> float:
        h, usual = hour.add(now, negative), half_day.add(now, negative) / 12
        slot = now // 15
        if now % 15 == 0:
            past[slot % 673] = h
        before = (past.get((slot - back) % 673) for back in (96, 672))
        return min(h / max(one, 0.5) for one in (usual, *(one for one in before if one is not None)))

    return step


def minute_against_day() -> Rule:
    day = _Sum(1_440)

    def step(now: int, _voices: int, negative: int) -> float:
        usual = day.add(now, 0) / 1_440
        day.add(now, negative)
        return negative / max(20.0, 6 * usual)

    return step


def burn_rate() -> Rule:
    """Both windows of a pair burn: 5 min and 1 h at 3 x the week's share, 30 min and 6 h, 2 h and 24 h."""
    pairs = ((5, 60, 3.0), (30, 360, 2.0), (120, 1_440, 1.5))
    sums = {minutes: (_Sum(minutes), _Sum(minutes)) for minutes in (5, 30, 60, 120, 360, 1_440, 10_080)}

    def step(now: int, voices: int, negative: int) -> float:
        seen = {m: (v.add(now, voices), n.add(now, negative)) for m, (v, n) in sums.items()}
        usual = (seen[10_080][1] + 1) / (seen[10_080][0] + 6)
        share = {m: n / v if v else 0.0 for m, (v, n) in seen.items()}
        return max(
            min(share[short], share[long]) / (times * usual) if seen[long][0] >= 10 else 0.0
            for short, long, times in pairs
        )

    return step


RULES: dict[str, tuple[Callable[[], Rule], float]] = {
    "z of the minute > 3": (z_score, 3.0),
    "share of the minute > 50 %": (share_of_minute, 0.5),
    "share of the hour > 40 %, 10 voices": (share_of_hour, 0.4),
    "hour > 3 x mean hour of the day": (hour_against_day, 3.0),
    "hour > 2.5 x 12 h, yesterday, last week": (hour_against_half_day, 2.5),
    "hour > 3 x mean hour of the week": (hour_against_week, 3.0),
    "burn rate in two windows": (burn_rate, 1.0),
    "minute > max(20, 6 x mean of the day)": (minute_against_day, 1.0),
}
