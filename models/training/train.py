"""How the shipped model is made: a recipe, a folder of data, and out come artefact and manifest.

Rules:
1. The same recipe, data and library versions give the same bytes. The date stands in the manifest only.
2. Held-out sets choose and teach nothing in a run. `uncertain_below` is chosen on the first half of a part of
   the gold texts that is held out too; the same half counts the errors (`labels_by_truth`).
3. The pipeline is scikit-learn's own classes and nothing of ours, so that it loads anywhere.
"""

import datetime as dt
import hashlib
import io
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

from models.evaluate import Quality, evaluate
from models.progress import Progress
from models.registry import ModelManifest, TrainingSet
from models.scorers.pipeline import PipelineScorer
from models.scorers.scores import CLASSES, OTHER, UNSCORED, TextScores
from models.training.corpus import Corpus, calibration, collect
from models.training.dataset import ORIGINS, Labelled, key, read_held_out
from models.training.recipe import Recipe
from models.training.split import first_half
from models.training.student import TOKENS, cut, fit, pipeline, vectorizer

UNCERTAIN_ACCURACY: Final = 0.5
UNCERTAIN_SHARE_MAX: Final = 0.05
LABELS: Final = 5

PICKLE_PROTOCOL: Final = 5
COMPRESSION: Final = ("zlib", 9)  # every Python has it; lzma is missing from some builds
LIBRARIES: Final = ("scikit-learn", "numpy", "scipy", "joblib")

Say = Callable[[str], None]


def train(
    recipe: Recipe, data: Path, foreign: Path | None, out: Path, today: dt.date, say: Say, progress: Progress
) -> ModelManifest:
    """Train on the texts in folder `data`; write `out` and its manifest. Raises DataUnusable.

    CPU only, one thread. `foreign` is the file of texts in other languages; without it the model has no
    language gate. `out` is `<name>.joblib`; the manifest `<name>.json` lies beside it. Nothing is pinned:
    that is for a person to do.
    """
    held_out = read_held_out(data, recipe.data.held_out, say)
    held = calibration(recipe, data)
    known = {key(text) for part in (*held_out.values(), held) for text in part.texts}
    corpus = collect(recipe, data, known, foreign, say)
    with threadpool_limits(limits=1):  # a parallel sum may differ from run to run
        model = _fit(recipe, corpus, gated=foreign is not None, progress=progress)
        content = pickled(model)
        gate = recipe.gate.unscored_from if foreign is not None else None
        first = first_half(held.texts)
        limit = _choose_uncertain_below(model, gate, _rows(held, first), say)
        scorer = PipelineScorer(model, "training", limit, gate)
        half = _rows(held, first)
        errors = labels_by_truth(scorer.score(half.texts), half.labels)
        held_out[f"{recipe.data.calibration.name}_held_out"] = _rows(held, ~first)
        quality = _measure(scorer, held_out, say)
    manifest = ModelManifest(
        v=2,
        name=out.stem,
        sha256=hashlib.sha256(content).hexdigest(),
        created=today,
        libraries={"python": platform.python_version()} | {name: version(name) for name in LIBRARIES},
        classes=[*CLASSES, OTHER] if gate is not None else list(CLASSES),
        languages=["en"],
        uncertain_below=limit,
        unscored_from=gate,
        labels_by_truth=errors,
        training=_training(recipe, len(half), len(content)),
        data=_sources(corpus),
        quality=quality,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out, content)
    _replace(out.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def pickled(model: Pipeline) -> bytes:
    """Return the bytes of the artefact."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer, compress=COMPRESSION, protocol=PICKLE_PROTOCOL)
    return buffer.getvalue()


def labels_by_truth(scores: TextScores, truth: npt.NDArray[Any]) -> list[list[int]]:
    """Count the labels that texts of each true class got: 3 x 5, rows by truth, columns by label."""
    counts = np.zeros((len(CLASSES), LABELS), np.int64)
    np.add.at(counts, (truth, scores.label), 1)
    return [[int(count) for count in row] for row in counts]


def uncertain_below(confidence: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    """Return the confidence below which less than half of the answers are right, in hundredths.

    A rising curve is fitted to right or wrong over confidence (isotonic regression); the answer is where it
    passes one half, but never so high that more than a twentieth of the texts would be uncertain.
    """
    curve = IsotonicRegression(out_of_bounds="clip").fit(confidence, right.astype(np.float64))
    steps = np.arange(0.0, 1.0, 0.01)
    low = steps[curve.predict(steps) < UNCERTAIN_ACCURACY]
    wanted = float(low[-1]) if len(low) else 0.0
    return round(min(wanted, float(np.quantile(confidence, UNCERTAIN_SHARE_MAX))), 2)


def _fit(recipe: Recipe, corpus: Corpus, *, gated: bool, progress: Progress) -> Pipeline:
    texts, labels, weights = corpus.joined()
    random = np.random.default_rng(recipe.seed)
    union = vectorizer(recipe.features)
    classes = len(CLASSES) + 1 if gated else len(CLASSES)
    batches = cut(union, texts, labels[:, :classes], weights, recipe.fit.batch, random, progress)
    features = recipe.features.words.buckets + recipe.features.letters.buckets
    return pipeline(union, fit(batches, features, recipe.fit, random, progress), recipe.fit.mantissa_bits)


def _choose_uncertain_below(model: Pipeline, gate: float | None, held: Labelled, say: Say) -> float:
    scores = PipelineScorer(model, "calibration", 0.0, gate).score(held.texts)
    scored = scores.label != UNSCORED
    confidence = scores.probability[scored].max(axis=1)
    chosen = uncertain_below(confidence, scores.label[scored] == held.labels[scored])
    say(f"uncertain below {chosen}: {(confidence < chosen).mean():.1%} of {len(held)} texts held out")
    return chosen


def _training(recipe: Recipe, calibrated_on: int, size_bytes: int) -> dict[str, str | int | float]:
    words, letters = recipe.features.words, recipe.features.letters
    part = recipe.data.calibration
    return {
        "seed": recipe.seed,
        "model": f"hashed n-grams of words {words.ngrams} and letters {letters.ngrams}, "
        f"one hidden layer of {recipe.fit.hidden}, fitted to soft labels",
        "token_pattern": TOKENS,
        "buckets": words.buckets + letters.buckets,
        "epochs": recipe.fit.epochs,
        "recipe": hashlib.sha256(msgspec.json.encode(recipe)).hexdigest(),
        "calibrated_on": f"first half of the {part.share:.0%} of {part.name} that was held out",
        "calibrated_on_rows": calibrated_on,
        "bytes": size_bytes,
    }


def _sources(corpus: Corpus) -> list[TrainingSet]:
    return [
        TrainingSet(
            name=name, rows=rows, licence=ORIGINS[name].licence, attribution=ORIGINS[name].attribution
        )
        if name in ORIGINS
        else TrainingSet(name=name, rows=rows, licence="not stated", attribution="see who made the file")
        for name, rows in corpus.rows_of.items()
    ]


def _rows(data: Labelled, mask: npt.NDArray[np.bool_]) -> Labelled:
    return Labelled([data.texts[row] for row in np.flatnonzero(mask)], data.labels[mask])


def _measure(scorer: PipelineScorer, held_out: dict[str, Labelled], say: Say) -> dict[str, Quality]:
    quality = {}
    for name, part in held_out.items():
        quality[name] = evaluate(scorer, part.texts, part.labels)
        say(f"{name}: macro recall {quality[name].macro_recall}, accuracy {quality[name].accuracy}")
    return quality


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
