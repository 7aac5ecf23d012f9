"""What the shipped model is measured beside, in the same run: VADER, and scikit-learn with its defaults.

Published figures of TweetEval's sentiment test, macro recall, are from its leaderboard: F. Barbieri et al.,
"TweetEval", Findings of EMNLP 2020, and D. Loureiro et al., "TimeLMs", ACL 2022. They were not measured here.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from models.scorers.pipeline import PipelineScorer
from models.scorers.scores import CLASSES, NEGATIVE, NEUTRAL, POSITIVE, Scorer, TextScores
from models.training.dataset import Labelled

PUBLISHED: Final = {
    "LSTM": 0.583,
    "SVM": 0.629,
    "FastText": 0.629,
    "RoBERTa-base": 0.713,
    "BERTweet": 0.734,
    "TimeLMs": 0.737,
}
"""Macro recall on TweetEval's sentiment test, as published."""

VADER_NEUTRAL_BELOW: Final = 0.05
"""VADER's own advice: neutral if the compound score lies within +-0.05."""


class _Vader:
    """VADER's label of each text. It gives no probabilities of classes: its label gets all."""

    version = "vader"
    reason: str | None = None

    def __init__(self, polarity_scores: Any) -> None:
        self._polarity_scores = polarity_scores

    def score(self, texts: Sequence[str]) -> TextScores:
        compound = np.array([self._polarity_scores(text)["compound"] for text in texts])
        label = np.full(len(texts), NEUTRAL, np.int8)
        label[compound >= VADER_NEUTRAL_BELOW] = POSITIVE
        label[compound <= -VADER_NEUTRAL_BELOW] = NEGATIVE
        probability = np.eye(len(CLASSES), dtype=np.float32)[label]
        return TextScores(label, probability, np.rint(compound * 1e6).astype(np.int32))


def vader(say: Callable[[str], None]) -> dict[str, Scorer]:
    """Return VADER as a scorer by its name; where it is not installed say so, and return none."""
    try:
        package = import_module("vaderSentiment.vaderSentiment")  # only reports need it
    except ImportError:
        say("VADER is not installed and not measured: pip install vaderSentiment")
        return {}
    return {"VADER": _Vader(package.SentimentIntensityAnalyzer().polarity_scores)}


def scikit_defaults(data: Labelled) -> Scorer:
    """Fit TF-IDF of words and pairs and a logistic regression, all else as scikit-learn has it."""
    pipeline = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1_000))
    pipeline.fit(data.texts, data.labels)
    return PipelineScorer(pipeline, "scikit-learn-defaults", 0.0)
