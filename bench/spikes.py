"""Spikes: how soon the detector finds a crisis, how often it errs, and how the rules people ship compare.

    python -m bench.spikes                        the table: 60 brands of two seeds, every rule as shipped
    python -m bench.spikes --brands 200 --no-rules --world hard
    python -m bench.spikes --real FILE.parquet    real volumes (timestamp, count per 5 minutes, series)

A crisis is found if an episode opens within it; the delay counts from its first minute, a decision at the
close of that minute being 1. A false alert opens outside of every crisis (and an hour after) and every
neutral burst. One that is open already when a crisis begins does not find it. Utility is the mean of
1 - delay / H, at least 0, with H = 6 hours, 24 for slow crises. The first 14 days of a brand are not scored.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bench.brands import CRISES, DAY, FIRST, WARM_DAYS, WEEK, WORLDS, Brand, make_real, make_split
from bench.rules import RULES
from stream_worker.core.detection.replay import CountSeries, replay
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.time import MINUTE_MS

HORIZON = {"shift": 360, "surge": 360, "slow": 1_440}
GRACE = 60
HEADINGS = (
    "alert",
    "false / brand / week",
    "found",
    "median delay, min",
    "utility",
    "good news",
    "floods",
    "repeats",
    "resolved after, min",
)
Span = tuple[int, int | None]  # opened, ended: minutes of the stream


class Tally(NamedTuple):
    """What one way to alert did on some brands."""

    weeks: float = 0.0
    false: int = 0
    crises: tuple[tuple[str, float], ...] = ()  # kind, delay in minutes or infinite
    repeats: int = 0
    lags: tuple[int, ...] = ()  # resolved, minutes after the end
    good: tuple[int, int] = (0, 0)  # alerting, of
    floods: tuple[int, int] = (0, 0)

    def __add__(self, other: "Tally") -> "Tally":  # type: ignore[override]
        joined = [
            tuple(a + b for a, b in zip(one, two, strict=True)) if name in ("good", "floods") else one + two
            for name, one, two in zip(Tally._fields, self, other, strict=True)
        ]
        return Tally(*joined)


def main() -> None:
    asked = _arguments()
    rows: dict[str, Tally] = {}
    with ProcessPoolExecutor(asked.jobs) as pool:
        for scored in pool.map(partial(_score, rules=asked.rules), _brands(asked)):
            for name, tally in scored.items():
                rows[name] = rows[name] + tally if name in rows else tally
    print(f"| {' | '.join(HEADINGS)} |")
    print(f"|{'---|' * len(HEADINGS)}")
    for name, tally in rows.items():
        print(_row(name, tally))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[501, 502], help="one or more")
    parser.add_argument("--brands", type=int, default=30, help="per seed")
    parser.add_argument("--world", choices=tuple(WORLDS), default="base")
    parser.add_argument("--real", metavar="FILE", help="Parquet of real volumes: timestamp, count, series")
    parser.add_argument(
        "--rules", action=argparse.BooleanOptionalAction, default=True, help="the rules people ship"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    return parser.parse_args()


def _brands(asked: argparse.Namespace) -> Iterator[Brand]:
    for seed in asked.seeds:
        if asked.real is None:
            yield from make_split(seed, asked.brands, asked.world)
        else:
            table = pq.read_table(asked.real).sort_by("timestamp")
            names, counts = np.array(table["series"].to_pylist()), table["count"].to_numpy()
            yield from make_real(seed, {name: counts[names == name].astype(int) for name in set(names)})


def _score(brand: Brand, *, rules: bool) -> dict[str, Tally]:
    """Score one brand: ours at every sensitivity, then each rule."""
    at = np.flatnonzero(brand.seen)
    columns = (brand.mentions, brand.negatives, brand.voices, brand.neg_voices)
    series = CountSeries(at + FIRST, *(column[at] for column in columns))
    scored = {}
    for sensitivity, episodes in replay("brand", series, ShareDetector()).episodes.items():
        spans = [(_minute(one.opened_ms), one.ended_ms and _minute(one.ended_ms)) for one in episodes]
        scored[f"**stream_worker at {sensitivity:g}**"] = _tally(brand, spans)
    if rules:
        for name, (make, threshold) in RULES.items():
            step = make()
            voices, negative = brand.voices[at].tolist(), brand.neg_voices[at].tolist()
            fired = [
                minute
                for minute, v, n in zip(at.tolist(), voices, negative, strict=True)
                if step(minute + FIRST, v, n) >= threshold
            ]
            scored[name] = _tally(brand, list(_openings(fired)))
    return scored


def _openings(fired: Sequence[int]) -> Iterator[Span]:
    """Join minutes that fired into alerts: one ends after an hour in which none fired."""
    for number, minute in enumerate(fired):
        if number == 0 or minute - fired[number - 1] > 60:
            yield minute, None


def _tally(brand: Brand, spans: Iterable[Span]) -> Tally:
    n, warm = len(brand.seen), WARM_DAYS * DAY
    crisis, neutral = np.zeros(n, bool), np.zeros(n, bool)
    for event in brand.events:
        if event.kind in CRISES or event.kind == "neutral":
            (crisis if event.kind in CRISES else neutral)[event.start : event.end + GRACE] = True
    spans = [span for span in spans if span[0] >= warm]
    found, repeats, lags = [], 0, []
    good, floods = [0, 0], [0, 0]
    for event in brand.events:
        inside = [span for span in spans if event.start <= span[0] <= event.end]
        if event.kind in CRISES:
            found.append((event.kind, inside[0][0] - event.start + 1 if inside else np.inf))
            repeats += max(0, len(inside) - 1)
            if inside and inside[-1][1] is not None:
                lags.append(inside[-1][1] - event.end)
        for kind, counted in (("good", good), ("flood_neg", floods)):
            if event.kind == kind:
                counted[0] += bool(inside)
                counted[1] += 1
    false = sum(not crisis[opened] and not neutral[opened] for opened, _ in spans)
    quiet = brand.seen & ~crisis & ~neutral
    return Tally(
        quiet[warm:].sum() / WEEK, false, tuple(found), repeats, tuple(lags), tuple(good), tuple(floods)
    )


def _row(name: str, tally: Tally) -> str:
    delays = np.array([delay for _, delay in tally.crises])
    utility = np.mean([max(0.0, 1 - (delay - 1) / HORIZON[kind]) for kind, delay in tally.crises])
    median = f"{np.median(delays):.0f}" if np.isfinite(np.median(delays)) else "missed"
    errs, found = f"{tally.false / tally.weeks:.2f}", f"{np.isfinite(delays).mean():.3f}"
    repeats, lag = f"{tally.repeats / len(delays):.2f}", f"{np.median(tally.lags):.0f}" if tally.lags else ""
    good, floods = ("{} of {}".format(*pair) for pair in (tally.good, tally.floods))
    cells = name, errs, found, median, f"{100 * utility:.1f}", good, floods, repeats, lag
    return f"| {' | '.join(cells)} |"


def _minute(time_ms: int) -> int:
    return time_ms // MINUTE_MS - FIRST


if __name__ == "__main__":
    main()
