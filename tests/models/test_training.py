"""Reading and cleaning of labelled texts, and training in miniature; the shipped model is never made here."""

import datetime as dt
import hashlib

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import registry
from models.errors import DataUnusable
from models.scorers.scores import NEGATIVE, POSITIVE
from models.training.dataset import Labelled, drop_known, key, read
from models.training.train import TOKENS, fit, train, uncertain_below

TODAY = dt.date(2026, 1, 2)


def labelled(*rows):
    return Labelled([text for text, _ in rows], np.array([label for _, label in rows], np.int8))


def write(path, texts, labels, text="text", label="label"):
    pq.write_table(pa.table({text: texts, label: labels}), path)
    return path


@pytest.fixture
def data(tmp_path):
    """A folder with a few made-up texts under the names of the real sets."""
    rows = [
        (f"{word} {thing} number {number}", label)
        for word, label in (("awful", 0), ("ordinary", 1), ("great", 2))
        for thing in ("phone", "coffee", "train")
        for number in range(12)
    ]
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    for name in ("tse_train", "goemotions_train"):
        write(tmp_path / f"{name}.parquet", texts, labels)
    held_out = ["awful weather", "ordinary weather", "great weather", texts[0]]
    write(tmp_path / "tse_test.parquet", held_out, [0, 1, 2, 0])
    return tmp_path


def test_a_training_writes_an_artefact_that_loads_under_its_own_pin(data, tmp_path):
    # Given a few made-up texts, one of which is also held out
    said = []
    out = tmp_path / "out" / "mine.joblib"
    # When a model is trained
    manifest = train(data, out, seed=1, today=TODAY, say=said.append)
    # Then it loads under its pin, knows what it was taught, and left the held-out text out
    scorer = registry.load(out, manifest.sha256)
    assert scorer.score(["awful coffee", "great train"]).label.tolist() == [NEGATIVE, POSITIVE]
    assert registry.read_manifest(out) == manifest
    assert [source.rows for source in manifest.data] == [107, 107]
    assert manifest.quality.keys() == {"tse_test"}
    assert any("goemotions_dev" in line and "not measured" in line for line in said)
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.joblib", "mine.json"]


def test_the_same_seed_gives_the_same_bytes_on_any_day(data, tmp_path):
    # Given one set of data, when it is trained on twice, on two days
    first, second = tmp_path / "a.joblib", tmp_path / "b.joblib"
    for out, today in ((first, TODAY), (second, TODAY + dt.timedelta(days=1))):
        train(data, out, seed=1, today=today, say=lambda _: None)
    # Then the artefacts are one
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


def test_a_folder_without_a_set_to_measure_on_trains_nothing(data, tmp_path):
    # Given no held-out set
    (data / "tse_test.parquet").unlink()
    # When a model is to be trained, then it is refused and nothing is written
    with pytest.raises(DataUnusable, match="no model without a measured quality"):
        train(data, tmp_path / "mine.joblib", seed=1, today=TODAY, say=lambda _: None)
    assert not (tmp_path / "mine.joblib").exists()


def test_texts_that_are_known_repeated_or_contradicted_do_not_train():
    # Given texts with a held-out one, a repeat in another spelling, a contradiction and an empty one
    texts = labelled(
        ("Held OUT text!", 0), ("Good day", 2), ("good   day http://a.b @you", 2),
        ("so so", 0), ("So, so.", 2), ("@you http://a.b", 1), ("😂", 2),
    )  # fmt: skip
    # When they are cleaned
    kept = drop_known(texts, {key("held out: text")})
    # Then one of each is left, and emoji alone are a text
    assert kept.texts == ["Good day", "😂"]
    assert kept.labels.tolist() == [2, 2]


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 2)), max_size=30))
@settings(deadline=None)
def test_cleaned_texts_hold_no_link_no_name_and_no_key_twice(rows):
    # Given any texts, when they are cleaned
    kept = drop_known(
        labelled(*((f"{text} https://x.y/{text} @n", label) for text, label in rows)), {"known"}
    )
    # Then links and names are gone, and keys are unique
    keys = [key(text) for text in kept.texts]
    assert len(set(keys)) == len(keys)
    assert not {"", "known"} & set(keys)
    assert not any("https://" in text or "@n" in text for text in kept.texts)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I don't", ["i", "don", "t"]),
        ("@acme_help hi", ["hi"]),
        ("see http://a.b/c?d", ["see", "http://a.b/c?d"]),
        ("yes :) no :-( <3 :D", ["yes", ":)", "no", ":-(", "<3", ":d"]),
        ("what?! 😂👍🏽", ["what", "?", "!", "😂", "👍", "🏽"]),
        ("#fail, 9:30; naïve", ["fail", "9", "30", "naïve"]),
        ("これ。", ["これ"]),
    ],
)
def test_tokens_are_words_links_emoticons_and_emoji(text, tokens):
    # Given the vectorizer of a pipeline that was fitted as the shipped one is
    tokenize = fit(labelled(("a b", 0), ("a c", 1), ("a d", 2)))[0].build_tokenizer()
    # When a text is cut, then links and emoticons are whole, and @names are gone
    assert tokenize(text.lower()) == tokens


def test_the_shipped_model_was_made_by_this_code():
    # Given the shipped manifest, then its tokens are those of the code that trains
    assert registry.describe().manifest.training["token_pattern"] == TOKENS


def test_uncertain_is_where_less_than_half_of_the_answers_are_right():
    # Given answers that are right as often as they are confident, from 0.4 up
    confidence = np.linspace(0.4, 1.0, 6_001)
    right = np.random.default_rng(7).random(len(confidence)) < confidence
    # When the limit is chosen, and again where confidence means nothing
    limit = uncertain_below(confidence, right)
    capped = uncertain_below(confidence, np.zeros(len(confidence)))
    always = uncertain_below(confidence, np.ones(len(confidence)))
    # Then it is near one half but takes a tenth at most, and nothing where all are right
    assert limit == pytest.approx(0.46, abs=0.03)
    assert capped == 0.46
    assert always == 0.0


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [([0, 1, 2], [0, 1, 2]), (["Negative", "neutral", "POSITIVE"], [0, 1, 2]), (["2", "0", "1"], [2, 0, 1])],
)
def test_labels_are_numbers_or_names(tmp_path, labels, numbers):
    # Given a file with labels in either spelling and columns of other names
    path = write(tmp_path / "a.parquet", ["a", "b", "c"], labels, text="body", label="mood")
    # When it is read, then the labels are numbers
    assert read(path, "body", "mood").labels.tolist() == numbers


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a"], [3], "row 0: column 'label' holds '3'"),
        (["a", "b"], [1, None], "row 1: column 'label' holds 'None'"),
        (["a", None], [1, 1], "row 1: column 'text' holds no text"),
        ([5], [1], "row 0: column 'text' holds no text"),
        (pa.array([], pa.string()), pa.array([], pa.int8()), "has 0 rows"),
    ],
)
def test_a_file_that_holds_no_labelled_texts_is_refused_by_row(tmp_path, texts, labels, message):
    # Given a file with a wrong row, when it is read, then the error says which
    path = write(tmp_path / "a.parquet", texts, labels)
    with pytest.raises(DataUnusable, match=message):
        read(path)


def test_a_manifest_keeps_its_meaning_through_json():
    # Given the shipped manifest, when it is written and read again, then it is the same
    shipped = registry.describe().manifest
    assert msgspec.json.decode(msgspec.json.encode(shipped), type=registry.Manifest) == shipped
