"""Explains scores. The model is loaded once, with the first question, and answers one question at a time."""

import threading
import time
from dataclasses import replace
from typing import Final

from models.errors import ModelRefused
from models.explain import Explainable, Explanation, explain
from stream_worker.errors import Misconfigured
from stream_worker.settings.schema import Settings

RETRY_AFTER_S: Final = 60
"""A refused model is not tried again for so long: every try reads the whole artefact."""

WEIGHT_DIGITS: Final = 4


class Explainer:
    """The configured model, to explain texts; from any thread, one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._scorer: Explainable | None = None
        self._refusal: tuple[str, float] | None = None

    def explain(self, text: str) -> Explanation:
        """Explain the score of a text. Raises Misconfigured without a model, ValueError on a long text."""
        with self._lock:
            if self._scorer is None:
                self._scorer = self._load()
            return explain(self._scorer, text)

    def _load(self) -> Explainable:
        if self._refusal is not None and time.monotonic() < self._refusal[1]:
            raise Misconfigured(self._refusal[0])
        model = self._settings.model
        try:
            if model.scorer == "none":
                raise ModelRefused("model.scorer is none: nothing is scored, so nothing is explained")
            from models.registry import load  # noqa: PLC0415  scikit-learn is large: only where it scores

            return load(model.path, model.pin)
        except ModelRefused as refused:
            self._refusal = str(refused), time.monotonic() + RETRY_AFTER_S
            raise Misconfigured(str(refused)) from None


def rounded(explanation: Explanation) -> Explanation:
    """Return an explanation as it is shown: numbers to `WEIGHT_DIGITS` digits."""
    probability = explanation.probability
    return replace(
        explanation,
        probability=probability and {name: round(p, WEIGHT_DIGITS) for name, p in probability.items()},
        sentiment=round(explanation.sentiment, WEIGHT_DIGITS),
        log_odds=_rounded(explanation.log_odds),
        rest=_rounded(explanation.rest),
        words=[replace(word, weight=_rounded(word.weight)) for word in explanation.words],
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, WEIGHT_DIGITS)
