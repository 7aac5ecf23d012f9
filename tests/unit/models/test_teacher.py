"""The teacher: its recipe, what it labels and what it leaves out, and how a stopped run goes on."""

import hashlib
import importlib.util
import json
import sys

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from models.cli import main
from models.errors import DataUnusable, ModelRefused
from models.progress import LINE_EVERY_S, lines
from models.training.dataset import key
from models.training.teacher import ALL, folds_of, teach
from models.training.teacher_model import BertTeacher, batches, class_weights, rate_at
from models.training.teacher_recipe import TeacherRecipe, read_recipe
from tests.checkout import CHECKOUT

SHIPPED = CHECKOUT / "config/models/teacher-minilm.yaml"
CERTAIN = {"bad": (1.0, 0.0, 0.0), "good": (0.0, 0.0, 1.0)}
EXTRA = ("torch", "tokenizers", "safetensors")
NO_EXTRA = [name for name in EXTRA if importlib.util.find_spec(name) is None]
with_torch = pytest.mark.skipif(bool(NO_EXTRA), reason=f"the extra `teacher` lacks {', '.join(NO_EXTRA)}")


class WordTeacher:
    """Stands for the transformer: knows the words `bad` and `good`, and remembers what it was shown."""

    device = "paper"

    def __init__(self, stop_after=10**9):
        self.libraries = {"paper": "1"}
        self.fitted, self.labelled, self.stop_after = [], [], stop_after

    def fit(self, gold, seed, done):
        self.fitted.append(gold.texts)
        done(1, 1)
        return json.dumps(gold.texts).encode()

    def opened(self, learnt):
        own = set(json.loads(learnt))

        def label(texts):
            if len(self.labelled) >= self.stop_after:
                raise KeyboardInterrupt
            self.labelled.append(list(texts))
            rows = [CERTAIN.get(text.split()[0], (0.0, 1.0, 0.0)) for text in texts]
            # A text that it was fitted on is given away by probabilities that are a little off.
            return np.array(
                [np.full(3, 1 / 3) if t in own else row for t, row in zip(texts, rows, strict=True)], "f4"
            )

        return label


@pytest.fixture
def recipe():
    """The shipped recipe over two small sets, three rows at a time."""
    shipped = read_recipe(SHIPPED)
    return msgspec.structs.replace(
        shipped,
        label=msgspec.structs.replace(shipped.label, chunk_rows=3),
        data=msgspec.structs.replace(shipped.data, gold="gold", pool=["pool"], held_out=["held"]),
    )


@pytest.fixture
def data(tmp_path):
    """Gold, pool and held-out texts; some are also held out, or hold no word at all."""
    folder = tmp_path / "data"
    folder.mkdir()
    gold = [
        (f"{word} thing {n}", label) for word, label in (("bad", 0), ("so", 1), ("good", 2)) for n in range(4)
    ]
    gold += [("GOOD day!", 2), ("good thing 0 @someone https://a.b", 2), ("@nobody", 1)]
    texts, labels = [text for text, _ in gold], [label for _, label in gold]
    old = pa.array([9.0] * len(gold), pa.float32())
    pq.write_table(pa.table({"text": texts, "label": labels, "t_neu": old}), folder / "gold.parquet")
    pool = ["bad coffee @cafe", "good day", "plain", "good tea http://x.y", "https://only.link"]
    pq.write_table(pa.table({"src": list("abcde"), "text": pool}), folder / "pool.parquet")
    pq.write_table(pa.table({"text": ["good day", "bad day"], "label": [2, 0]}), folder / "held.parquet")
    return folder


def run(recipe, data, out, teacher=None, rows_max=None):
    said = []
    taught = teach(recipe, data, out, teacher or WordTeacher(), rows_max, said.append, lambda *_: None)
    return taught, said


def rows_of(path):
    return pq.read_table(path).to_pylist()


# ---- the recipe ----


def test_the_shipped_recipe_is_whole():
    # Given the shipped recipe, when it is read
    shipped = read_recipe(SHIPPED)
    # Then it names a set that may not be shipped for fitting only, and holds three out
    assert (shipped.encoder.layers, shipped.data.gold) == (2, "semeval_train")
    assert shipped.data.held_out == ["semeval_val", "tse_test", "goemotions_dev"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fit": {"epoch": 3}}, "unknown field `epoch`"),
        ({"fit": {"learning_rate": "fast"}}, "$.fit.learning_rate"),
        ({"label": {"folds": 1}}, "nothing to fit on"),
        ({"data": {"pool": ["semeval_val"]}}, "names a set twice"),
        ({"data": {"gold": "../secret"}}, "$.data.gold"),
        ({"encoder": {"module": "os.path"}}, "$.encoder.module"),
        ({"v": 2}, "$.v"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_with_its_place(tmp_path, change, reason):
    # Given the shipped recipe with one mistake
    tree = yaml.safe_load(SHIPPED.read_text())
    for name, value in change.items():
        tree[name] = tree[name] | value if isinstance(value, dict) else value
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tree))
    # When it is read, then the file and the place are named in one line
    with pytest.raises(DataUnusable) as refused:
        read_recipe(path)
    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"recipe {path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"v: [", b"\xff\xfe", b"x" * 70_000, b""])
def test_a_recipe_that_is_no_recipe_is_refused(tmp_path, content):
    # Given no file, or one that holds no YAML of ours, when it is read, then that is said
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataUnusable, match=r"mine\.yaml"):
        read_recipe(path)


