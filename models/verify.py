"""Whether a model would score here: every check there is, up to the first that fails."""

import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from models import registry
from models.errors import ModelRefused
from models.scorers.scores import UNSCORED, Scorer, TextScores
from models.scorers.select import probe_texts

DIFFERENCE_MAX: Final = 1e-5  # probabilities are float32
SENTENCES: Final = ("I love it, works great", "It opens at nine", "Worst phone ever, I hate it")


class ModelCheck(NamedTuple):
    """One check of a model."""

    name: str
    ok: bool
    detail: str


def verify(path: Path | None = None, pin: str | None = None) -> list[ModelCheck]:
    """Check an artefact; without a path the shipped one. It is unpickled once all else is right."""
    found = registry.describe(path, pin)
    if found.refusal is not None or found.manifest is None or found.pin is None:
        return [ModelCheck("refused", ok=False, detail=found.refusal or f"model {found.path}: no manifest")]
    made = found.manifest
    checks = [
        ModelCheck(
            "bytes",
            ok=True,
            detail=f"{found.path}, {found.path.stat().st_size:,} bytes, as pinned: {found.pin}",
        ),
        ModelCheck(
            "manifest",
            ok=True,
            detail=f"{made.name}, made on {made.created}, for {', '.join(made.languages)}",
        ),
        ModelCheck("library", ok=True, detail=f"scikit-learn {made.libraries['scikit-learn']}, as installed"),
        ModelCheck("classes", ok=True, detail=", ".join(made.classes)),
    ]
    begun_s = time.monotonic()
    try:
        scorer = registry.load(found.path, found.pin)
    except ModelRefused as refused:
        return [*checks, ModelCheck("refused", ok=False, detail=str(refused))]
    checks.append(ModelCheck("loads", ok=True, detail=f"in {time.monotonic() - begun_s:.1f} s"))
    checks.append(ModelCheck("path", ok=True, detail=_path(scorer)))
    trouble = _trouble(scorer)
    labels = ", ".join(map(str, scorer.score(SENTENCES).label)) if trouble is None else ""
    texts = len(probe_texts())
    checks.append(
        ModelCheck(
            "scores", trouble is None, trouble or f"{texts} texts, alone as in a batch; labels {labels}"
        )
    )
    return checks


def _path(scorer: Scorer) -> str:
    if scorer.reason is None:
        return f"{scorer.version}: compiled, and equal to scikit-learn on the probe batch"
    return f"{scorer.version}: scikit-learn itself, since {scorer.reason}"


def _trouble(scorer: Scorer) -> str | None:
    """Say what is wrong with the scores of the probe batch; None when nothing is."""
    texts = probe_texts()
    together = scorer.score(texts)
    alone = [scorer.score([text]) for text in texts]
    if not np.array_equal(together.label, np.concatenate([one.label for one in alone])):
        return "a text gets another label alone than in a batch"
    apart = np.abs(together.probability - np.concatenate([one.probability for one in alone]))
    if np.nan_to_num(apart).max(initial=0.0) > DIFFERENCE_MAX:
        return "a text gets other probabilities alone than in a batch"
    return _wrong(together)


def _wrong(scores: TextScores) -> str | None:
    scored = scores.label != UNSCORED
    if not scored.any():
        return "not one text of the probe batch is scored"
    sums = scores.probability[scored].sum(axis=1)
    return None if np.abs(sums - 1).max() < 1e-3 else "the probabilities of a text do not add up to one"
