"""The report on a model: written from figures that are measured, with what fails in it."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import registry
from models.cli import main
from models.errors import DataUnusable
from models.reporting.baselines import scikit_defaults
from models.reporting.document import report
from models.training.dataset import read

TEXTS = ["I love it", "it is awful", "we open on Monday"] * 10
LABELS = [2, 0, 1] * 10


def written(folder, name):
    pq.write_table(pa.table({"text": TEXTS, "label": LABELS}), folder / f"{name}.parquet")


@pytest.fixture
def reported(tmp_path, monkeypatch):
    """The report on the shipped model over one held-out set of thirty texts, without VADER."""
    monkeypatch.setitem(sys.modules, "vaderSentiment", None)
    written(tmp_path, "semeval_val")
    written(tmp_path, "semeval_train")
    said = []
    model = registry.named(registry.SHIPPED)
    report(model, None, tmp_path, tmp_path / "REPORT.md", tmp_path / "images", said.append)
    return (tmp_path / "REPORT.md").read_text(), said, tmp_path


def test_it_holds_measured_figures_plots_and_what_fails(reported):
    text, _, folder = reported
    assert "| shipped | `semeval_val` | 30 |" in text
    assert (
        "| scikit-learn defaults | `semeval_val` | 30 | 1.000 |" in text
    )  # it was fitted on these very texts
    assert "texts per CPU-second" in text
    for name in ("confusion", "reliability", "quality-speed"):
        assert f"(images/model-{name}.svg)" in text
        assert (folder / "images" / f"model-{name}.svg").read_text().startswith("<?xml")
    assert "| sarcasm |" in text
    assert "* sarcasm, " in text


def test_what_is_not_there_is_said_and_left_out(reported):
    text, said, _ = reported
    assert any("tse_test" in line for line in said)
    assert any("VADER is not installed" in line for line in said)
    assert "`tse_test`" not in text
    assert "| VADER |" not in text


def test_a_folder_without_held_out_texts_is_an_error(tmp_path):
    with pytest.raises(DataUnusable, match="holds none of"):
        report(registry.named(registry.SHIPPED), None, tmp_path, tmp_path / "R.md", tmp_path, lambda _: None)


def test_the_defaults_of_scikit_learn_learn_what_they_are_shown(tmp_path):
    written(tmp_path, "some")
    scorer = scikit_defaults(read(tmp_path / "some.parquet"))
    assert scorer.score(TEXTS[:3]).label.tolist() == LABELS[:3]


def test_a_report_without_matplotlib_says_what_to_install(monkeypatch, capsys):
    # Given an installation without the extra
    monkeypatch.setitem(sys.modules, "models.reporting.document", None)
    monkeypatch.delitem(sys.modules, "models.reporting.figures", raising=False)
    monkeypatch.setattr(sys, "argv", ["models", "report"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 78
    assert "is not installed, and the report needs it: pip install '.[training]'" in capsys.readouterr().err