# ---- what is labelled ----


def test_labels_come_as_columns_beside_what_was_there(recipe, data, tmp_path):
    # Given gold texts and a pool, some of which are held out or hold no word
    # When they are labelled
    taught, _ = run(recipe, data, tmp_path / "out")
    # Then the others are there, spelt and ordered as they were, and an old label is replaced
    pool = rows_of(tmp_path / "out/pool.parquet")
    assert [row["text"] for row in pool] == ["bad coffee @cafe", "plain", "good tea http://x.y"]
    assert pool[0] == {"src": "a", "text": "bad coffee @cafe", "p_neg": 1.0, "p_neu": 0.0, "p_pos": 0.0}
    gold = pq.read_table(tmp_path / "out/gold.parquet")
    assert gold.schema.names == ["text", "label", "t_neg", "t_neu", "t_pos"]
    assert gold.schema.field("t_neu").type == pa.float32()
    assert 9.0 not in gold.column("t_neu").to_pylist()
    assert taught.rows == {"gold": 13, "pool": 3}
    # And the figures of the held-out texts lie beside them
    written = msgspec.json.decode((tmp_path / "out/teacher.json").read_bytes())
    assert written["quality"]["held"]["macro_recall"] == 1.0
    assert written["recipe"]["fit"]["seed"] == recipe.fit.seed
    assert written["device"] == "paper"


def test_a_teacher_reads_no_link_no_name_and_nothing_held_out(recipe, data, tmp_path):
    # Given a teacher that remembers
    teacher = WordTeacher()
    # When it is fitted and labels
    run(recipe, data, tmp_path / "out", teacher)
    # Then no text it was fitted on is held out, twice there, or holds a link or a name
    for texts in teacher.fitted:
        assert {"good day", "bad day", ""}.isdisjoint(map(key, texts))
        assert len(set(map(key, texts))) == len(texts)
    read = [text for texts in teacher.fitted + teacher.labelled for text in texts]
    assert not any("http" in text or "@" in text for text in read)


def test_a_gold_text_is_labelled_by_a_teacher_that_never_saw_it(recipe, data, tmp_path):
    # Given a teacher that answers a third for each class on whatever it was fitted on
    run(recipe, data, tmp_path / "crossed")
    # When the gold texts are labelled with two folds, then no answer is such
    crossed = pq.read_table(tmp_path / "crossed/gold.parquet").column("t_neg").to_pylist()
    assert set(crossed) == {0.0, 1.0}
    # And without folds some are, so that this test can fail
    flat = msgspec.structs.replace(recipe, label=msgspec.structs.replace(recipe.label, folds=0))
    run(flat, data, tmp_path / "flat")
    answers = pq.read_table(tmp_path / "flat/gold.parquet").column("t_neg").to_pylist()
    assert any(0.3 < answer < 0.4 for answer in answers)


@given(words=st.lists(st.text(alphabet="ab ", min_size=1), min_size=1, max_size=30), folds=st.integers(2, 5))
def test_spellings_of_one_text_share_a_fold(words, folds):
    # Given texts and the same texts spelt otherwise
    keys = [key(text) for text in words]
    shouted = [key(f"@you {text.upper()} https://a.b") for text in words]
    # When they are dealt, then each pair is together, in a fold that exists
    dealt = folds_of(keys, folds)
    assert dealt.tolist() == folds_of(shouted, folds).tolist()
    assert set(dealt.tolist()) <= set(range(folds))
    assert set(folds_of(keys, 0).tolist()) == {ALL}


def test_a_trial_takes_so_many_rows_of_each_set(recipe, data, tmp_path):
    # Given a limit of rows, when the sets are labelled twice, then the same few rows are
    for name in ("one", "two"):
        taught, _ = run(recipe, data, tmp_path / name, rows_max=6)
        assert taught.rows == {"gold": 6, "pool": 3}
    assert rows_of(tmp_path / "one/gold.parquet") == rows_of(tmp_path / "two/gold.parquet")


