"""The suite of behaviour: what a case asks, and that no sentence of it can train a model."""

import json
import sys

import numpy as np
import pytest

from models.behaviour.run import behave, is_right
from models.behaviour.suite import CHANGES, Case, cases, load, targets, texts, with_typos
from models.cli import main
from models.scorers.scores import NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED, TextScores

SUITE = load()
SIZES = {
    "simple words": 60,
    "neutral facts and questions": 36,
    "not good": 48,
    "not bad": 30,
    "long-range negation": 24,
    "used to love, now": 24,
    "emoji only": 60,
    "emoticons": 48,
    "hashtags": 42,
    "elongation": 36,
    "sarcasm": 36,
    "complaint without a sentiment word": 36,
    "URL added": 36,
    "RT prefix": 36,
    "neutral hashtags": 36,
    "brand swapped": 30,
    "one typo per long word": 36,
    "curly apostrophes": 6,
}


class Fixed:
    """Says one label of everything but the texts it is told about."""

    version = "fixed"

    def __init__(self, label, **others):
        self.label, self.others = label, others

    def score(self, batch):
        labels = np.array([self.others.get(text, self.label) for text in batch], np.int8)
        return TextScores(labels, np.full((len(batch), 3), 1 / 3, np.float32), np.zeros(len(batch), np.int32))


def test_every_group_has_its_cases():
    # Given the suite, when its cases are counted, then no group is smaller than it should be
    counted = {name: sum(case.group == name for case in cases(SUITE)) for name in targets(SUITE)}
    assert counted.keys() == SIZES.keys()
    assert {name: counted[name] for name in SIZES if counted[name] < SIZES[name]} == {}


def test_each_change_makes_another_text_of_the_same_brand():
    # Given every case of a changed text
    changed = [case for case in cases(SUITE) if case.like is not None]
    # Then the change is there
    assert [case.text for case in changed if case.text == case.like] == []
    assert set(CHANGES) == {group.change for group in SUITE.group} - {None, "brand"}


def test_a_typo_is_in_long_small_words_only():
    # Given a text, when typos are made, then short words and brands are spared
    assert with_typos("Spotify is wonderful at any price") == "Spotify is wonedrful at any price"


@pytest.mark.parametrize(
    ("expect", "label", "right"),
    [
        ("negative", NEGATIVE, True),
        ("negative", UNCERTAIN, False),
        ("neutral", NEUTRAL, True),
        ("positive", NEUTRAL, False),
        ("not-negative", UNCERTAIN, True),
        ("not-negative", NEGATIVE, False),
        ("not-negative", UNSCORED, False),
        ("same", POSITIVE, True),
        ("same", UNCERTAIN, False),
    ],
)
def test_a_case_is_right_when_its_label_is_what_it_asks_for(expect, label, right):
    # Given a case, and a text like it that is positive
    case = Case("a group", "a text", expect, "another text" if expect == "same" else None)
    # When the text has this label, then it is right or wrong
    assert is_right(case, {"a text": label, "another text": POSITIVE}) is right


def test_a_scorer_that_is_always_negative_is_right_where_that_is_asked_for():
    # Given a scorer that knows one answer, when it is asked everything
    behaviour = behave(Fixed(NEGATIVE), SUITE)
    # Then half of the emoji are right, no "not bad" is, and nothing changes with a link
    assert behaviour["emoji only"].right == 0.5
    assert behaviour["not bad"].right == 0.0
    assert behaviour["URL added"].right == 1.0
    assert len(behaviour["not bad"].wrong) == 10


def test_a_silent_scorer_is_never_right():
    # Given a scorer that scores nothing, then it has nothing right, invariances included
    assert {one.right for one in behave(Fixed(UNSCORED), SUITE).values()} == {0.0}


def test_no_text_of_the_suite_stands_in_it_twice():
    # Given all texts, then each is there once
    every = texts(cases(SUITE))
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("as_json", [True, False])
def test_behave_prints_a_share_for_each_group(monkeypatch, capsys, as_json):
    # Given the shipped model, when it is asked
    monkeypatch.setattr(sys, "argv", ["models", "behave", *(["--json"] if as_json else [])])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    # Then every group is there, with its share
    assert (ended.value.code, err) == (0, "")
    if as_json:
        answer = json.loads(out)
        assert answer["groups"].keys() == SIZES.keys()
        assert all(0 <= group["right"] <= 1 for group in answer["groups"].values())
    else:
        assert all(name in out for name in SIZES)
