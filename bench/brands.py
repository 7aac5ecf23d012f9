"""Simulated brands: voices and negative voices per minute over six weeks, with crises that are known.

One brand is drawn from numpy's PCG64 with the seed (split, number): a seed is the same data everywhere.

A quiet minute t   λ = base · daily(t) · weekly(t) · e^(slow + fast wander)   voices, negative binomial
                   p = logistic(logit(p0) + daily(t) + wander over hours)     share, beta-binomial
                   and conversations: bursts of a few voices with a share of their own.
Must alert         shift (share x 2.2 … 4.5, volume flat), surge (volume x 2.5 … 25, share 40 … 85 %), slow
                   (share and volume climb over 8 … 24 h). Each has at least 15 negative voices too many.
Must not alert     good news (volume x 3 … 30, share falls), floods of copies (3 … 30 % of a day within
                   3 … 30 minutes; 2 … 6 % of them pass as voices), gaps, minutes of which a part is missing.
Either is right    neutral bursts (volume x 2 … 10, share as usual).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

DAY, WEEK = 1_440, 10_080
FIRST: Final = 28_923_840  # a Monday, in minutes since 1970
CRISES: Final = ("shift", "surge", "slow")
WARM_DAYS, DAYS = 14, 42
WORLDS: Final = {"base": (1.0, 1.0, 1.0, 1.0), "hard": (1.6, 2.0, 0.7, 2.0)}
"""Multipliers: wander of the share, its daily swing, strength of crises, conversations."""


@dataclass(frozen=True)
class Event:
    kind: str
    start: int  # minute of the stream
    end: int  # the last one that matters


@dataclass(frozen=True)
class Brand:
    daily: float  # voices of a usual day
    seen: np.ndarray  # bool: the minute is fed
    mentions: np.ndarray
    negatives: np.ndarray
    voices: np.ndarray
    neg_voices: np.ndarray
    events: list[Event]


def make_split(seed: int, brands: int, world: str = "base") -> list[Brand]:
    """Make brands from 100 to 100,000 voices a day, one from each slice of that range."""
    made = []
    for number in range(brands):
        rng = np.random.default_rng([seed, 10_000_000 + number])
        daily = float(10 ** (2 + 3 * (number + rng.random()) / brands))
        made.append(make_brand(np.random.default_rng([seed, number]), daily, world))
    return made


def make_real(seed: int, volumes: dict[str, np.ndarray], streams: int = 3) -> list[Brand]:
    """Make brands with real volumes (counts per five minutes) and simulated sentiment, several for each."""
    made = []
    for number, (_, counts) in enumerate(sorted(volumes.items())):
        for stream in range(streams):
            rng = np.random.default_rng([seed, 7_000_000 + number, stream])
            spread = np.vstack([rng.multinomial(count, [0.2] * 5) for count in counts]).ravel()
            days = len(spread) // DAY
            volume = spread[: days * DAY]
            made.append(make_brand(rng, max(100.0, volume.sum() / days), "base", volume))
    return made


def make_calm(rng: np.random.Generator, daily: float, days: int) -> tuple[np.ndarray, np.ndarray]:
    """Return voices and negative voices per minute of a brand to which nothing happens."""
    drift, swing, _, threads = WORLDS["base"]
    n = days * DAY
    rate, logit = _usual(rng, n, daily, drift, swing)
    size, concentration, share = rng.uniform(3, 20), 1 / rng.uniform(0.005, 0.04) - 1, _logistic(logit)
    voices = rng.poisson(rate * rng.gamma(size, 1 / size, n))
    neg_voices = rng.binomial(voices, rng.beta(share * concentration, (1 - share) * concentration))
    _converse(rng, daily, threads, np.ones(n), voices, neg_voices)
    return voices, neg_voices


def make_brand(rng: np.random.Generator, daily: float, world: str, volume: np.ndarray | None = None) -> Brand:
    drift, swing, strength, threads = WORLDS[world]
    n = DAYS * DAY if volume is None else len(volume)
    rate, logit = _usual(rng, n, daily, drift, swing)
    kinds = list(CRISES)
    if volume is None:
        kinds += ["good", "good", "neutral", "flood_neg", "flood_pos"]
    else:
        rate = np.maximum(np.convolve(volume, np.ones(61) / 61, "same"), 1e-3)
    rng.shuffle(kinds)
    slot = (n - WARM_DAYS * DAY) / len(kinds)
    room = int(slot * 0.62)
    calm_rate, calm_logit = np.zeros(n), np.zeros(n)  # of what must not alert, on the log and the logit
    bad_rate, bad_logit = np.zeros(n), np.zeros(n)  # of crises
    events: list[Event] = []
    floods: list[tuple[int, int, int, bool, float]] = []
    for number, kind in enumerate(kinds):
        start = int(WARM_DAYS * DAY + number * slot + rng.uniform(0, slot * 0.25))
        if kind in CRISES:
            more, shift, end = _crisis(rng, kind, start, room, rate, logit, strength)
            bad_rate, bad_logit = bad_rate + more, bad_logit + shift
        elif kind.startswith("flood"):
            length, copies = int(rng.uniform(3, 30)), int(max(30, rng.uniform(0.03, 0.30) * daily))
            floods.append((start, length, copies, kind == "flood_neg", rng.uniform(0.02, 0.06)))
            end = start + length + 60
        else:
            more, shift, end = _burst(rng, kind, start, room, logit)
            calm_rate, calm_logit = calm_rate + more, calm_logit + shift
        events.append(Event(kind, start, end))
    seen, thin = _trouble(rng, n, events, thin=volume is None)
    calm = rate * np.exp(calm_rate) * thin
    share = _logistic(logit + calm_logit + bad_logit)
    if volume is None:
        size = rng.uniform(3, 20)
        voices = rng.poisson(calm * np.exp(bad_rate) * rng.gamma(size, 1 / size, n))
    else:
        voices = volume + rng.poisson(np.maximum(calm * np.exp(bad_rate) - calm, 0))
    concentration = 1 / rng.uniform(0.005, 0.04) - 1
    neg_voices = rng.binomial(voices, rng.beta(share * concentration, (1 - share) * concentration))
    if volume is None:
        _converse(rng, daily, threads, thin, voices, neg_voices)
    mentions, negatives = voices.copy(), neg_voices.copy()
    for start, length, copies, negative, passing in floods:
        when = start + (rng.beta(1.2, 2.0, copies) * length).astype(int)
        passed = when[rng.random(copies) < passing]
        np.add.at(mentions, when, 1)
        np.add.at(voices, passed, 1)
        if negative:
            np.add.at(negatives, when, 1)
            np.add.at(neg_voices, passed, 1)
    return Brand(daily, seen, mentions, negatives, voices, neg_voices, events)


def _usual(
    rng: np.random.Generator, n: int, daily: float, drift: float, swing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return voices per minute and the logit of the negative share when nothing happens."""
    t = np.arange(n)
    phase, first, second = rng.uniform(0, DAY), rng.uniform(0.4, 1.0), rng.uniform(0, 0.35)
    day = np.exp(first * _wave(t, phase) + second * np.cos(4 * np.pi * (t - 0.7 * phase) / DAY))
    week = np.ones(7)
    week[5:] = rng.uniform(0.5, 1.15)
    season = day * (week * np.exp(0.08 * rng.standard_normal(7)))[t // DAY % 7]
    season /= season[:WEEK].mean()
    slow = _wander(rng, n, rng.uniform(0.08, 0.25), 2 * DAY)
    fast = _wander(rng, n, rng.uniform(0.10, 0.30), rng.uniform(10, 60))
    logit = _logit(rng.uniform(0.08, 0.30)) + swing * rng.uniform(0, 0.25) * _wave(t, rng.uniform(0, DAY))
    logit += drift * _wander(rng, n, rng.uniform(0.10, 0.30), rng.uniform(3, 12) * 60)
    return daily / DAY * season * np.exp(slow + fast), logit


def _crisis(
    rng: np.random.Generator,
    kind: str,
    start: int,
    room: int,
    rate: np.ndarray,
    logit: np.ndarray,
    strength: float,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return log volume, logit of the share, and the last minute; at least 15 negative voices too many."""
    n, usual = len(rate), _logistic(logit)
    for attempt in range(50):
        share = usual[start]
        if kind == "shift":
            ramp, hold, half, factor = (
                rng.uniform(1, 10),
                rng.uniform(3, 12) * 60,
                30.0,
                rng.uniform(1.0, 1.5),
            )
            peak = min(0.85, share * (1 + (rng.uniform(2.2, 4.5) - 1) * strength))
        elif kind == "slow":
            ramp, hold, half = rng.uniform(8, 24) * 60, rng.uniform(6, 12) * 60, 120.0
            factor = rng.uniform(1.2, 2.5)
            peak = min(0.85, share * (1 + (rng.uniform(2.2, 4.0) - 1) * strength))
        else:
            ramp, hold, half = rng.uniform(5, 45), rng.uniform(0, 60), rng.uniform(2, 8) * 60
            factor = np.exp(rng.uniform(np.log(2.5), np.log(25)))
            peak = share + (max(rng.uniform(0.40, 0.85), min(0.85, 2 * share)) - share) * strength
        shape = _shape(n, start, ramp, hold * (1 + 0.15 * attempt), half, room)
        more = np.log1p((factor - 1) * shape)
        steep = 1.0 if kind == "slow" else 1.4
        shift = (_logit(peak) - _logit(share)) * np.minimum(1, shape * steep)
        excess = (rate * np.exp(more) * _logistic(logit + shift) - rate * usual)[start : start + room].sum()
        if excess >= 15:
            break
    return more, shift, int(np.flatnonzero(shape > 0.25)[-1])


def _burst(
    rng: np.random.Generator, kind: str, start: int, room: int, logit: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the same of good news, and of a burst that is neither good nor bad."""
    good = kind == "good"
    factor = np.exp(rng.uniform(np.log(3 if good else 2), np.log(30 if good else 10)))
    ramp, half = rng.uniform(5, 60), rng.uniform(2, 8 if good else 6) * 60
    shape = _shape(len(logit), start, ramp, 0, half, room)
    shift = np.zeros(len(logit))
    if good:
        usual, weight = _logistic(logit), (factor - 1) * shape
        shift = _logit((usual + weight * rng.uniform(0.2, 0.7) * usual) / (1 + weight)) - logit
    return np.log1p((factor - 1) * shape), shift, int(min(start + ramp + 3.3 * half, start + room))


def _trouble(
    rng: np.random.Generator, n: int, events: list[Event], *, thin: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return which minutes are fed, and how much of each; neither spoils the beginning of a crisis."""
    seen, part = np.ones(n, bool), np.ones(n)
    crises = [event.start for event in events if event.kind in CRISES]
    for kind in ["gap"] * 4 + ["thin"] * (3 if thin else 0):
        for _ in range(40):
            start = int(rng.uniform(3, n / DAY - 1) * DAY)
            end = start + int(np.exp(rng.uniform(np.log(20), np.log(600))))
            if all(end < crisis - 30 or start > crisis + 360 for crisis in crises):
                if kind == "gap":
                    seen[start:end] = False
                else:
                    part[start:end] = rng.uniform(0.1, 0.4)
                events.append(Event(kind, start, end + 60))
                break
    return seen, part


def _converse(
    rng: np.random.Generator,
    daily: float,
    threads: float,
    thin: np.ndarray,
    voices: np.ndarray,
    neg_voices: np.ndarray,
) -> None:
    """Add conversations: a few dozen voices of one opinion within the hour."""
    n = len(voices)
    for _ in range(rng.poisson(threads * n / DAY * (0.6 + 0.5 * np.log10(daily)))):
        start, size = (
            int(rng.uniform(0, n)),
            int(np.ceil(rng.lognormal(np.log(max(2.0, 0.004 * daily)), 0.6))),
        )
        size = min(size, int(max(6, 0.03 * daily)))
        when = start + rng.exponential(rng.uniform(8, 60), size).astype(int)
        when = when[when < n]
        when = when[rng.random(len(when)) < thin[when]]
        negative = when[rng.random(len(when)) < rng.beta(0.6, 2.0)]
        np.add.at(voices, when, 1)
        np.add.at(neg_voices, negative, 1)


def _wander(rng: np.random.Generator, n: int, deviation: float, minutes: float) -> np.ndarray:
    """Return an Ornstein-Uhlenbeck path, drawn coarsely and interpolated."""
    step = max(1, int(minutes // 20))
    keep = np.exp(-step / minutes)
    noise = rng.standard_normal(n // step + 2) * deviation * np.sqrt(1 - keep * keep)
    path = [rng.standard_normal() * deviation]
    for one in noise[1:]:
        path.append(keep * path[-1] + one)
    return np.interp(np.arange(n), np.arange(len(path)) * step, path)


def _shape(n: int, start: int, ramp: float, hold: float, half: float, room: int) -> np.ndarray:
    """Return an envelope from 0 to 1: up over `ramp`, flat for `hold`, then halved every `half` minutes."""
    end = min(n, start + room)
    u = np.arange(end - start, dtype=float)
    falling = 0.5 ** (np.maximum(u - ramp - hold, 0) / half)
    y = np.where(u < ramp, (u + 1) / (ramp + 1), falling)
    y[y < 0.02] = 0
    tail = min(120, len(y))
    y[-tail:] *= np.linspace(1, 0, tail)
    shape = np.zeros(n)
    shape[start:end] = y
    return shape


def _wave(t: np.ndarray, phase: float) -> np.ndarray:
    return np.cos(2 * np.pi * (t - phase) / DAY)


def _logit(p: Any) -> Any:
    return np.log(p / (1 - p))


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))