# ---- a run that was stopped ----


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_a_stopped_run_goes_on_and_ends_with_the_same_labels(recipe, data, tmp_path, stop_after):
    # Given a run that was stopped after some calls of the teacher, and one that was not
    run(recipe, data, tmp_path / "whole", whole := WordTeacher())
    with pytest.raises(KeyboardInterrupt):
        run(recipe, data, tmp_path / "out", first := WordTeacher(stop_after))
    # When it is started again
    run(recipe, data, tmp_path / "out", second := WordTeacher())
    # Then nothing is fitted again, at most one chunk of two folds is labelled again, and the end is equal
    assert (len(first.fitted), second.fitted) == (3, [])
    held_out, chunk = 1, 2
    assert len(first.labelled) + len(second.labelled) <= len(whole.labelled) + held_out + chunk
    for name in ("gold.parquet", "pool.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_parts_of_another_run_are_never_mixed_in(recipe, data, tmp_path):
    # Given a run that is done
    run(recipe, data, tmp_path / "out")
    other = msgspec.structs.replace(recipe, fit=msgspec.structs.replace(recipe.fit, seed=1))
    # When another recipe, another number of rows or other data come to the same folder
    # Then that is refused
    with pytest.raises(DataUnusable, match="another recipe"):
        run(other, data, tmp_path / "out")
    with pytest.raises(DataUnusable, match="another --rows"):
        run(recipe, data, tmp_path / "out", rows_max=4)
    pq.write_table(pa.table({"text": ["good", "bad"]}), data / "pool.parquet")
    with pytest.raises(DataUnusable, match="other data"):
        run(recipe, data, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "table", "reason"),
    [
        ("held", None, "holds none of held"),
        ("pool", None, "cannot be read as Parquet"),
        ("pool", {"body": ["x"]}, "no column 'text'"),
        ("pool", {"text": ["x", None]}, "row 1"),
        ("gold", {"text": ["x"], "label": [7]}, "a label is 0, 1, 2"),
        ("gold", {"text": ["good day"], "label": [2]}, "no gold text is left"),
    ],
)
def test_data_that_cannot_be_used_are_refused_before_anything_is_fitted(
    recipe, data, tmp_path, name, table, reason
):
    # Given a set that is missing or is not what it should be
    (data / f"{name}.parquet").unlink()
    if table is not None:
        pq.write_table(pa.table(table), data / f"{name}.parquet")
    # When the teacher is run, then it says so and has fitted nothing
    teacher = WordTeacher()
    with pytest.raises(DataUnusable, match=reason):
        run(recipe, data, tmp_path / "out", teacher)
    assert teacher.fitted == []


def test_the_data_are_never_overwritten(recipe, data):
    # Given the folder of the data as --out, when the teacher is run, then it refuses
    with pytest.raises(DataUnusable, match="folder of the data"):
        run(recipe, data, data / "../data")


# ---- the transformer ----


@pytest.mark.parametrize("missing", EXTRA)
def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys, tmp_path, missing):
    # Given an installation that lacks one package of the extra
    for name in EXTRA:
        monkeypatch.setitem(sys.modules, name, sys)  # any module will do for those that are there
    monkeypatch.setitem(sys.modules, "safetensors.torch", sys)
    monkeypatch.setitem(sys.modules, missing, None)
    if missing == "safetensors":
        monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    monkeypatch.setattr(sys, "argv", ["models", "teach", "--recipe", str(SHIPPED), "--out", str(tmp_path)])
    # When the teacher is asked for
    with pytest.raises(SystemExit) as ended:
        main()
    # Then one line on stderr names the package and the way to it
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (78, "")
    assert err == (
        f"models: error: {missing} is not installed, and the teacher needs it: pip install '.[teacher]'\n"
    )


@given(lengths=st.lists(st.integers(1, 44), max_size=300), size=st.integers(1, 16), seed=st.integers(0, 99))
def test_every_text_is_in_one_batch_an_epoch(lengths, size, seed):
    # Given texts of any length, when an epoch is cut in batches, then each text is there once
    cut = list(batches(lengths, size, np.random.default_rng(seed)))
    assert sorted(row for batch in cut for row in batch) == list(range(len(lengths)))
    assert all(0 < len(batch) <= size for batch in cut)


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing():
    # Given a hundred steps of which ten warm up, when the rate is asked for at each
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    # Then it rises, is whole once, falls, and is never nothing while there is something to learn
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(rates) == rates[9] == 1.0
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.02
    assert 0 < rate_at(0, 1, 0.0) <= 1


