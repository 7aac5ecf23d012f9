"""A scikit-learn pipeline as a scorer: one call per batch, and a failure stays with its text.

Rules:
1. A batch is one `predict_proba`. Only if that raises is the batch halved, again and again, until the
   texts that raise stand alone: those are unscored, all others are scored.
2. A text of which the pipeline knows no feature at all (no word of it was ever seen in training) is
   unscored: the model does not cover it, and its answer would be the class prior and nothing else.
3. Only the first `TEXT_CHARS_SCORED_MAX` characters of a text are scored, so that no text can hold up a
   batch.
4. A score depends on its text alone, not on the batch around it.
5. A pipeline of four classes has a language gate: what it takes for the fourth is unscored.
"""

import warnings
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from models.scorers.scores import CLASSES, TextScores, to_scores

TEXT_CHARS_SCORED_MAX: Final = 10_000


class PipelineScorer:
    """Scores with a fitted pipeline of the classes negative, neutral, positive and, at times, other."""

    def __init__(
        self,
        pipeline: BaseEstimator,
        version: str,
        uncertain_below: float,
        unscored_from: float | None = None,
    ) -> None:
        self.version = version
        self.reason: str | None = None  # why the kernel does not score this pipeline
        self._uncertain_below = uncertain_below
        self._unscored_from = unscored_from
        self._classes = len(getattr(pipeline, "classes_", CLASSES))
        stepwise = isinstance(pipeline, Pipeline) and len(pipeline) > 1
        self._transformer: Pipeline | None = pipeline[:-1] if stepwise else None
        self._classifier: BaseEstimator = pipeline[-1] if stepwise else pipeline

    def score(self, texts: Sequence[str]) -> TextScores:
        """Score a batch. Raises nothing but what stops a process: failures are rows of the answer."""
        return to_scores(self.probability(texts), self._uncertain_below, self._unscored_from)

    def probability(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return (n, classes) probabilities of the pipeline; NaN where it failed or knows nothing."""
        cut = [text if len(text) <= TEXT_CHARS_SCORED_MAX else text[:TEXT_CHARS_SCORED_MAX] for text in texts]
        # An overflow or a deprecation inside a model is no news for the log of a worker: what it does to
        # a score is seen in `to_scores`, which takes probabilities only.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._probability_or_halve(cut)

    def _probability_or_halve(self, texts: list[str]) -> npt.NDArray[np.float64]:
        if not texts:
            return np.empty((0, self._classes))
        try:
            return self._probability(texts)
        except Exception:  # noqa: BLE001  a model may raise anything; the row says so (rule 1)
            if len(texts) == 1:
                return np.full((1, self._classes), np.nan)
            middle = len(texts) // 2
            halves = (self._probability_or_halve(texts[:middle]), self._probability_or_halve(texts[middle:]))
            return np.concatenate(halves)

    def _probability(self, texts: list[str]) -> npt.NDArray[np.float64]:
        features = texts if self._transformer is None else self._transformer.transform(texts)
        probability = np.array(self._classifier.predict_proba(features), dtype=np.float64)
        if probability.shape != (len(texts), self._classes):
            raise ValueError(f"predict_proba gave {probability.shape} for {len(texts)} texts")
        if hasattr(features, "tocsr"):  # a sparse matrix, of whichever kind
            probability[np.diff(features.tocsr().indptr) == 0] = np.nan  # rule 2
        return probability
