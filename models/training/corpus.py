"""What the student learns from: texts, soft labels and weights, from all the sets of a recipe.

Rules:
1. A text that also stands in a held-out set, or in the suite of behaviour, never teaches, however it is
   spelt; what is made of it neither.
2. The same files, recipe and seed give the same rows in the same order.
3. Labels have four classes; the last is that of texts in other languages, and no English text is of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from models.behaviour import suite
from models.errors import DataUnusable
from models.scorers.scores import CLASSES
from models.training import augment, languages, variants
from models.training.dataset import Labelled, key, read
from models.training.recipe import Recipe, Set
from models.training.split import held_out

MADE_CHANGED_SHARE: Final = 0.3
"""The share of made sentences that are read in another form."""
SIGN_SURE: Final = 0.85
"""What the gold label counts once a text has been given an emoji of its class."""

Array = npt.NDArray[Any]
Say = Callable[[str], None]


@dataclass(slots=True)
class Corpus:
    """Rows to learn from; `rows_of` says how many each source gave."""

    texts: list[str] = field(default_factory=list)
    labels: list[Array] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    rows_of: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, texts: list[str], labels: Array, weights: Array) -> None:
        """Add rows of one source: labels (n, 3) or (n, 4), weights (n,)."""
        if texts:
            self.texts += texts
            missing = len(CLASSES) + 1 - labels.shape[1]
            self.labels.append(np.pad(labels.astype(np.float32), ((0, 0), (0, missing))))
            self.weights.append(weights.astype(np.float32))
            self.rows_of[name] = len(texts)

    def joined(self) -> tuple[list[str], Array, Array]:
        """Return texts, labels (n, 4) and weights (n,)."""
        return self.texts, np.concatenate(self.labels), np.concatenate(self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSet:
    """A set as it teaches: gold labels, if it has any, then what they and a teacher say together."""

    texts: list[str]
    gold: Array | None
    labels: Array
    weights: Array
    is_soft: bool


def calibration(recipe: Recipe, data: Path) -> Labelled:
    """Return the part of the gold texts that is held out to calibrate with."""
    part = recipe.data.calibration
    labelled = read(data / f"{part.name}.parquet")
    hold = held_out(labelled.texts, part.share, recipe.seed)
    texts = [text for text, held in zip(labelled.texts, hold, strict=True) if held]
    return Labelled(texts, labelled.labels[hold])


def collect(recipe: Recipe, data: Path, known: set[str], foreign: Path | None, say: Say) -> Corpus:
    """Read, clean and make everything. `known`: keys that must not teach. Raises DataUnusable."""
    random = Random(recipe.seed)  # noqa: S311  no secret is made here
    corpus = Corpus()
    asked = suite.texts(suite.cases(suite.load()))
    known = known | {key(text) for text in asked if any(letter.isalpha() for letter in key(text))}
    sets = {one.name: _read(one, data, known) for one in (*recipe.data.gold, *recipe.data.pool)}
    for name, taught in sets.items():
        changed = [_changed(random, text, recipe.made.changed.share) for text in taught.texts]
        corpus.add(name, changed, taught.labels, taught.weights)
    _add_copies(corpus, recipe, list(sets.values()), random)
    _add_sentences(corpus, recipe, set(asked), random)
    if foreign is not None:
        _add_foreign(corpus, recipe, foreign, random)
    for name, rows in corpus.rows_of.items():
        say(f"{name}: {rows} texts")
    return corpus


def _changed(random: Random, text: str, share: float) -> str:
    """Return a text in some form: how it is written must not tell what it means."""
    text = variants.with_any_apostrophe(random, text)
    return variants.variant(random, text) if random.random() < share else text


def _read(one: Set, data: Path, known: set[str]) -> LabelledSet:
    path = data / f"{one.name}.parquet"
    gold, soft = None, None
    if one.soft is not None:
        soft = _soft(path, one.soft)
    if one.soft is None or one.soft_share < 1.0:
        labelled = read(path)
        texts, gold = labelled.texts, labelled.labels
    else:
        texts = read_texts(path)
    keep = np.array([key(text) not in known for text in texts], np.bool_)
    texts = [text for text, kept in zip(texts, keep, strict=True) if kept]
    if not texts:
        raise DataUnusable(f"{path}: every text of it is held out")
    labels = soft[keep] if soft is not None else np.zeros((len(texts), len(CLASSES)))
    weights = np.full(len(texts), one.weight)
    if gold is not None:
        gold = gold[keep]
        share = one.soft_share if soft is not None else 0.0
        labels = share * labels + (1.0 - share) * np.eye(len(CLASSES))[gold]
        if one.balanced:
            counts = np.maximum(np.bincount(gold, minlength=len(CLASSES)), 1)
            weights = weights * (len(gold) / len(CLASSES) / counts)[gold]
    return LabelledSet(texts, gold, labels, weights, soft is not None)


def read_texts(path: Path) -> list[str]:
    """Return the column `text` of a file. Raises DataUnusable."""
    texts: list[Any] = _columns(path, ["text"])[0]
    if any(not isinstance(text, str) for text in texts):
        raise DataUnusable(f"{path}: column 'text' holds something else than texts")
    return texts


def _soft(path: Path, columns: Sequence[str]) -> Array:
    soft = np.array(_columns(path, columns), np.float64).T
    if not (np.all(soft >= 0.0) and np.allclose(soft.sum(axis=1), 1.0, atol=0.01)):  # NaN compares false
        raise DataUnusable(f"{path}: columns {', '.join(columns)} are not the probabilities of three classes")
    soft /= soft.sum(axis=1, keepdims=True)
    return soft


def _columns(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    try:
        table = pq.read_table(path, columns=list(columns))
    except (OSError, ValueError, KeyError) as error:
        raise DataUnusable(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise DataUnusable(f"{path} has no column {missing[0]!r}; it has {table.column_names}")
    return [table.column(column).to_pylist() for column in columns]


def _add_copies(corpus: Corpus, recipe: Recipe, sets: list[LabelledSet], random: Random) -> None:
    """Add texts in another form, and gold texts with signs of their class."""
    places = [(one, row) for one in sets if one.is_soft for row in range(len(one.texts))]
    chosen = random.sample(places, min(recipe.made.variants.rows, len(places)))
    weight = recipe.made.variants.weight
    if chosen:
        corpus.add(
            "variants",
            [_changed(random, one.texts[row], 1.0) for one, row in chosen],
            np.array([one.labels[row] for one, row in chosen]),
            np.array([weight * one.weights[row] for one, row in chosen]),
        )
    first = next(one for one in sets if one.gold is not None)
    rows = random.sample(range(len(first.texts)), min(recipe.made.signs.rows, len(first.texts)))
    gold = first.gold[rows] if first.gold is not None else np.empty(0)
    corpus.add(
        "signs",
        [_signed(random, first.texts[row], CLASSES[label]) for row, label in zip(rows, gold, strict=True)],
        SIGN_SURE * np.eye(len(CLASSES))[gold] + (1 - SIGN_SURE) * first.labels[rows],
        recipe.made.signs.weight * first.weights[rows],
    )


def _signed(random: Random, text: str, mood: str) -> str:
    kind = random.random()
    if kind < 0.6:
        return f"{text} {augment.emoji(random, mood)}"
    if kind < 0.8 or mood == "neutral":
        return f"{text} {augment.hashtag(random, mood)}"
    return f"{text} {augment.emoticon(random, mood)}"


def _add_sentences(corpus: Corpus, recipe: Recipe, asked: set[str], random: Random) -> None:
    made = [one for one in augment.make(random, recipe.made.sentences.share) if one.text not in asked]
    texts = [_changed(random, one.text, MADE_CHANGED_SHARE) for one in made]
    keep = [row for row, text in enumerate(texts) if text not in asked]
    weights = np.full(len(keep), recipe.made.sentences.weight)
    corpus.add(
        "sentences", [texts[row] for row in keep], np.array([made[row].label for row in keep]), weights
    )


def _add_foreign(corpus: Corpus, recipe: Recipe, foreign: Path, random: Random) -> None:
    texts = read_texts(foreign)
    texts = random.sample(texts, min(recipe.gate.rows, len(texts)))
    share = recipe.gate.variants_share
    texts = [variants.variant(random, text) if random.random() < share else text for text in texts]
    label = np.eye(len(CLASSES) + 1)[[len(CLASSES)] * len(texts)]
    corpus.add(languages.NAME, texts, label, np.full(len(texts), recipe.gate.weight))