def test_a_rare_class_weighs_more_and_power_nought_makes_all_equal():
    # Given one negative, two neutral and three positive texts, when they are weighed, then so
    labels = np.array([0, 1, 1, 2, 2, 2])
    assert class_weights(labels, 1.0).tolist() == [2.0, 1.0, 2 / 3]
    assert class_weights(labels, 0.0).tolist() == [1.0, 1.0, 1.0]


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A recipe for an encoder of two small layers, made here, in a package of its own."""
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from torch import Generator, ones, randn, zeros

    folder = tmp_path / "site/tiny_encoder/model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('a package of weights is never run')")
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "bad", "good", "so", "it", "is"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[UNK] $A", special_tokens=[("[UNK]", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    shape = {"model_type": "bert", "hidden_act": "gelu", "hidden_size": 8, "num_attention_heads": 2}
    shape |= {
        "num_hidden_layers": 2,
        "max_position_embeddings": 16,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(shape))
    chance = Generator().manual_seed(1)
    sizes = {"word": len(words), "position": 16, "token_type": 2}
    weights = {f"embeddings.{of}_embeddings.weight": randn(n, 8, generator=chance) for of, n in sizes.items()}
    dense = {f"attention.self.{of}": (8, 8) for of in ("query", "key", "value")}
    dense |= {"attention.output.dense": (8, 8), "intermediate.dense": (16, 8), "output.dense": (8, 16)}
    for at in ("encoder.layer.0.", "encoder.layer.1."):
        for name, (wide, deep) in dense.items():
            weights[f"{at}{name}.weight"] = randn(wide, deep, generator=chance) * 0.3
            weights[f"{at}{name}.bias"] = zeros(wide)
    norms = [f"encoder.layer.{layer}.{of}output" for layer in (0, 1) for of in ("attention.", "")]
    for at in ("embeddings", *norms):
        weights |= {f"{at}.LayerNorm.weight": ones(8), f"{at}.LayerNorm.bias": zeros(8)}
    save_file(weights, folder / "model.safetensors")
    monkeypatch.syspath_prepend(folder.parents[1])
    pin = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    tree = yaml.safe_load(SHIPPED.read_text())
    tree["encoder"] |= {"module": "tiny_encoder", "weights_sha256": pin, "tokens_max": 16}
    tree["fit"] |= {"epochs": 40, "batch": 4, "learning_rate": 0.01, "dropout": 0.0}
    return msgspec.convert(tree, TeacherRecipe)


@with_torch
def test_a_real_encoder_learns_labels_and_is_the_same_again(tiny):
    # Given a tiny encoder, and texts that one word decides
    from models.training.dataset import Labelled

    gold = Labelled(
        ["bad it is", "it is so", "good it is", "so bad", "so so", "so good"], np.array([0, 1, 2] * 2)
    )
    steps = []
    teacher = BertTeacher(tiny)
    # When it is fitted twice from one seed
    learnt = teacher.fit(gold, 1, lambda done, total: steps.append((done, total)))
    label = teacher.opened(learnt)
    # Then what it learnt is equal to the last byte and holds no frozen embedding
    assert teacher.fit(gold, 1, lambda *_: None) == learnt
    assert b"encoder.layer.1." in learnt
    assert b"embeddings" not in learnt
    assert steps[-1] == (80, 80)
    # And it knows what it was taught, in probabilities, whatever else is in the batch
    texts = ["it is bad", "it is good", "it is so", "", "\ud800", "good " * 100]
    answer = label(texts)
    assert answer.argmax(axis=1)[:3].tolist() == [0, 2, 1]
    assert answer.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    assert np.concatenate([label([text]) for text in texts]) == pytest.approx(answer, abs=1e-5)


@with_torch
@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        ({"weights_sha256": "0" * 64}, "not the recipe's encoder.weights_sha256"),
        ({"layers": 3}, "encoder.layers is 3, the encoder has 2"),
        ({"tokens_max": 17}, "encoder.tokens_max is 17"),
        ({"folder": "elsewhere"}, "cannot be read"),
        ({"module": "no_such_encoder"}, "no-such-encoder is not installed"),
    ],
)
def test_weights_that_are_not_those_of_the_recipe_are_refused(tiny, encoder, reason):
    # Given a recipe that asks for what is not there
    wrong = msgspec.structs.replace(tiny, encoder=msgspec.structs.replace(tiny.encoder, **encoder))
    # When the teacher is made, then it says so
    with pytest.raises(ModelRefused, match=reason):
        BertTeacher(wrong)


# ---- progress ----


def test_progress_without_a_terminal_is_a_line_now_and_then():
    # Given a clock that is moved by hand
    now_s, said = [0.0], []
    progress = lines(said.append, lambda: now_s[0])
    # When something is done every ten seconds for a minute and a bit
    for done in range(1, 8):
        now_s[0] += LINE_EVERY_S / 3
        progress("label pool", done, 7)
    # Then two lines are said
    assert said == ["label pool: 3 of 7", "label pool: 6 of 7"]
