"""The student: hashed n-grams, one hidden layer, fitted to soft labels with AdaGrad.

Rules:
1. numpy and scipy only, one thread, no clock: the same texts, labels and seed give the same weights.
2. What comes out is an ordinary fitted scikit-learn pipeline; nothing of ours is in it.
3. Texts are cut into batches once. A batch knows which weights it touches, and reads and writes only those.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import LabelBinarizer

from models.progress import Progress
from models.training.recipe import Features, Fitting

TOKENS: Final = r"\w+|[^\w\s]"
"""A run of letters and digits, or one sign that is neither one nor white space."""

LEFTOVERS: Final = (
    "_optimizer",
    "_random_state",
    "loss_curve_",
    "_no_improvement_count",
    "_best_coefs",
    "_best_intercepts",
    "best_loss_",
    "loss_",
    "t_",
)
"""Traces of the step that makes scikit-learn's network a fitted one."""

TINY: Final = np.float32(1e-9)

Array = npt.NDArray[np.float32]


class NgramBatch(NamedTuple):
    """Texts as counts of their n-grams: `counts` (texts, columns), the numbers of the columns, and so on."""

    counts: Any
    columns: npt.NDArray[np.int64]
    labels: Array
    weights: Array


class StudentNetwork(NamedTuple):
    """Weights: features to hidden, hidden to classes, and what is added to each."""

    hidden: Array
    hidden_bias: Array
    output: Array
    output_bias: Array


def vectorizer(features: Features) -> FeatureUnion:
    """Return the union of both vectorizers; nothing of it is fitted."""
    words = HashingVectorizer(
        token_pattern=TOKENS,
        ngram_range=features.words.ngrams,
        n_features=features.words.buckets,
        norm=None,
        dtype=np.float32,
    )
    letters = HashingVectorizer(
        analyzer="char_wb",
        ngram_range=features.letters.ngrams,
        n_features=features.letters.buckets,
        norm=None,
        dtype=np.float32,
    )
    return FeatureUnion([("words", words), ("letters", letters)])


def cut(
    union: FeatureUnion,
    texts: Sequence[str],
    labels: Array,
    weights: Array,
    batch: int,
    random: np.random.Generator,
    progress: Progress,
) -> list[NgramBatch]:
    """Shuffle texts into batches: labels (n, classes), weights (n,)."""
    order = random.permutation(len(texts))
    batches = []
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        counts = union.transform([texts[row] for row in rows]).tocsr()
        columns, places = np.unique(counts.indices, return_inverse=True)
        compact = csr_matrix(
            (counts.data, places.astype(np.int32), counts.indptr), shape=(len(rows), len(columns))
        )
        batches.append(NgramBatch(compact, columns, labels[rows], weights[rows]))
        progress("reading texts", start + len(rows), len(order))
    return batches


def fit(
    batches: Sequence[NgramBatch],
    features: int,
    fitting: Fitting,
    random: np.random.Generator,
    progress: Progress,
) -> StudentNetwork:
    """Fit a network of so many features to soft labels."""
    classes, hidden = batches[0].labels.shape[1], fitting.hidden
    network = StudentNetwork(
        random.standard_normal((features, hidden), np.float32) * np.float32(fitting.hidden_scale),
        np.zeros(hidden, np.float32),
        random.standard_normal((hidden, classes), np.float32) * np.float32(fitting.output_scale),
        np.zeros(classes, np.float32),
    )
    squares = StudentNetwork(*(np.zeros_like(part) for part in network))
    done, total = 0, fitting.epochs * len(batches)
    for _ in range(fitting.epochs):
        for number in random.permutation(len(batches)):
            _step(network, squares, batches[number], fitting, random)
            done += 1
            progress("fitting", done, total)
    return network


def _step(
    network: StudentNetwork,
    squares: StudentNetwork,
    batch: NgramBatch,
    fitting: Fitting,
    random: np.random.Generator,
) -> None:
    """Move the weights that one batch touches."""
    counts = batch.counts
    if fitting.dropout:
        kept = random.random(counts.nnz, np.float32) >= fitting.dropout
        data = counts.data * kept / np.float32(1.0 - fitting.dropout)
        counts = csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
    weights = network.hidden[batch.columns]
    sums = counts @ weights + network.hidden_bias
    active = np.maximum(sums, 0)
    error = softmax(active @ network.output + network.output_bias) - batch.labels
    error *= batch.weights[:, None] / np.float32(len(batch.weights))
    back = (error @ network.output.T) * (sums > 0)
    rate = np.float32(fitting.learning_rate)
    gradient = counts.T @ back
    seen = squares.hidden[batch.columns] + gradient * gradient
    squares.hidden[batch.columns] = seen
    network.hidden[batch.columns] = weights - rate * gradient / (np.sqrt(seen) + TINY)
    _move(network.hidden_bias, squares.hidden_bias, back.sum(axis=0), rate)
    _move(network.output, squares.output, active.T @ error, rate)
    _move(network.output_bias, squares.output_bias, error.sum(axis=0), rate)


def _move(weights: Array, squares: Array, gradient: Array, rate: np.float32) -> None:
    squares += gradient * gradient
    weights -= rate * gradient / (np.sqrt(squares) + TINY)


def softmax(values: Array) -> Array:
    """Return the probabilities of (n, classes) log odds."""
    powers: Array = np.exp(values - values.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers


def rounded(values: Array, mantissa_bits: int) -> Array:
    """Round float32 numbers to fewer bits of mantissa, so that they compress."""
    spare = 23 - mantissa_bits
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    half = np.uint64((1 << spare) >> 1)
    return (((bits + half) >> np.uint64(spare)) << np.uint64(spare)).astype(np.uint32).view(np.float32)


def pipeline(union: FeatureUnion, network: StudentNetwork, mantissa_bits: int) -> Pipeline:
    """Put the weights into a fitted scikit-learn pipeline, which holds them in float64."""
    features, hidden = network.hidden.shape
    classes = network.output.shape[1]
    classifier = MLPClassifier(hidden_layer_sizes=(hidden,), activation="relu", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one step does not converge; it only makes the object a fitted one
        classifier.set_params(random_state=0).fit(np.eye(classes), np.arange(classes))
    for leftover in LEFTOVERS:
        classifier.__dict__.pop(leftover, None)
    for _, part in union.transformer_list:
        # Where scikit-learn keeps the memory address of its stop words, which differs from run to run.
        part.__dict__.pop("_stop_words_id", None)
    binarizer = LabelBinarizer().fit(np.arange(classes))
    small = rounded(network.hidden, mantissa_bits)
    fitted = {
        "coefs_": [small.astype(np.float64), network.output.astype(np.float64)],
        "intercepts_": [network.hidden_bias.astype(np.float64), network.output_bias.astype(np.float64)],
        "n_features_in_": features,
        "n_layers_": 3,
        "n_outputs_": classes,
        "out_activation_": "softmax",
        "_label_binarizer": binarizer,
        "classes_": np.arange(classes),
    }
    classifier.__dict__.update(fitted)
    return Pipeline([("features", union), ("classifier", classifier)])
