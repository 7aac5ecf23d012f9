"""What the kernel scores is what scikit-learn scores: on any Unicode, for every pipeline it takes."""

import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfTransformer,
    TfidfVectorizer,
)
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from models.errors import Uncompilable
from models.native import library
from models.native.compile_pipeline import PATTERNS, compile_pipeline
from models.native.library import kernel
from models.scorers import select
from models.scorers.pipeline import PipelineScorer
from models.scorers.scores import to_scores
from models.scorers.select import fastest, probe_texts

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TRUTH = np.arange(len(probe_texts())) % 3
JUDGE = partial(to_scores, uncertain_below=0.4)
OURS = "\\w+|[^\\w\\s'\u2019`]"
LINKS = r"https?://\S+|@\w+|#\w+|\w+|[^\w\s]"
APOSTROPHES = "\\w+(?:['\u2019]\\w+)*|[^\\w\\s]"


def hashing(**parameters):
    return HashingVectorizer(**{"n_features": 512, **parameters})


def logistic():
    return LogisticRegression(max_iter=20, C=20.0)


SHAPES = {
    "the shipped kind": Pipeline(
        [
            (
                "features",
                FeatureUnion(
                    [
                        ("words", hashing(token_pattern=OURS, ngram_range=(1, 3), norm=None)),
                        ("chars", hashing(analyzer="char_wb", ngram_range=(2, 5), norm=None, n_features=300)),
                    ]
                ),
            ),
            ("classifier", MLPClassifier((16,), max_iter=15, random_state=1)),
        ]
    ),
    "the same, linear": Pipeline(
        [
            (
                "features",
                FeatureUnion(
                    [
                        ("words", hashing(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), norm=None)),
                        ("chars", hashing(analyzer="char_wb", ngram_range=(3, 7), norm=None)),
                    ]
                ),
            ),
            ("classifier", logistic()),
        ]
    ),
    "all defaults": make_pipeline(TfidfVectorizer(), logistic()),
    "words and characters": make_pipeline(
        FeatureUnion(
            [
                ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=APOSTROPHES)),
                ("chars", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), norm="l1", min_df=2)),
                ("none", "drop"),
            ],
            transformer_weights={"words": 0.5},
        ),
        logistic(),
    ),
    "characters over blanks": make_pipeline(CountVectorizer(analyzer="char", ngram_range=(1, 3)), logistic()),
    "characters, hashed, l2": make_pipeline(hashing(analyzer="char", ngram_range=(2, 3)), logistic()),
    "no lower case": make_pipeline(hashing(lowercase=False, token_pattern=r"\S+", norm="l1"), logistic()),
    "not signed, l1": make_pipeline(
        hashing(analyzer="char_wb", ngram_range=(1, 2), alternate_sign=False, norm="l1"), logistic()
    ),
    "binary": make_pipeline(hashing(binary=True, token_pattern=LINKS, ngram_range=(2, 2)), logistic()),
    "binary counts": make_pipeline(
        CountVectorizer(binary=True, token_pattern=r"(?u)\b\w+\b"), TfidfTransformer(norm=None), logistic()
    ),
    "hashed, then idf": make_pipeline(
        hashing(analyzer="char_wb", ngram_range=(3, 3), alternate_sign=False, norm=None),
        TfidfTransformer(sublinear_tf=True),
        logistic(),
    ),
    "counts, idf without norm": make_pipeline(
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 3)), TfidfTransformer(norm=None), logistic()
    ),
    "one hidden layer": make_pipeline(
        hashing(norm=None, token_pattern=OURS), MLPClassifier((6,), max_iter=15, random_state=1)
    ),
    "hidden tanh": make_pipeline(
        hashing(), MLPClassifier((20,), activation="tanh", max_iter=15, random_state=1)
    ),
    "hidden logistic": make_pipeline(
        hashing(), MLPClassifier((5,), activation="logistic", max_iter=15, random_state=1)
    ),
    "hidden identity": make_pipeline(
        hashing(), MLPClassifier((4,), activation="identity", max_iter=15, random_state=1)
    ),
    "one against the rest": make_pipeline(hashing(), SGDClassifier(loss="log_loss", random_state=1)),
}

PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(probe_texts()).map(lambda text: text[:40]),
    st.text(alphabet="aAé'\u2019@#_ :/.!httpsΣİ\u2003\u00a0\n\t\x1c😀👍", max_size=16),
    st.text(alphabet=st.characters(codec="utf-8"), max_size=6),
    st.sampled_from(["good", "Bad", "love", "https://a.b", "not", " ", "  "]),
)
TEXTS = st.lists(PIECES, max_size=7).map("".join)


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def both(request):
    """One pipeline, fitted, by the kernel and by scikit-learn."""
    pipeline = request.param.fit(probe_texts(), TRUTH)
    otherwise = PipelineScorer(pipeline, "0123456789ab-sk", 0.4)
    scorer = fastest(pipeline, otherwise, JUDGE, "0123456789ab-k1")
    assert scorer.reason is None
    assert scorer.version == "0123456789ab-k1"
    return scorer, otherwise


def test_the_kernel_scores_any_unicode_as_scikit_learn_does(both):
    compiled, otherwise = both

    @given(st.lists(TEXTS, max_size=8))
    @settings(max_examples=25, deadline=None)
    def same(texts):
        ours, theirs = compiled.probability(texts), otherwise.probability(texts)
        assert np.array_equal(np.isnan(ours), np.isnan(theirs))
        assert np.allclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=True)
        assert compiled.score(texts).label.tolist() == otherwise.score(texts).label.tolist()

    same()


@pytest.fixture(scope="module")
def shipped_kind():
    pipeline = SHAPES["the shipped kind"].fit(probe_texts(), TRUTH)
    otherwise = PipelineScorer(pipeline, "sk", 0.4)
    return fastest(pipeline, otherwise, JUDGE, "k1"), otherwise


def test_a_score_depends_on_its_text_alone(shipped_kind):
    # Given a scorer that has seen many words, and one that has seen none
    used, otherwise = shipped_kind
    texts = [f"{a} {b}" for a in probe_texts()[:60] for b in ("", "word", "WORD word")]
    used.score([f"word{n} other{n % 70}" for n in range(20_000)])

    together = used.probability(texts)
    alone = np.concatenate([used.probability([text]) for text in reversed(texts)])[::-1]

    assert np.array_equal(together, alone, equal_nan=True)
    assert np.allclose(together, otherwise.probability(texts), rtol=0, atol=1e-9, equal_nan=True)


def test_a_lone_surrogate_is_unscored_and_hurts_no_neighbour(shipped_kind):
    compiled, otherwise = shipped_kind
    texts = ["good day", "\ud800", "bad \udfff day", "", "good day"]

    ours, theirs = compiled.score(texts), otherwise.score(texts)

    assert ours.label.tolist() == theirs.label.tolist()
    assert np.allclose(ours.probability, theirs.probability, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 100_000,
        "Ⱥ" * 20_000,
        "İ" * 20_000,
        "! " * 60_000,
        "😀" * 30_000,
        "a" * 9_999 + "Σb",
        "\n" * 20_000,
    ],
)
def test_a_text_is_cut_where_scikit_learn_cuts_it(shipped_kind, text):
    compiled, otherwise = shipped_kind

    ours, theirs = compiled.probability(["a", text, "b"]), otherwise.probability(["a", text, "b"])

    assert np.allclose(ours, theirs, rtol=0, atol=1e-9, equal_nan=True)


def test_the_table_of_counts_holds_every_feature_of_the_longest_text():
    # Given texts of 10,000 characters of four bytes, all different, and n-grams of four sizes
    vectorizer = HashingVectorizer(analyzer="char", ngram_range=(1, 4), n_features=2**12)
    pipeline = make_pipeline(vectorizer, logistic()).fit(probe_texts()[:60], TRUTH[:60])
    otherwise = PipelineScorer(pipeline, "sk", 0.4)
    compiled = fastest(pipeline, otherwise, JUDGE, "k1")
    texts = ["".join(map(chr, range(0x20000, 0x20000 + 10_000)))]

    assert compiled.reason is None
    assert np.allclose(compiled.probability(texts), otherwise.probability(texts), rtol=0, atol=1e-9)


def test_an_empty_batch_and_a_batch_of_equal_texts(shipped_kind):
    compiled, _ = shipped_kind

    assert len(compiled.score([]).label) == 0
    assert len({row.tobytes() for row in compiled.score(["fine day"] * 10_000).probability}) == 1


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_the_scanner_finds_the_tokens_of_every_pattern_it_knows(pattern):
    # Given a vocabulary of all that the pattern finds in the texts, one and two in a row
    vectorizer = CountVectorizer(token_pattern=pattern, ngram_range=(1, 2))
    pipeline = make_pipeline(vectorizer, logistic()).fit(probe_texts(), TRUTH)
    compiled = fastest(pipeline, PipelineScorer(pipeline, "sk", 0.4), JUDGE, "k1")

    assert compiled.reason is None


class OfOnesOwn(HashingVectorizer):
    """A subclass may compute anything."""


