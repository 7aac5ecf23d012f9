"""What every scorer gives: labels, probabilities and sentiments, as columns.

Rules:
1. One row per text, in the order of the texts.
2. A text that could not be scored is `UNSCORED` with NaN probabilities; it is never "neutral".
3. `UNCERTAIN` has probabilities and a sentiment: the model was not sure, which is not the same as neutral.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED = range(5)
"""Values of `label`; the first three are also the columns of `probability`."""

CLASSES: Final = ("negative", "neutral", "positive")
OTHER: Final = "other"
"""The fourth class of a pipeline with a language gate: the text is in no language that it covers."""
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class TextScores:
    """n rows: `label` (n,); `probability` (n, 3), NaN if unscored; `sentiment_micro` (n,), 0 if unscored."""

    label: npt.NDArray[np.int8]
    probability: npt.NDArray[np.float32]
    sentiment_micro: npt.NDArray[np.int32]


class Scorer(Protocol):
    """Turns texts into sentiments.

    `version` names the pinned artefact and the code path; `reason` says why it is not the fastest one.
    """

    version: str
    reason: str | None

    def score(self, texts: Sequence[str]) -> TextScores:
        """Score a batch; a text that fails is unscored, and fails alone."""


def to_scores(
    probability: npt.NDArray[np.float64], uncertain_below: float, unscored_from: float | None = None
) -> TextScores:
    """Label the rows of (n, 3) probabilities; a row that holds anything but probabilities is unscored.

    The label is the most probable class, or `UNCERTAIN` when that probability is below `uncertain_below`.
    The sentiment is p(positive) - p(negative) in micro-units, so that sums are integers (docs/design.md#r3).
    With a language gate they are (n, 4): a row whose last is at least `unscored_from` is unscored, as not
    covered, and of the others the first three are made to sum to 1.
    """
    is_probability = (probability >= 0.0) & (probability <= 1.0)  # NaN compares false
    scored: npt.NDArray[np.bool_] = np.asarray(is_probability.all(axis=1))
    if probability.shape[1] > len(CLASSES):
        other, probability = probability[:, len(CLASSES)], probability[:, : len(CLASSES)]
        if unscored_from is not None:
            scored = scored & (other < unscored_from)
        sums = probability.sum(axis=1)
        scored = scored & (sums > 0.0)
        probability = probability / np.where(scored, sums, 1.0)[:, None]
    known = np.where(scored[:, None], probability, 0.0)
    label = known.argmax(axis=1).astype(np.int8)
    label[known.max(axis=1) < uncertain_below] = UNCERTAIN
    label[~scored] = UNSCORED
    return TextScores(
        label=label,
        probability=np.where(scored[:, None], probability, np.nan).astype(np.float32),
        sentiment_micro=np.rint((known[:, POSITIVE] - known[:, NEGATIVE]) * MICRO).astype(np.int32),
    )
