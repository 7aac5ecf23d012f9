"""Changes of model: what alerts cost when a model that calls more texts negative goes on with a stream.

    python -m bench.changes                       60 brands of two seeds, four changes
    python -m bench.changes --brands 10 --odds 2

The brands are those of bench/spikes.py. From a minute of the fifth week on, each voice is scored by another
model: one that sees the odds of a negative voice times a factor, by chance for each voice. *Kept* is a
detector that is not told; *begun anew* is the one that ships. Counted are false alerts of all brands at the
default sensitivity, within two days and within eight, and the crises of those eight days that were found.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bench.brands import CRISES, DAY, FIRST, Brand, make_split
from stream_worker.core.detection.replay import CountSeries, replay
from stream_worker.core.detection.sensitivity import DEFAULT
from stream_worker.core.detection.share_detector import ShareDetector

CHANGE = 28 * DAY + 600
SOON, LATER = 2 * DAY, 8 * DAY
GRACE = 60
HEADINGS = ("new odds", "told", "false in 2 days", "false in 8 days", "found", "of")


class Counted(NamedTuple):
    """What a detector did after the change."""

    soon: int = 0
    later: int = 0
    found: int = 0
    crises: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[701, 702])
    parser.add_argument("--brands", type=int, default=30, help="per seed")
    parser.add_argument("--odds", type=float, nargs="+", default=[0.5, 1.5, 2.0, 3.0])
    asked = parser.parse_args()
    brands = [brand for seed in asked.seeds for brand in make_split(seed, asked.brands)]
    print(f"| {' | '.join(HEADINGS)} |")
    print(f"|{'---|' * len(HEADINGS)}")
    for odds in asked.odds:
        for told in (False, True):
            each = [
                _counted(brand, _opened(brand, odds, number, told)) for number, brand in enumerate(brands)
            ]
            total = (sum(column) for column in zip(*each, strict=True))
            print(
                f"| x {odds:g} | {'begun anew' if told else 'kept'} | {' | '.join(map(str, total))} |",
                flush=True,
            )


def _opened(brand: Brand, odds: float, seed: int, told: bool) -> list[int]:
    """Return the minutes of the stream in which an episode opened."""
    voices, negative = brand.voices, brand.neg_voices
    usual = negative.sum() / voices.sum()
    share = odds * usual / (1 - usual + odds * usual)
    rng = np.random.default_rng(seed)
    if share > usual:
        changed = negative + rng.binomial(voices - negative, (share - usual) / (1 - usual))
    else:
        changed = rng.binomial(negative, share / usual)
    at = np.flatnonzero(brand.seen[: CHANGE + LATER])
    neg_voices = np.where(at < CHANGE, negative[at], changed[at])
    more = neg_voices - negative[at]
    series = CountSeries(at + FIRST, brand.mentions[at], brand.negatives[at] + more, voices[at], neg_voices)
    artefacts = {int(minute) + FIRST: "new" if minute >= CHANGE else "old" for minute in at} if told else {}
    past = replay("brand", series, ShareDetector(), (DEFAULT,), artefacts=artefacts)
    return [one.opened_ms // 60_000 - FIRST for one in past.episodes[DEFAULT]]


def _counted(brand: Brand, opened: list[int]) -> Counted:
    excused = np.zeros(len(brand.seen) + GRACE, bool)
    for event in brand.events:
        if event.kind in CRISES or event.kind == "neutral":
            excused[event.start : event.end + GRACE] = True
    false = [minute for minute in opened if minute >= CHANGE and not excused[minute]]
    crises = list(_crises(brand))
    found = sum(any(start <= minute <= end for minute in opened) for start, end in crises)
    return Counted(sum(minute < CHANGE + SOON for minute in false), len(false), found, len(crises))


def _crises(brand: Brand) -> Iterator[tuple[int, int]]:
    """Yield the crises that have a day to be found in."""
    for event in brand.events:
        if event.kind in CRISES and CHANGE <= event.start < CHANGE + LATER - DAY:
            yield event.start, event.end


if __name__ == "__main__":
    main()
