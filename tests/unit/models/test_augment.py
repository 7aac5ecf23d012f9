"""Texts made by rule and texts in another form: what they hold, and that chance is repeatable."""

import random
from collections import Counter

import pytest

from models.training import augment, variants
from models.training.augment import SURE, lexicon

MADE = augment.make(random.Random(3), share=0.1)
TEXT = "I don't like the customer service, it's terrible"


def test_the_same_state_makes_the_same_texts():
    # Given two generators in one state, when texts are made, then they are the same, and many
    assert augment.make(random.Random(3), share=0.1) == MADE
    assert len({one.text for one in MADE}) > 0.9 * len(MADE)


def test_made_texts_are_filled_in_and_have_a_label_of_the_known():
    # Given made texts, then no placeholder is left, and labels are distributions
    assert [one.text for one in MADE if "{" in one.text.replace(":{", "")] == []
    assert {one.label for one in MADE} == set(SURE.values())
    assert {round(sum(label), 9) for label in SURE.values()} == {1.0}


def test_no_class_drowns_the_others():
    # Given made texts, when their most probable classes are counted, then each has its share
    counts = Counter(one.label.index(max(one.label)) for one in MADE)
    assert min(counts.values()) > 0.15 * len(MADE)


def test_no_sign_has_two_classes():
    # Given the lexicon, when emoji, emoticons, hashtags and words are compared, then each has one class
    words = lexicon().words
    for table in ("emoji", "emoticons", "hashtags", "words"):
        classes = [
            set(words[table][mood]) for mood in ("negative", "neutral", "positive") if mood in words[table]
        ]
        assert sum(map(len, classes)) == len(set().union(*classes)), table
    assert set(words["emoji"]["take_a_tone"]) <= {
        sign for mood in ("negative", "neutral", "positive") for sign in words["emoji"][mood]
    }


@pytest.mark.parametrize("word", ["good", "bad", "xyz"])
def test_an_elongated_word_has_one_letter_more_often(word):
    # Given a word, when it is drawn out, then it shrinks back to itself
    drawn = augment.elongated(random.Random(1), word)
    assert len(drawn) >= len(word) + 2
    assert set(drawn) == set(word)


@pytest.mark.parametrize(
    ("change", "kept", "added"),
    [
        (variants.with_link, TEXT, ("http", "pic.")),
        (variants.retweeted, TEXT, ("RT @",)),
        (variants.with_names, TEXT, ("@",)),
        (variants.with_neutral_hashtags, TEXT, ("#",)),
    ],
)
def test_what_is_added_stands_beside_the_text(change, kept, added):
    # Given a text, when something is added, then the text is still there as it was
    for seed in range(20):
        changed = change(random.Random(seed), TEXT)
        assert kept in changed
        assert any(sign in changed for sign in added)


def test_a_typo_leaves_most_letters_where_they_were():
    # Given a text, when typos are made, then it has as many words, and short ones are spared
    for seed in range(50):
        words = variants.with_typos(random.Random(seed), TEXT).split()
        assert len(words) == len(TEXT.split())
        assert (words[0], words[1], words[3]) == ("I", "don't", "the")
    assert variants.with_typos(random.Random(2), TEXT) != TEXT


def test_apostrophes_are_written_in_every_way():
    # Given a text with apostrophes, when they are written anew, then the letters stay
    seen = {variants.with_any_apostrophe(random.Random(seed), TEXT) for seed in range(50)}
    assert {text[5] for text in seen} == {"'", "\u2019", "`", "t"}
    assert {"".join(filter(str.isalpha, text)) for text in seen} == {"".join(filter(str.isalpha, TEXT))}
