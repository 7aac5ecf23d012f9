"""Load the pinned model as a function of texts."""

from collections.abc import Sequence

from models.errors import ModelRefused
from models.scorers.unscored import unscored_scorer
from stream_worker.core.partition.machine import Score
from stream_worker.core.records.batch import ScoreColumns
from stream_worker.errors import Misconfigured
from stream_worker.settings.schema import Settings


def load_model(settings: Settings) -> tuple[Score, str, str | None]:
    """Load the pinned model: how to score, its name in rows and tallies, why the kernel does not score."""
    if settings.model.scorer == "none":
        scorer = unscored_scorer()
    else:
        from models.registry import load  # noqa: PLC0415  scikit-learn is large: only where it scores

        try:
            scorer = load(settings.model.path, settings.model.pin)
        except ModelRefused as refused:
            raise Misconfigured(str(refused)) from None

    def score(texts: Sequence[str]) -> ScoreColumns:
        made = scorer.score(texts)
        return ScoreColumns(made.label, made.probability, made.sentiment_micro)

    score(["A first text, so that nothing is cold when the group is joined."])
    return score, scorer.version, scorer.reason
