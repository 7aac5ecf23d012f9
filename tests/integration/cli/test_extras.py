"""Extras: what each brings, what is said where one is missing, and what runs without any."""

import re
import subprocess
import sys
import tomllib

import pytest

from stream_worker.cli import app
from stream_worker.extras import MODULES
from tests.checkout import CHECKOUT


@pytest.fixture
def without_daily(monkeypatch):
    """An installation that lacks the packages of `daily`."""
    for module in MODULES["daily"]:
        monkeypatch.setitem(sys.modules, module, None)


def refusal_of(capsys, monkeypatch, *arguments):
    """Run a command that ends with an error; its exit code and what stderr said."""
    monkeypatch.setattr(sys, "argv", ["stream-worker", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return ended.value.code, capsys.readouterr().err


def test_the_modules_of_an_extra_are_those_that_pyproject_installs():
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    named = {
        extra: tuple(re.match(r"[\w-]+", requirement)[0].replace("-", "_") for requirement in extras[extra])
        for extra in MODULES
    }

    assert named == MODULES
    assert extras["all"] == [f"stream-worker[{','.join(MODULES)}]"]


@pytest.mark.usefixtures("without_daily")
def test_daily_without_its_extra_says_what_to_install(capsys, monkeypatch):
    code, said = refusal_of(capsys, monkeypatch, "daily")

    assert code == 78
    packages = "jinja2, matplotlib, pandas"
    assert said == f"stream-worker: the daily report needs {packages}: pip install 'stream-worker[daily]'\n"


def test_only_what_is_missing_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)

    code, said = refusal_of(capsys, monkeypatch, "daily")

    assert (code, said) == (
        78,
        "stream-worker: the daily report needs pandas: pip install 'stream-worker[daily]'\n",
    )


@pytest.mark.usefixtures("without_daily")
def test_a_plot_of_the_backtest_without_the_extra_says_what_to_install(capsys, monkeypatch, tmp_path):
    (tmp_path / "counts.parquet").write_bytes(b"not read before the refusal")
    counts, plot = ("--counts", str(tmp_path / "counts.parquet")), ("--plot", str(tmp_path / "acme.svg"))

    code, said = refusal_of(capsys, monkeypatch, "alerts", "backtest", *counts, "--brand", "acme", *plot)

    assert code == 78
    assert "--plot needs jinja2, matplotlib, pandas: pip install 'stream-worker[daily]'" in said


WITHOUT_EXTRAS = f"""
import sys

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {[module for modules in MODULES.values() for module in modules]}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing)
"""


def test_worker_notifier_api_and_the_other_batch_commands_run_without_any_extra():
    # Given a process in which the packages of every extra are missing
    program = """
from stream_worker import supervisor
from stream_worker.admin import check, models
from stream_worker.api import server
from stream_worker.audit import service as audit
from stream_worker.backtest import compare_models, service as backtest
from stream_worker.notifier import process as notifier
from stream_worker.predict import pool, service as predict
from stream_worker.worker import process as worker
import numpy as np, pyarrow as pa
table = pa.table({"text": pa.array(["a", None], pa.string()), "count": np.arange(2)})
print(table.to_pylist(), "pandas" in sys.modules)
"""

    # When all is imported, and Arrow makes arrays, which is where it would import pandas
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS + program],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=CHECKOUT,
    )

    # Then
    assert ran.stdout.strip() == "[{'text': 'a', 'count': 0}, {'text': None, 'count': 1}] False"
