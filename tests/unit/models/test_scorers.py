"""What a scorer promises: one row per text, failures alone, and scores that depend on the text alone."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import registry
from models.scorers.pipeline import TEXT_CHARS_SCORED_MAX, PipelineScorer
from models.scorers.scores import NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED, to_scores
from models.scorers.unscored import unscored_scorer

SHIPPED = registry.load()


class Picky:
    """A model that gives every text the same probabilities, and raises on a batch that holds a bad one."""

    def __init__(self, answer=(0.1, 0.2, 0.7), bad=()):
        self.answer = answer
        self.bad = set(bad)
        self.calls = 0

    def predict_proba(self, texts):
        self.calls += 1
        if self.bad & set(texts):
            raise ZeroDivisionError("a bad text")
        return np.tile(self.answer, (len(texts), 1))


def scorer_of(model, uncertain_below=0.5):
    return PipelineScorer(model, "0123456789ab-sk", uncertain_below)


def test_a_batch_is_one_call_of_the_model():
    # Given a model that fails on nothing
    model = Picky()
    # When a batch is scored
    scores = scorer_of(model).score(["text"] * 1_000)
    # Then the model was called once
    assert model.calls == 1
    assert scores.label.tolist() == [POSITIVE] * 1_000
    assert scores.sentiment_micro.tolist() == [600_000] * 1_000


def test_the_text_that_fails_is_unscored_and_all_others_are_scored():
    # Given a batch with two texts that make the model raise
    texts = [f"text {number}" for number in range(257)]
    model = Picky(bad=[texts[0], texts[100]])
    # When it is scored
    scores = scorer_of(model).score(texts)
    # Then exactly those are unscored, without sentiment, and never neutral
    assert np.flatnonzero(scores.label == UNSCORED).tolist() == [0, 100]
    assert np.isnan(scores.probability[[0, 100]]).all()
    assert scores.sentiment_micro[[0, 100]].tolist() == [0, 0]
    assert (np.delete(scores.label, [0, 100]) == POSITIVE).all()
    assert model.calls < 50  # by halving, not one by one


@pytest.mark.parametrize("answer", [(0.1, 0.9), (np.nan, 0.5, 0.5), (1.5, -0.5, 0.0), (np.inf, 0.0, 0.0)])
def test_an_answer_that_is_no_probability_is_unscored(answer):
    # Given a model whose answers are not three probabilities
    scores = scorer_of(Picky(answer)).score(["a text", "another"])
    # Then every row is unscored
    assert scores.label.tolist() == [UNSCORED, UNSCORED]
    assert np.isnan(scores.probability).all()


def test_labels_follow_the_most_probable_class_and_doubt_is_uncertain():
    # Given rows of each class, one below the limit, one exactly on it and one without a score
    probability = np.array(
        [[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.0, 0.3, 0.7], [0.3, 0.4, 0.3], [0.5, 0.2, 0.3], [np.nan] * 3]
    )
    # When they are labelled
    scores = to_scores(probability, uncertain_below=0.5)
    # Then an uncertain row keeps its sentiment and an unscored one has none
    assert scores.label.tolist() == [NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, NEGATIVE, UNSCORED]
    assert scores.sentiment_micro.tolist() == [-700_000, 0, 700_000, 0, -200_000, 0]
    assert (scores.label.dtype, scores.probability.dtype, scores.sentiment_micro.dtype) == (
        np.int8,
        np.float32,
        np.int32,
    )


def test_no_texts_give_no_rows():
    # Given scorers of both kinds, when they score nothing, then the columns are empty and have their shape
    for scorer in (SHIPPED, unscored_scorer()):
        scores = scorer.score([])
        assert scores.label.shape == (0,)
        assert scores.probability.shape == (0, 3)


def test_the_scorer_named_none_leaves_everything_unscored():
    # Given no model
    scorer = unscored_scorer()
    # When texts are scored
    scores = scorer.score(["good", "bad"])
    # Then all are unscored under the version "none"
    assert scorer.version == "none"
    assert scores.label.tolist() == [UNSCORED, UNSCORED]
    assert np.isnan(scores.probability).all()
    assert scores.sentiment_micro.tolist() == [0, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "これは最高です",
        "これはひどい、もう二度と買わない",
        "سيء جدا ولا أنصح به أحدا",
        "это худшее что я видел",
        "bu telefon çok kötü, kimseye tavsiye etmiyorum",
        "der Service war leider eine Katastrophe",
        "la atención al cliente es muy mala",
        "le service client est vraiment nul",
        "ürün harika, herkese öneririm",
    ],
)
def test_a_text_in_another_language_or_without_any_is_unscored(text):
    # Given a text that the shipped model does not cover, when it is scored, then it is not called neutral
    assert SHIPPED.score([text]).label.tolist() == [UNSCORED]


@pytest.mark.parametrize(
    "text", ["\ud800", "\x00", "\x01\x02\x03", "1234567890", "12 345 6789", "\u200b\u200d", "..."]
)
def test_a_text_that_says_nothing_is_never_neutral_with_confidence(text):
    # Given no words, when it is scored, then the shipped model is unscored, uncertain, or not even half sure
    scores = SHIPPED.score([text])
    assert scores.label.tolist()[0] in {UNCERTAIN, UNSCORED} or scores.probability.max() < 0.5


@pytest.mark.parametrize(
    "text",
    [
        "love it!!",
        "WORST. SERVICE. EVER.",
        "smh",
        "lol ok",
        "#fail",
        "gr8 thx m8",
        "😍",
        "😡😡",
        "Nokia",
        "@acme pls help",
        "just setting up my twttr",
        "omg i cant even rn",
        "https://t.co/Ab12Cd34Ef",
        "RT @user: so good",
    ],
)
def test_short_shouted_and_misspelt_english_is_covered(text):
    # Given English as it is posted, when it is scored, then the gate lets it in
    assert SHIPPED.score([text]).label.tolist() != [UNSCORED]


def test_links_names_and_apostrophes_do_not_change_a_label():
    # Given one text in spellings that mean the same
    texts = [
        "I don't like it",
        "I don\u2019t like it",
        "I don`t like it",
        "@acme_help I don't like it https://t.co/xY1",
        "RT @jane: I don't like it",
    ]
    # When they are scored, then the label is one
    assert set(SHIPPED.score(texts).label.tolist()) == {NEGATIVE}


def test_a_gate_keeps_texts_out_and_the_other_classes_sum_to_one():
    # Given probabilities of four classes, the last that of another language
    probability = np.array(
        [[0.1, 0.1, 0.2, 0.6], [0.2, 0.1, 0.3, 0.4], [0.0, 0.0, 0.0, 1.0], [0.5, 0.3, 0.2, 0.0]]
    )
    # When the gate closes at 0.6
    scores = to_scores(probability, 0.45, 0.6)
    # Then what is below is judged by the three others
    assert scores.label.tolist() == [UNSCORED, POSITIVE, UNSCORED, NEGATIVE]
    assert scores.probability[1].tolist() == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    assert np.isnan(scores.probability[[0, 2]]).all()
    assert scores.sentiment_micro.tolist() == [0, 166_667, 0, -300_000]


def test_only_the_beginning_of_a_very_long_text_is_scored():
    # Given a text whose end, past the limit, says the contrary
    beginning = "great " * (TEXT_CHARS_SCORED_MAX // 6) + "     "
    text = beginning[:TEXT_CHARS_SCORED_MAX] + " terrible awful worst hate" * 10_000
    # When it is scored beside its beginning alone
    scores = SHIPPED.score([text, beginning[:TEXT_CHARS_SCORED_MAX]])
    # Then both are the same
    assert scores.label.tolist() == [POSITIVE, POSITIVE]
    assert scores.sentiment_micro[0] == scores.sentiment_micro[1]


def test_warnings_of_a_model_do_not_leak():
    # Given a model that warns in every way numpy and Python know
    class Noisy(Picky):
        def predict_proba(self, texts):
            warnings.warn("soon to be removed", DeprecationWarning, stacklevel=1)
            np.array([1.0]) / np.array([0.0])
            return super().predict_proba(texts)

    # When it scores, with warnings as errors
    scores = scorer_of(Noisy()).score(["a text"])
    # Then it scores in silence
    assert scores.label.tolist() == [POSITIVE]


WORDS = ["good", "bad", "love", "not", "the", "store", "opens", "9", ":)", ":(", "😂", "!", "https://t.co/a"]
PHRASES = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)


@given(st.lists(st.one_of(PHRASES, st.text(max_size=60)), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_score_depends_on_its_text_and_not_on_the_batch(texts):
    # Given any texts, when they are scored together and one by one
    together = SHIPPED.score(texts)
    alone = [SHIPPED.score([text]) for text in texts]
    # Then every row is the same to the last bit
    assert together.label.tolist() == [one.label[0] for one in alone]
    assert together.sentiment_micro.tolist() == [one.sentiment_micro[0] for one in alone]
    np.testing.assert_array_equal(together.probability, np.concatenate([one.probability for one in alone]))
