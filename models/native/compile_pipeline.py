r"""A scikit-learn pipeline as tables for the kernel, or the reason why not.

Rules:
1. What the kernel computes is what these classes of scikit-learn compute with these parameters; any other
   class, subclass or parameter is refused here by name. Nothing is guessed.
2. Coefficients are float32 where that loses nothing, else float64.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.pipeline import FeatureUnion, Pipeline

from models.errors import Uncompilable
from models.native.layers import layers, share
from models.native.library import Kernel

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32] | npt.NDArray[np.float64]

TWO_CHARS, INNER_APOSTROPHE, SYMBOLS, LINKS, NAMES, NOT_SPACE, TAGS, NO_QUOTES = (
    1 << bit for bit in range(8)
)

_INNER: Final = "\\w+(?:['\u2019]\\w+)*"

PATTERNS: Final = {
    r"(?u)\b\w\w+\b": TWO_CHARS,  # scikit-learn's own
    r"(?u)\b\w+\b": 0,
    r"\b\w+\b": 0,
    r"(?u)\w+": 0,
    r"\w+": 0,
    r"(?u)\S+": NOT_SPACE,
    r"\S+": NOT_SPACE,
    r"\w+|[^\w\s]": SYMBOLS,
    r"(?u)\w+|[^\w\s]": SYMBOLS,
    "\\w+|[^\\w\\s'\u2019`]": SYMBOLS | NO_QUOTES,
    f"{_INNER}|[^\\w\\s]": INNER_APOSTROPHE | SYMBOLS,
    r"https?://\S+|\w+|[^\w\s]": LINKS | SYMBOLS,
    r"https?://\S+|@\w+|\w+|[^\w\s]": LINKS | NAMES | SYMBOLS,
    r"https?://\S+|@\w+|#\w+|\w+|[^\w\s]": LINKS | NAMES | TAGS | SYMBOLS,
    f"https?://\\S+|@\\w+|{_INNER}|[^\\w\\s]": LINKS | NAMES | INNER_APOSTROPHE | SYMBOLS,
}
"""Token patterns that the kernel's scanner knows, and its flags for each."""

ANALYZERS: Final = ("word", "char", "char_wb")
NORMS: Final = (None, "l1", "l2")
NGRAM_MAX: Final = 16
FEATURES_MAX: Final = 1 << 30
NUMBERS: Final = 4
"""Rows are padded to a multiple of so many numbers, which is what a processor adds at once."""


class Vectorizer(ctypes.Structure):
    """`Vectorizer` of types.h, field by field."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("analyzer", "pattern", "min_n", "max_n")),
        *((name, ctypes.c_int32) for name in ("norm", "binary", "sublinear", "alternate_sign")),
        *((name, ctypes.c_int32) for name in ("hashed", "wide")),
        *((name, ctypes.c_uint32) for name in ("features", "slot_mask")),
        *((name, ctypes.c_void_p) for name in ("entries", "written", "idf", "rows")),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What the kernel is given: `count` vectorizers whose rows of coefficients are `width` numbers.

    `finish` turns (n, width) sums into (n, classes) probabilities. `sums_words[v]`: the sums of a word's
    characters can be kept. `sizes_counted`: the most sizes of n-grams that one vectorizer has to count, or 0.
    `tables` keeps alive what the vectorizers point at.
    """

    vectorizers: ctypes.Array[Vectorizer]
    count: int
    width: int
    lower: bool
    sums_words: list[bool]
    sizes_counted: int
    finish: Callable[[Array], Array]
    tables: list[object]


@dataclass(slots=True, eq=False)
class _Part:
    """One vectorizer of a pipeline with what scikit-learn does behind it."""

    vectorizer: BaseEstimator
    tfidf: TfidfTransformer | None
    weight: float = 1.0
    features: int = field(default=0)

    def __post_init__(self) -> None:
        hashed = type(self.vectorizer) is HashingVectorizer
        if not hashed and not hasattr(self.vectorizer, "vocabulary_"):
            raise Uncompilable(f"{type(self.vectorizer).__name__} is not fitted")
        self.features = self.vectorizer.n_features if hashed else len(self.vectorizer.vocabulary_)


