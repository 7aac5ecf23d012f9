"""The scorer that scores nothing: what the rest of the worker costs, or a start without a model."""

from collections.abc import Sequence

import numpy as np

from models.scorers.scores import CLASSES, UNSCORED, Scorer, TextScores


class _NoScorer:
    version = "none"
    reason: str | None = None

    def score(self, texts: Sequence[str]) -> TextScores:
        rows = len(texts)
        return TextScores(
            label=np.full(rows, UNSCORED, np.int8),
            probability=np.full((rows, len(CLASSES)), np.nan, np.float32),
            sentiment_micro=np.zeros(rows, np.int32),
        )


def unscored_scorer() -> Scorer:
    """Return a scorer of version `none` that leaves every text unscored."""
    return _NoScorer()
