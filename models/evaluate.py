"""How good a scorer is on labelled texts: the figures of `models evaluate` and of every manifest.

Rules:
1. Quality is that of the three classes: a row is judged by its most probable class, uncertain or not.
   `uncertain` says how many rows the scorer would not have called.
2. A row that is unscored is wrong: it lowers recall and accuracy. Nothing is gained by keeping silent.
3. All figures are fractions, never percent.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from models.scorers.scores import CLASSES, UNCERTAIN, UNSCORED, Scorer, TextScores

BATCH_ROWS: Final = 1_000
ECE_BINS: Final = 15
DIGITS: Final = 4

Array = npt.NDArray[Any]


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Figures over `rows` labelled texts, as fractions.

    `coverage`: scored rows; `uncertain`: rows labelled uncertain; `ece`: expected calibration error of the
    scored rows in 15 bins; `confusion[i][j]`: number of scored rows of class i whose most probable class
    is j; `texts_per_cpu_second`: rows by seconds of process CPU time, in batches of 1,000.
    """

    rows: int
    coverage: float
    uncertain: float
    macro_recall: float
    accuracy: float
    macro_f1: float
    ece: float
    confusion: list[list[int]]
    texts_per_cpu_second: float


def evaluate(scorer: Scorer, texts: Sequence[str], truth: Array) -> Quality:
    """Score n > 0 texts in batches and compare with `truth` (n,): 0 negative, 1 neutral, 2 positive."""
    scorer.score(texts[:BATCH_ROWS])  # the first call pays for imports and caches
    batches = [texts[start : start + BATCH_ROWS] for start in range(0, len(texts), BATCH_ROWS)]
    started_s = time.process_time()
    scored = [scorer.score(batch) for batch in batches]
    cpu_s = time.process_time() - started_s
    return judge(_join(scored), truth, texts_per_cpu_second=len(texts) / max(cpu_s, 1e-9))


def judge(scores: TextScores, truth: Array, texts_per_cpu_second: float) -> Quality:
    """Compare scores with the truth; pure arithmetic. A class without rows does not count in the means."""
    scored = scores.label != UNSCORED
    chosen = np.where(scored, np.nan_to_num(scores.probability).argmax(axis=1), -1)
    confusion = np.zeros((len(CLASSES), len(CLASSES)), np.int64)
    np.add.at(confusion, (truth[scored], chosen[scored]), 1)
    hits = confusion.diagonal()
    of_class = np.bincount(truth, minlength=len(CLASSES))
    called = confusion.sum(axis=0)
    there = of_class > 0
    recall = hits[there] / of_class[there]
    f1 = 2 * hits[there] / (of_class[there] + called[there])
    return Quality(
        rows=len(truth),
        coverage=_rounded(scored.mean()),
        uncertain=_rounded((scores.label == UNCERTAIN).mean()),
        macro_recall=_rounded(recall.mean()),
        accuracy=_rounded(hits.sum() / len(truth)),
        macro_f1=_rounded(f1.mean()),
        ece=_rounded(calibration_error(scores.probability[scored], truth[scored])),
        confusion=confusion.tolist(),
        texts_per_cpu_second=float(round(texts_per_cpu_second)),
    )


def calibration_error(probability: Array, truth: Array) -> float:
    """Expected calibration error of (n, 3) probabilities: mean gap of confidence and accuracy by bin."""
    if not len(truth):
        return 0.0
    confidence = probability.max(axis=1)
    right = probability.argmax(axis=1) == truth
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gap = np.bincount(bins, weights=right - confidence.astype(np.float64), minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(truth))


def _join(scores: Sequence[TextScores]) -> TextScores:
    return TextScores(
        label=np.concatenate([part.label for part in scores]),
        probability=np.concatenate([part.probability for part in scores]),
        sentiment_micro=np.concatenate([part.sentiment_micro for part in scores]),
    )


def _rounded(value: Any) -> float:
    return round(float(value), DIGITS)
