"""How fast texts are scored: the model by the kernel, by scikit-learn itself, and VADER, in one run.

Rules:
1. A figure is texts by seconds of process CPU time over whole `score(texts)` calls, batches of 1,000.
2. The scorers take turns, pass by pass, so that what else the machine does hurts all of them alike. The best
   pass counts; all are in the JSON.
3. A slow scorer gets the first texts only: `texts` says how many.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from models.evaluate import BATCH_ROWS
from models.scorers.scores import Scorer

SLOW_TEXTS_MAX = 2_000
"""Texts for a scorer that is not compiled: enough to measure, and soon over."""


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """One scorer over `texts` texts of `chars` characters on average, in texts per second of CPU time."""

    name: str
    version: str
    reason: str | None
    texts: int
    chars: float
    texts_per_cpu_second: float
    passes: list[float]


def measure(
    scorers: dict[str, Scorer],
    texts: Sequence[str],
    passes: int,
    clock: Callable[[], float] = time.process_time,
) -> list[Speed]:
    """Let every scorer score n > 0 texts `passes` times; the fastest first."""
    given = {name: texts if _is_compiled(it) else texts[:SLOW_TEXTS_MAX] for name, it in scorers.items()}
    speeds: dict[str, list[float]] = {name: [] for name in scorers}
    for name, scorer in scorers.items():
        scorer.score(given[name][:BATCH_ROWS])  # the first call pays for imports and caches
    for _ in range(passes):
        for name, scorer in scorers.items():
            speeds[name].append(_once(scorer, given[name], clock))
    measured = [
        Speed(
            name=name,
            version=scorer.version,
            reason=getattr(scorer, "reason", None),
            texts=len(given[name]),
            chars=round(sum(map(len, given[name])) / len(given[name]), 1),
            texts_per_cpu_second=max(speeds[name]),
            passes=speeds[name],
        )
        for name, scorer in scorers.items()
    ]
    return sorted(measured, key=lambda speed: -speed.texts_per_cpu_second)


def as_table(speeds: Sequence[Speed]) -> str:
    """Return what people read."""
    slowest = min(speed.texts_per_cpu_second for speed in speeds)
    lines = [f"{'scorer':<26}{'version':<18}{'texts':>9}{'chars':>7}{'texts/CPU-s':>13}{'times':>8}"]
    lines += [
        f"{speed.name:<26}{speed.version:<18}{speed.texts:>9,}{speed.chars:>7.0f}"
        f"{speed.texts_per_cpu_second:>13,.0f}{speed.texts_per_cpu_second / slowest:>8.1f}"
        for speed in speeds
    ]
    return "\n".join(lines)


def _is_compiled(scorer: Scorer) -> bool:
    return scorer.version.endswith("-k1")


def _once(scorer: Scorer, texts: Sequence[str], clock: Callable[[], float]) -> float:
    batches = [texts[start : start + BATCH_ROWS] for start in range(0, len(texts), BATCH_ROWS)]
    begun_s = clock()
    for batch in batches:
        scorer.score(batch)
    return float(round(len(texts) / max(clock() - begun_s, 1e-9)))