def compile_pipeline(pipeline: BaseEstimator, kernel: Kernel) -> Program:
    """Compile a fitted pipeline. Raises Uncompilable with the reason."""
    if type(pipeline) is not Pipeline:
        raise Uncompilable(f"a {type(pipeline).__name__} is not a Pipeline")
    *steps, classifier = [step for _, step in pipeline.steps]
    parts = _parts(steps)
    rows, finish = layers(classifier, kernel)
    if sum(part.features for part in parts) != len(rows):
        raise Uncompilable("the classifier has coefficients for another number of features")
    lower = {bool(part.vectorizer.lowercase) for part in parts}
    if len(lower) > 1:
        raise Uncompilable("some of its vectorizers make lower case and some do not")
    vectorizers = (Vectorizer * len(parts))()
    weighed = any(part.weight != 1.0 for part in parts)
    if weighed:
        rows = rows * np.repeat([part.weight for part in parts], [part.features for part in parts])[:, None]
    table = _laid_out(rows)
    tables: list[object] = [table]
    at = 0
    for part, into in zip(parts, vectorizers, strict=True):
        _describe(part, into)
        if into.hashed == 0:
            tables += _vocabulary(part, into, kernel)
        tables += _idf(part, into)
        into.wide, into.rows = table.dtype == np.float64, table[at:].ctypes.data
        at += part.features
    if not weighed:
        share(classifier, table[:, : rows.shape[1]])
    return Program(
        vectorizers,
        len(parts),
        table.shape[1],
        lower.pop(),
        sums_words=[_additive(it) and it.analyzer == ANALYZERS.index("char_wb") for it in vectorizers],
        sizes_counted=max([it.max_n - it.min_n + 1 for it in vectorizers if not _additive(it)], default=0),
        finish=finish,
        tables=tables,
    )


def _parts(steps: list[BaseEstimator]) -> list[_Part]:
    """Return the vectorizers of the steps before a classifier, in the order of their columns."""
    steps = [step for step in steps if not _passes(step)]
    if not steps:
        raise Uncompilable("no vectorizer stands before its classifier")
    first, *behind = steps
    if type(first) is FeatureUnion and not behind:
        weights = first.transformer_weights or {}
        parts = []
        for name, transformer in first.transformer_list:
            if isinstance(transformer, str) and transformer == "drop":
                continue
            inner = transformer.steps if type(transformer) is Pipeline else [(name, transformer)]
            part = _part([step for _, step in inner if not _passes(step)])
            part.weight = float(weights.get(name, 1.0))
            parts.append(part)
        if parts:
            return parts
        raise Uncompilable("its FeatureUnion is empty")
    return [_part(steps)]


def _passes(step: object) -> bool:
    return step is None or (isinstance(step, str) and step == "passthrough")


def _part(steps: list[BaseEstimator]) -> _Part:
    first, *behind = steps
    if type(first) is TfidfVectorizer and not behind:
        return _Part(first, first._tfidf)  # noqa: SLF001  where scikit-learn keeps the transformer
    if type(first) in {CountVectorizer, HashingVectorizer}:
        if not behind:
            return _Part(first, None)
        if len(behind) == 1 and type(behind[0]) is TfidfTransformer:
            return _Part(first, behind[0])
    names = " and ".join(type(step).__name__ for step in steps)
    raise Uncompilable(f"no vectorizer of ours: {names}")