@pytest.mark.filterwarnings("ignore:The parameter:UserWarning")
@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((hashing(stop_words="english"),), "HashingVectorizer with stop_words 'english'"),
        ((hashing(strip_accents="unicode"),), "HashingVectorizer with strip_accents 'unicode'"),
        ((hashing(preprocessor=str.lower),), "HashingVectorizer with preprocessor"),
        ((hashing(tokenizer=str.split, token_pattern=None),), "HashingVectorizer with tokenizer"),
        ((hashing(analyzer=str.split),), "HashingVectorizer with analyzer"),
        ((hashing(token_pattern=r"[a-z]+"),), r"HashingVectorizer with token_pattern '[a-z]+'"),
        ((hashing(ngram_range=(1, 17)),), "HashingVectorizer with ngram_range (1, 17)"),
        ((OfOnesOwn(n_features=64),), "no vectorizer of ours: OfOnesOwn"),
        ((hashing(), MaxAbsScaler()), "no vectorizer of ours: HashingVectorizer and MaxAbsScaler"),
        ((hashing(), TfidfTransformer()), "a HashingVectorizer with a norm before a TfidfTransformer"),
        (
            (make_pipeline(FeatureUnion([("a", hashing()), ("b", hashing(lowercase=False))]))[0],),
            "some of its vectorizers make lower case and some do not",
        ),
    ],
)
def test_what_the_kernel_does_not_know_scikit_learn_scores_and_it_says_why(steps, reason):
    pipeline = make_pipeline(*steps, logistic())
    pipeline.fit(["good good", "bad bad", "so so"], [0, 1, 2])
    otherwise = PipelineScorer(pipeline, "sk", 0.4)

    scorer = fastest(pipeline, otherwise, JUDGE, "k1")

    assert scorer is otherwise
    assert scorer.reason.startswith(reason)


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        (logistic(), "a LogisticRegression is not a Pipeline"),
        (make_pipeline(hashing(alternate_sign=False), MultinomialNB()), "the classifier MultinomialNB"),
        (make_pipeline(hashing(), MLPClassifier((3, 3), max_iter=2)), "the classifier MLPClassifier"),
        (make_pipeline(hashing(), MLPClassifier((65,), max_iter=2)), "a hidden layer of more than 64"),
        (make_pipeline(hashing(), SGDClassifier(loss="modified_huber")), "the classifier SGDClassifier"),
    ],
)
def test_a_classifier_that_the_kernel_does_not_know_is_refused_by_name(pipeline, reason):
    numbers, texts = [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], ["a b", "c d", "ef"]
    pipeline.fit(texts if isinstance(pipeline, Pipeline) else numbers, [0, 1, 2])

    with pytest.raises(Uncompilable, match=reason):
        compile_pipeline(pipeline, kernel())


def test_the_logarithm_of_what_may_be_negative_is_refused():
    pipeline = make_pipeline(hashing(norm=None), TfidfTransformer(), logistic())
    pipeline.fit(["a b", "c d", "ef"], [0, 1, 2])
    pipeline[1].sublinear_tf = True

    with pytest.raises(Uncompilable, match="the logarithm of counts that may be negative"):
        compile_pipeline(pipeline, kernel())


def test_without_a_library_scikit_learn_scores(monkeypatch, tmp_path, shipped_kind):
    _, otherwise = shipped_kind
    pipeline = SHAPES["the shipped kind"]
    monkeypatch.setattr(library, "PATH", tmp_path / "kernel.so")
    library.kernel.cache_clear()
    try:
        scorer = fastest(pipeline, otherwise, JUDGE, "k1")
    finally:
        library.kernel.cache_clear()

    assert scorer is otherwise
    assert scorer.reason == "the library kernel.so is not in this installation"


def test_a_kernel_that_differs_on_the_probe_batch_does_not_score(monkeypatch, shipped_kind):
    # Given a kernel for which all words are the same
    _, otherwise = shipped_kind
    broken = library.Kernel(kernel().library, np.full(sys.maxunicode + 1, ord("a") | library.WORD, "<u4"))
    monkeypatch.setattr(select, "kernel", lambda: broken)

    scorer = fastest(SHAPES["the shipped kind"], otherwise, JUDGE, "k1")

    assert scorer is otherwise
    assert "probe batch" in scorer.reason


def test_the_probe_batch_is_fixed_and_holds_what_texts_may_hold():
    texts = probe_texts()

    assert len(texts) == len(set(texts)) > 200
    assert any(len(text) > 10_000 for text in texts)
    assert {"", " ", "Σ", "İstanbul İZMİR", "\x00"} <= set(texts)
