"""Reading and splitting of labelled texts, and training in miniature; the shipped model is not made here."""

import datetime as dt
import hashlib
import zlib

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import registry
from models.behaviour import suite
from models.errors import DataUnusable
from models.scorers.scores import NEGATIVE, POSITIVE, UNSCORED
from models.training.corpus import collect
from models.training.dataset import Labelled, drop_known, key, read
from models.training.recipe import Recipe, read_recipe
from models.training.split import first_half, held_out
from models.training.student import rounded
from models.training.train import train, uncertain_below
from tests.checkout import CHECKOUT

TODAY = dt.date(2026, 1, 2)
RECIPE = CHECKOUT / "config" / "models" / "sentiment-en.yaml"
FOREIGN = ["guten Tag zusammen", "das ist nicht richtig", "wir gehen nach Hause", "buna ziua la toti"]


def small(**changes):
    """The shipped recipe in miniature."""
    shipped = msgspec.to_builtins(read_recipe(RECIPE))
    shipped["features"] = {
        "words": {"ngrams": [1, 2], "buckets": 4096},
        "letters": {"ngrams": [2, 3], "buckets": 4096},
    }
    shipped["fit"] |= {"epochs": 20, "batch": 32, "learning_rate": 0.05}
    shipped["data"]["calibration"]["share"] = 0.3
    shipped["made"] = {
        "sentences": {"share": 0.001, "weight": 0.1},
        "changed": {"share": 0.1},
        "variants": {"rows": 10, "weight": 0.5},
        "signs": {"rows": 5, "weight": 0.5},
    }
    return msgspec.convert(shipped | changes, Recipe)


def labelled(*rows):
    return Labelled([text for text, _ in rows], np.array([label for _, label in rows], np.int8))


def write(path, texts, labels, text="text", label="label", **more):
    pq.write_table(pa.table({text: texts, label: labels, **more}), path)
    return path


def soft(labels, names):
    return {name: [0.8 if label == number else 0.1 for label in labels] for number, name in enumerate(names)}


def quiet(*_):
    """Say nothing, show no progress."""


def trained(recipe, data, out, foreign=None, today=TODAY, say=quiet):
    return train(recipe, data, foreign, out, today, say, quiet)


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
    write(tmp_path / "semeval_train.parquet", texts, labels, **soft(labels, ("t_neg", "t_neu", "t_pos")))
    pool = soft(labels, ("p_neg", "p_neu", "p_pos"))
    pq.write_table(pa.table({"text": texts, **pool}), tmp_path / "unlabelled_teacher.parquet")
    write(tmp_path / "tse_test.parquet", ["awful weather", "ordinary weather", texts[0]], [0, 1, 0])
    pq.write_table(pa.table({"text": FOREIGN * 20}), tmp_path / "foreign.parquet")
    return tmp_path


def test_a_training_writes_an_artefact_that_loads_under_its_own_pin(data, tmp_path):
    # Given a few made-up texts, one of which is also held out
    said = []
    out = tmp_path / "out" / "mine.joblib"
    # When a model is trained
    manifest = trained(small(), data, out, data / "foreign.parquet", say=said.append)
    # Then it loads under its pin, knows what it was taught, and keeps another language out
    scorer = registry.load(out, manifest.sha256)
    texts = ["awful coffee number 5", "great train number 7", "guten Tag nach Hause"]
    assert scorer.score(texts).label.tolist() == [NEGATIVE, POSITIVE, UNSCORED]
    assert registry.read_manifest(out) == manifest
    # And it was not taught what is held out, and says on what it was calibrated
    rows_of = {source.name: source.rows for source in manifest.data}
    assert 50 < rows_of["tse_train"] < 107
    assert rows_of["tse_train"] == rows_of["unlabelled_teacher"] == rows_of["semeval_train"]
    assert manifest.quality.keys() == {"tse_test", "semeval_train_held_out"}
    assert np.array(manifest.labels_by_truth).shape == (3, 5)
    assert np.sum(manifest.labels_by_truth) == manifest.training["calibrated_on_rows"]
    assert any("goemotions_dev" in line and "not measured" in line for line in said)
    assert sorted(path.name for path in out.parent.iterdir()) == ["mine.joblib", "mine.json"]


def test_the_same_recipe_gives_the_same_bytes_on_any_day_and_without_foreign_texts_no_gate(data, tmp_path):
    # Given one set of data, when it is trained on twice, on two days
    first, second = tmp_path / "a.joblib", tmp_path / "b.joblib"
    for out, today in ((first, TODAY), (second, TODAY + dt.timedelta(days=1))):
        manifest = trained(small(), data, out, today=today)
    # Then the artefacts are one, hold no address of this process's memory, and have three classes
    assert b"_stop_words_id" not in zlib.decompress(first.read_bytes())
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()
    assert (manifest.classes, manifest.unscored_from) == (["negative", "neutral", "positive"], None)
    assert registry.load(second, manifest.sha256).score(["great train"]).label.tolist() == [POSITIVE]


def test_a_folder_without_a_set_to_measure_on_trains_nothing(data, tmp_path):
    # Given no held-out set
    (data / "tse_test.parquet").unlink()
    # When a model is to be trained, then it is refused and nothing is written
    with pytest.raises(DataUnusable, match="no model without a measured quality"):
        trained(small(), data, tmp_path / "mine.joblib")
    assert not (tmp_path / "mine.joblib").exists()