def _describe(part: _Part, into: Vectorizer) -> None:
    """Fill in everything but the tables."""
    it = part.vectorizer
    refused = {
        "input": it.input != "content",
        "preprocessor": it.preprocessor is not None,
        "strip_accents": it.strip_accents is not None,
        "analyzer": callable(it.analyzer) or it.analyzer not in ANALYZERS,
        "tokenizer": it.analyzer == "word" and it.tokenizer is not None,
        "stop_words": it.analyzer == "word" and it.stop_words is not None,
        "token_pattern": it.analyzer == "word" and it.token_pattern not in PATTERNS,
        "ngram_range": not 1 <= it.ngram_range[0] <= it.ngram_range[1] <= NGRAM_MAX,
        "n_features": not 1 <= part.features <= FEATURES_MAX,
    }
    for name, is_refused in refused.items():
        if is_refused:
            value = part.features if name == "n_features" else getattr(it, name)
            raise Uncompilable(f"{type(it).__name__} with {name} {repr(value)[:80]}")
    hashed = type(it) is HashingVectorizer
    tfidf = part.tfidf
    norm = tfidf.norm if tfidf is not None else it.norm if hashed else None
    if norm not in NORMS:
        raise Uncompilable(f"the norm {norm!r}")
    if tfidf is not None and hashed and it.norm is not None:
        raise Uncompilable("a HashingVectorizer with a norm before a TfidfTransformer")
    sublinear = bool(tfidf is not None and tfidf.sublinear_tf)
    signed = bool(hashed and it.alternate_sign and not it.binary)
    if sublinear and signed:
        raise Uncompilable("the logarithm of counts that may be negative")
    into.analyzer = ANALYZERS.index(it.analyzer)
    into.pattern = PATTERNS[it.token_pattern] if it.analyzer == "word" else 0
    into.min_n, into.max_n = it.ngram_range
    into.norm, into.binary, into.sublinear = NORMS.index(norm), bool(it.binary), sublinear
    into.alternate_sign, into.hashed, into.features = signed, hashed, part.features


def _additive(it: Vectorizer) -> bool:
    """As `additive` of features.h."""
    return not it.binary and not it.sublinear and (it.norm == 0 or (it.norm == 1 and not it.alternate_sign))


def _vocabulary(part: _Part, into: Vectorizer, kernel: Kernel) -> list[object]:
    """Lay out the vocabulary as a table of hashes; return what must live on."""
    vocabulary = part.vectorizer.vocabulary_
    if any(not isinstance(term, str) or not term for term in vocabulary):
        raise Uncompilable("a vocabulary of something else than words")
    features = np.fromiter(vocabulary.values(), np.int64, len(vocabulary))
    if sorted(features.tolist()) != list(range(len(features))):
        raise Uncompilable("a vocabulary whose columns have gaps")
    try:
        terms = pa.array(list(vocabulary), pa.large_string())
    except UnicodeEncodeError as error:
        raise Uncompilable("a vocabulary that UTF-8 cannot hold") from error
    _, starts, written = terms.buffers()
    if written.size >= 1 << 32:
        raise Uncompilable("a vocabulary of 4 GiB")
    slots = 1 << (2 * len(vocabulary)).bit_length()
    entries = np.zeros((slots, 4), np.uint32)
    columns = features.astype(np.uint32)
    kernel.library.fill_entries(
        ctypes.c_void_p(entries.ctypes.data),
        ctypes.c_uint32(slots - 1),
        ctypes.c_void_p(written.address),
        ctypes.c_void_p(starts.address),
        ctypes.c_void_p(columns.ctypes.data),
        ctypes.c_int64(len(vocabulary)),
    )
    into.slot_mask, into.entries, into.written = slots - 1, entries.ctypes.data, written.address
    return [entries, terms]


def _idf(part: _Part, into: Vectorizer) -> list[object]:
    """Take over the idf of a vectorizer that has one; return what must live on."""
    idf = getattr(part.tfidf, "idf_", None) if part.tfidf is not None else None
    if idf is None:
        return []
    if len(idf) != part.features:
        raise Uncompilable("idf for another number of features")
    kept = np.ascontiguousarray(idf, np.float64)
    into.idf = kept.ctypes.data
    return [kept]


def _laid_out(rows: Array) -> Rows:
    """Lay out (features, numbers) coefficients as padded rows that begin where a line of cache does.

    They are float32 where that loses nothing.
    """
    narrow = _aligned(rows, np.float32)
    return narrow if np.array_equal(narrow[:, : rows.shape[1]], rows) else _aligned(rows, np.float64)


def _aligned(rows: Array, kind: type[np.float32 | np.float64]) -> Rows:
    width = -(-rows.shape[1] // NUMBERS) * NUMBERS
    padded = np.zeros((len(rows) + 4, width), kind)
    begin = -padded.ctypes.data % 64 // padded.itemsize
    aligned = padded.reshape(-1)[begin : begin + len(rows) * width].reshape(len(rows), width)
    with np.errstate(over="ignore"):  # what float32 cannot hold is not equal
        aligned[:, : rows.shape[1]] = rows
    return aligned
