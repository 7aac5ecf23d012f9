"""`python -m models` from outside: stdout, stderr and exit codes."""

import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.cli import main
from tests.checkout import CHECKOUT


@pytest.fixture
def models():
    """Runs `python -m models` as a process of its own."""

    def run(*arguments):
        command = [sys.executable, "-W", "error", "-m", "models", *map(str, arguments)]
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)

    return run


@pytest.fixture
def models_here(monkeypatch, capsys):
    """Runs the same inside this process, which saves the imports; returns code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def rows(tmp_path):
    """A small file of texts that nobody could mistake, and one the model cannot know."""
    texts = ["I hate it, terrible", "the train leaves at nine", "thank you, great, love it", "これは最高です"]
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"body": texts, "mood": pa.array([0, 1, 2, 1], pa.int8())}), path)
    return path


def test_evaluate_prints_fractions_as_json(models, rows):
    # Given four labelled texts of which one has no known word
    # When the shipped model is evaluated on them
    done = models("evaluate", "--input", rows, "--text", "body", "--label", "mood", "--json")
    # Then stdout is one JSON object and stderr is silent
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["rows"] == 4
    assert answer["coverage"] == 0.75
    assert answer["accuracy"] == 0.75
    assert answer["macro_recall"] == pytest.approx((1 + 0.5 + 1) / 3, abs=1e-4)
    assert answer["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert 0 <= answer["ece"] <= 1
    assert 0 < answer["macro_f1"] < 1
    assert answer["texts_per_cpu_second"] > 0


def test_evaluate_prints_a_table_for_people(models_here, rows):
    # Given the same texts, when no JSON is asked for
    code, out, _ = models_here("evaluate", "--input", rows, "--text", "body", "--label", "mood")
    # Then there is a line for each figure and the confusion by class
    assert code == 0
    shown = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert shown["accuracy"] == ["0.75"]
    assert shown["negative"] == ["1", "0", "0"]
    assert shown["positive"] == ["0", "0", "1"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("evaluate", "--input", "nowhere.parquet"), 1, "nowhere.parquet cannot be read"),
        (("evaluate", "--input", "{rows}"), 1, "has no column 'text'"),
        (("evaluate",), 2, "--input"),
        (("evaluat",), 2, "evaluat"),
        ((), 2, "command"),
        (("train", "--out", "model.pkl"), 2, "<name>.joblib"),
        (("train", "--data", "nowhere", "--out", "{rows}.joblib", "--languages", "x"), 1, "nowhere holds"),
        (("train", "--recipe", "nowhere.yaml", "--out", "{rows}.joblib"), 1, "nowhere.yaml cannot be read"),
        (("evaluate", "--input", "{rows}", "--text", "body", "--label", "mood", "--model", "x"), 78, "no su"),
    ],
)
def test_an_error_is_one_line_on_stderr_and_a_code(models_here, rows, arguments, code, message):
    # Given a command that cannot be done
    # When it is run
    ended, out, err = models_here(*(argument.replace("{rows}", str(rows)) for argument in arguments))
    # Then its code says whose fault it is, and the last line of stderr what is wrong
    assert (ended, out) == (code, "")
    lines = err.splitlines()
    assert message in lines[-1]
    assert [line for line in lines if "error" in line] == [lines[-1]]


def test_help_is_on_stdout(models):
    # Given nothing, when help is asked for, then it is there and names the commands
    done = models("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(word in done.stdout for word in ("Usage: models", "train", "evaluate"))


def test_each_command_explains_its_options(models_here):
    # Given the commands, when help is asked for, then their options are named
    for command, option in (("train", "--data"), ("evaluate", "--input")):
        code, out, _ = models_here(command, "--help")
        assert (code, option in out) == (0, True)