def test_a_teacher_that_gives_no_probabilities_is_refused(data, tmp_path):
    # Given a pool whose labels do not sum to one
    columns = {name: [0.9, 0.9] for name in ("p_neg", "p_neu", "p_pos")}
    pq.write_table(pa.table({"text": ["a", "b"], **columns}), data / "unlabelled_teacher.parquet")
    # When a model is to be trained, then it says so
    with pytest.raises(DataUnusable, match="are not the probabilities of three classes"):
        trained(small(), data, tmp_path / "mine.joblib")


def test_no_sentence_of_the_suite_of_behaviour_teaches(data):
    # Given a training set that holds sentences of the suite, and all the sentences that are made
    asked = suite.texts(suite.cases(suite.load()))
    labels = [0] * len(asked)
    write(data / "tse_train.parquet", [*asked, "a text of its own"], [*labels, 1])
    recipe = small(
        made=msgspec.to_builtins(read_recipe(RECIPE).made) | {"sentences": {"share": 0.3, "weight": 1}}
    )
    # When everything is collected that would be learnt from
    corpus = collect(recipe, data, set(), None, quiet)
    # Then none of them is among it
    assert corpus.rows_of["tse_train"] < 20
    assert corpus.rows_of["sentences"] > 20_000
    assert not set(asked) & set(corpus.texts)
    keys = {key(text) for text in asked if len(key(text).split()) > 3}
    assert not keys & {key(text) for text in corpus.texts}


def test_no_brand_of_the_suite_is_in_the_lexicon():
    # Given the words that texts are made of
    lexicon = (RECIPE.parents[2] / "models" / "training" / "lexicon.toml").read_text(encoding="utf-8").lower()
    # Then the brands of the suite are not among them
    assert [brand for brand in suite.load().brands if brand.lower() in lexicon] == []


def test_a_split_depends_on_the_words_of_a_text_and_the_seed():
    # Given texts and one of them in another spelling
    texts = [f"text number {number}" for number in range(2_000)]
    hold = held_out(texts, 0.1, seed=5)
    # When they are split again, in another order and spelling, and by another seed
    again = held_out([f"@you TEXT number {number}!" for number in reversed(range(2_000))], 0.1, seed=5)
    other = held_out(texts, 0.1, seed=6)
    # Then the same texts are held out, about a tenth, and the seed makes another choice
    assert hold.tolist() == again[::-1].tolist()
    assert 150 < hold.sum() < 250
    assert (hold & other).sum() < hold.sum() / 2
    assert 900 < first_half(texts).sum() < 1_100


@given(st.floats(2.0**-100, 2.0**100, width=32), st.integers(1, 23))
def test_a_weight_keeps_so_many_bits_of_its_mantissa(weight, bits):
    # Given a weight, when it is rounded
    short = rounded(np.array([weight, -weight, 0.0], np.float32), bits)
    # Then it is near, its other bits are zero, and its sign and zero stay
    assert abs(float(short[0]) - weight) <= weight * 2.0 ** -(bits + 1)
    assert int(short.view(np.uint32)[0]) % (1 << (23 - bits)) == 0
    assert short[1] == -short[0]
    assert short[2] == 0.0


def test_texts_that_are_known_repeated_or_contradicted_do_not_train():
    # Given texts with a held-out one, a repeat in another spelling, a contradiction and an empty one
    texts = labelled(
        ("Held OUT text!", 0),
        ("Good day", 2),
        ("good   day http://a.b @you", 2),
        ("so so", 0),
        ("So, so.", 2),
        ("@you http://a.b", 1),
        ("😂", 2),
    )
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


def test_the_shipped_model_was_made_by_the_shipped_recipe():
    # Given the shipped manifest, then its recipe is the one of this repository
    recipe = hashlib.sha256(msgspec.json.encode(read_recipe(RECIPE))).hexdigest()
    assert registry.describe().manifest.training["recipe"] == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("epochs: 4", "epoches: 4"), "unknown field `epoches`"),
        (("pool:", "pol:"), "unknown field `pol`"),
        (("calibration: {name: semeval_train", "calibration: {name: other"), "names none"),
        (("[semeval_val, tse_test", "[semeval_val, tse_train"), "names a set twice"),
        (("v: 1", "v: 2"), "<= 1"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_by_name(tmp_path, change, message):
    # Given the shipped recipe with one mistake, when it is read, then the error names it
    path = tmp_path / "wrong.yaml"
    path.write_text(RECIPE.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    with pytest.raises(DataUnusable, match=message):
        read_recipe(path)


def test_uncertain_is_where_less_than_half_of_the_answers_are_right():
    # Given answers that are right as often as they are confident, from 0.45 up
    confidence = np.linspace(0.45, 1.0, 6_001)
    right = np.random.default_rng(7).random(len(confidence)) < confidence
    # When the limit is chosen, and again where confidence means nothing
    limit = uncertain_below(confidence, right)
    capped = uncertain_below(confidence, np.zeros(len(confidence)))
    always = uncertain_below(confidence, np.ones(len(confidence)))
    # Then it is near one half but takes a twentieth at most, and nothing where all are right
    assert limit == pytest.approx(0.47, abs=0.03)
    assert capped == 0.48
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
    assert msgspec.json.decode(msgspec.json.encode(shipped), type=registry.ModelManifest) == shipped
