"""Why this score: every word has its weight, and the weights add up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import registry
from models.explain import OTHER, TEXT_CHARS_MAX, explain, words_of
from models.scorers.scores import UNSCORED, TextScores, to_scores

LOG_ODDS = {"good": (-1.0, 0.0, 2.0), "bad": (2.0, 0.0, -1.0), "meh": (0.1, 0.2, 0.1)}


class Bag:
    """A model that adds what each known word says; `hola` is another language, `boom` fails."""

    version = "0123456789ab-sk"

    def probability(self, texts):
        return np.array([self._one(text.split()) for text in texts])

    def _one(self, words):
        known = [LOG_ODDS[word] for word in words if word in LOG_ODDS]
        if "boom" in words or not (known or "hola" in words):
            return [math.nan] * 4
        sums = np.exp(np.sum(known, axis=0)) if known else np.ones(3)
        other = words.count("hola") / len(words)
        return [*(sums / sums.sum() * (1 - other)), other]

    def score(self, texts):
        probability = self.probability(texts)
        three = probability[:, :3] / probability[:, :3].sum(axis=1, keepdims=True)
        three[probability[:, 3] >= 0.5] = np.nan
        return to_scores(three, 0.5)


class Words(Bag):
    """The same without a language gate."""

    def probability(self, texts):
        four = super().probability(texts)
        return four[:, :3] / four[:, :3].sum(axis=1, keepdims=True)

    def score(self, texts):
        return to_scores(self.probability(texts), 0.5)


def weights(found):
    return {of.word: of.weight for of in found.words}


@pytest.mark.parametrize("scorer", [Bag(), Words()])
def test_each_word_has_the_difference_that_it_makes(scorer):
    found = explain(scorer, "a bad bad good day")

    assert (found.label, found.explained, found.why) == ("negative", "negative", None)
    assert [of.word for of in found.words] == ["a", "bad", "bad", "good", "day"]
    assert weights(found)["bad"] > 0 > weights(found)["good"]
    assert weights(found)["a"] == weights(found)["day"] == pytest.approx(0)
    # Without the good word: odds e⁴ : 1 + e⁻²; with it: e³ : 1 + e⁰
    with_it, without = 3 - math.log(2), 4 - math.log(1 + math.exp(-2))
    assert weights(found)["good"] == pytest.approx(with_it - without)
    assert found.log_odds == pytest.approx(with_it)


def test_weights_and_rest_add_up_to_the_log_odds():
    found = explain(Bag(), "bad meh good bad")

    assert found.log_odds == pytest.approx(
        sum(weights(found)[w] for w in ("bad", "meh", "good", "bad")) + found.rest
    )
    p = found.probability["negative"]
    assert found.log_odds == pytest.approx(math.log(p / (1 - p)))


def test_what_is_uncertain_or_not_scored_says_why():
    unsure = explain(Bag(), "meh")
    assert unsure.label == "uncertain"
    assert "the best has 36%" in unsure.why
    assert unsure.words[0].weight == pytest.approx(
        unsure.log_odds - math.log(0.5)
    )  # without it: a third each

    foreign = explain(Bag(), "hola hola bad")
    assert (foreign.label, foreign.explained, foreign.probability) == ("unscored", OTHER, None)
    assert "does not cover this language (67%" in foreign.why
    assert weights(foreign)["hola"] > 0 > weights(foreign)["bad"]

    for text in ("boom", "nobody knows this", "", " \n"):
        unknown = explain(Bag(), text)
        assert (unknown.label, unknown.log_odds) == ("unscored", None)
        assert "knows nothing" in unknown.why
        assert all(of.weight is None for of in unknown.words)


def test_a_scorer_whose_numbers_are_no_probabilities_is_unscored_not_a_failure():
    class Broken(Words):
        def probability(self, texts):
            return np.full((len(texts), 3), 7.0)

        def score(self, texts):
            n = len(texts)
            return TextScores(
                np.full(n, UNSCORED, np.int8), np.full((n, 3), np.nan, np.float32), np.zeros(n, np.int32)
            )

    assert explain(Broken(), "good").label == "unscored"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Worst ever!! :( @acme 😡👍🏽", ["Worst", "ever", "!!", ":(", "@acme", "😡", "👍🏽"]),
        ("don't https://x.y/z?q=1 #fail", ["don't", "https://x.y/z?q=1", "#fail"]),
        ("❤️ 👩‍👩‍👧 🇩🇪 <3 :-) :'( ^^", ["❤️", "👩‍👩‍👧", "🇩🇪", "<3", ":-)", ":'(", "^^"]),
        ("good.bad", ["good", ".", "bad"]),
        ("çok kötü, 最悪", ["çok", "kötü", ",", "最悪"]),
        ("\ud800 x", ["\ud800", "x"]),
    ],
)
def test_emoji_and_emoticons_are_words_of_their_own(text, words):
    assert [text[start:end] for start, end in words_of(text)] == words


def test_a_long_text_is_refused():
    with pytest.raises(ValueError, match="1001 characters; at most 1000"):
        explain(Bag(), "x" * (TEXT_CHARS_MAX + 1))


SHARP = "😡👍🏽\u200d\ufe0f:;()-=xD3<!?.@#'\u2019 \n\t\x00\ud800\u202e"
hostile = st.text(st.one_of(st.characters(), st.sampled_from(SHARP)), max_size=60)


@settings(max_examples=300, deadline=None)
@given(hostile)
def test_any_text_is_cut_into_words_that_cover_all_but_space(text):
    spans = words_of(text)

    # Then words stand in their order, none in another, and what is left between them says nothing
    ends = [0, *(end for _, end in spans)]
    assert all(end <= start < after for end, (start, after) in zip(ends, spans, strict=False))
    left = "".join(text[end:start] for end, (start, _) in zip(ends, [*spans, (len(text), 0)], strict=True))
    assert not left.strip() or all(not one.isprintable() or one in "\u200d\ufe0f" for one in left.split())


@pytest.fixture(scope="module")
def shipped():
    return registry.load()


def test_the_shipped_model_says_which_word_is_bad(shipped):
    found = explain(shipped, "the worst phone I have ever had")

    assert found.label == "negative"
    assert max(found.words, key=lambda of: of.weight).word == "worst"
    assert found.log_odds == pytest.approx(sum(of.weight for of in found.words) + found.rest)


@settings(max_examples=60, deadline=None)
@given(text=hostile)
def test_the_shipped_model_explains_anything(shipped, text):
    found = explain(shipped, text)

    assert (found.log_odds is None) == (found.explained is None)
    assert all(math.isfinite(of.weight) for of in found.words if of.weight is not None)
