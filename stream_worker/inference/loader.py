"""Load the pinned model as a function of texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.errors import ModelRefused
from models.scorers.unscored import unscored_scorer
from stream_worker.core.partition.machine import Score
from stream_worker.core.records.batch import ScoreColumns
from stream_worker.errors import Misconfigured
from stream_worker.settings.schema import Settings

if TYPE_CHECKING:
    from models.scorers.scores import Scorer


def load_model(settings: Settings) -> tuple[Score, str, str | None]:
    """Load the pinned model; return (score function, name in rows, why the kernel does not score).

    The reason is None if the kernel scores. Raises Misconfigured when the model is refused.
    """
    if settings.model.scorer == "none":
        scorer: Scorer = unscored_scorer()
    else:
        from models.registry import load  # noqa: PLC0415  scikit-learn is large: only where it scores

        try:
            scorer = load(settings.model.path, settings.model.pin)
        except ModelRefused as refused:
            raise Misconfigured(str(refused)) from None

    def score(texts: Sequence[str]) -> ScoreColumns:
        scores = scorer.score(texts)
        return ScoreColumns(scores.label, scores.probability, scores.sentiment_micro)

    score(["A first text, so that nothing is cold when the group is joined."])
    return score, scorer.version, scorer.reason
