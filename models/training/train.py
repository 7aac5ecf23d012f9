"""How the shipped model is made: TF-IDF of words and word pairs, then logistic regression.

Rules:
1. The same data, seed and library versions give the same bytes. The date stands in the manifest only.
2. Held-out sets choose nothing. `uncertain_below` is chosen on a tenth of the training texts that the
   model did not see; the final model is then fitted on all of them.
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
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn

from models.errors import DataUnusable
from models.evaluate import Quality, evaluate
from models.registry import Manifest, Source
from models.scorers.pipeline import PipelineScorer
from models.scorers.scores import CLASSES
from models.training.dataset import HELD_OUT, TRAINED_ON, Labelled, drop_known, join, key, read

TOKENS: Final = (
    r"https?://\S+"  # a link is one token, and never one that was learnt
    r"|(?<![@\w])\w+"  # a word, one letter too ("don't" is "don", "t"), but no @name
    r"|[:;=]['-]?[()dp/|](?!\w)|<3"  # emoticons, lower-cased as the text is
    r"|[!?*]"
    r"|[\u2600-\u27bf\U0001f300-\U0001faff]"  # emoji; joiners and variation selectors are left out
)
REGULARISATION_C: Final = 2.0
ITERATIONS_MAX: Final = 500
TEXTS_OF_A_TERM_MIN: Final = 2

CALIBRATION_SHARE: Final = 0.1
UNCERTAIN_ACCURACY: Final = 0.5
UNCERTAIN_SHARE_MAX: Final = 0.1

PICKLE_PROTOCOL: Final = 5
COMPRESSION: Final = ("zlib", 9)  # every Python has it; lzma is missing from some builds

Say = Callable[[str], None]


def train(data: Path, out: Path, seed: int, today: dt.date, say: Say) -> Manifest:
    """Train on the texts in folder `data`; write `out` and its manifest. Raises DataUnusable.

    CPU only, one thread, about two minutes. `out` is `<name>.joblib`; the manifest `<name>.json` lies
    beside it. Nothing is pinned: that is for a person to do.
    """
    held_out = _read_held_out(data, say)
    known = {key(text) for part in held_out.values() for text in part.texts}
    parts = [drop_known(read(data / f"{origin.name}.parquet"), known) for origin in TRAINED_ON]
    texts = join(parts)
    for origin, part in zip(TRAINED_ON, parts, strict=True):
        say(f"{origin.name}: {len(part)} texts after cleaning")

    with threadpool_limits(limits=1):  # a parallel sum may differ from run to run
        uncertain_below = _choose_uncertain_below(texts, seed, say)
        say(f"fitting the model on {len(texts)} texts")
        pipeline = fit(texts)
        content = pickled(pipeline)
        quality = _measure(pipeline, uncertain_below, held_out, say)

    manifest = Manifest(
        name=out.stem,
        sha256=hashlib.sha256(content).hexdigest(),
        created=today,
        libraries={"python": platform.python_version()}
        | {name: version(name) for name in ("scikit-learn", "numpy", "scipy", "joblib")},
        classes=list(CLASSES),
        languages=["en"],
        uncertain_below=uncertain_below,
        training={
            "seed": seed,
            "model": "TF-IDF of words and word pairs, sublinear, logistic regression with balanced classes",
            "c": REGULARISATION_C,
            "token_pattern": TOKENS,
            "terms": len(pipeline[0].vocabulary_),
            "bytes": len(content),
        },
        data=[
            Source(name=origin.name, rows=len(part), licence=origin.licence, attribution=origin.attribution)
            for origin, part in zip(TRAINED_ON, parts, strict=True)
        ],
        quality=quality,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    _replace(out, content)
    _replace(out.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    return manifest


def fit(texts: Labelled) -> Pipeline:
    """Fit the pipeline on labelled texts."""
    vectorizer = TfidfVectorizer(
        token_pattern=TOKENS, ngram_range=(1, 2), min_df=TEXTS_OF_A_TERM_MIN, sublinear_tf=True
    )
    classifier = LogisticRegression(
        C=REGULARISATION_C, class_weight="balanced", max_iter=ITERATIONS_MAX, random_state=0
    )
    pipeline = Pipeline([("tfidf", vectorizer), ("classifier", classifier)])
    pipeline.fit(texts.texts, texts.labels)
    # scikit-learn keeps the memory address of its stop words here, which differs from run to run (rule 1).
    vectorizer.__dict__.pop("_stop_words_id", None)
    return pipeline


def pickled(pipeline: Pipeline) -> bytes:
    """Return the bytes of the artefact."""
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer, compress=COMPRESSION, protocol=PICKLE_PROTOCOL)
    return buffer.getvalue()


def uncertain_below(confidence: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    """Return the confidence below which less than half of the answers are right, in hundredths.

    A rising curve is fitted to right or wrong over confidence (isotonic regression); the answer is where it
    passes one half, but never so high that more than a tenth of the texts would be uncertain.
    """
    curve = IsotonicRegression(out_of_bounds="clip").fit(confidence, right.astype(np.float64))
    steps = np.arange(0.0, 1.0, 0.01)
    low = steps[curve.predict(steps) < UNCERTAIN_ACCURACY]
    wanted = float(low[-1]) if len(low) else 0.0
    return round(min(wanted, float(np.quantile(confidence, UNCERTAIN_SHARE_MAX))), 2)


def _choose_uncertain_below(texts: Labelled, seed: int, say: Say) -> float:
    hold = np.random.default_rng(seed).random(len(texts)) < CALIBRATION_SHARE
    seen, unseen = _rows(texts, ~hold), _rows(texts, hold)
    say(f"fitting on {len(seen)} texts to choose where the model is uncertain, on {len(unseen)} others")
    probability = fit(seen).predict_proba(unseen.texts)
    chosen = uncertain_below(probability.max(axis=1), probability.argmax(axis=1) == unseen.labels)
    say(f"uncertain below {chosen}: {(probability.max(axis=1) < chosen).mean():.1%} of them")
    return chosen


def _rows(data: Labelled, mask: npt.NDArray[np.bool_]) -> Labelled:
    return Labelled([data.texts[row] for row in np.flatnonzero(mask)], data.labels[mask])


def _read_held_out(data: Path, say: Say) -> dict[str, Labelled]:
    """Read the sets to measure on; one that is not there is not measured, and the manifest will lack it."""
    found = {}
    for name in HELD_OUT:
        path = data / f"{name}.parquet"
        if path.exists():
            found[name] = read(path)
        else:
            say(f"{name}: no {path}, so it is not measured")
    if not found:
        raise DataUnusable(f"{data} holds none of {', '.join(HELD_OUT)}; no model without a measured quality")
    return found


def _measure(
    pipeline: Pipeline, uncertain: float, held_out: dict[str, Labelled], say: Say
) -> dict[str, Quality]:
    scorer = PipelineScorer(pipeline, "training", uncertain)
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
