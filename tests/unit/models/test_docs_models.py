"""docs/models.md says what the shipped manifest says."""

import re

from models import registry
from tests.checkout import CHECKOUT

DOCS = (CHECKOUT / "docs" / "models.md").read_text(encoding="utf-8")


def test_the_figures_in_the_docs_are_those_of_the_manifest():
    # Given the table of measured quality
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+) \|((?: [\d.]+ \|){6})$", DOCS, flags=re.MULTILINE)
    shown = {
        name: (int(count.replace(",", "")), *map(float, figures.strip(" |").split(" | ")))
        for name, count, figures in rows
    }
    # When the manifest is read, then every set is there with its figures
    assert shown == {
        name: (one.rows, one.macro_recall, one.accuracy, one.macro_f1, one.ece, one.coverage, one.uncertain)
        for name, one in registry.describe().manifest.quality.items()
    }


def test_the_docs_name_the_data_the_version_and_the_limits():
    # Given the shipped manifest
    described = registry.describe()
    # When the docs are read, then rows, version and the limit of doubt are those
    for source in described.manifest.data:
        assert f"| `{source.name}` | {source.rows:,} |" in DOCS
    assert described.version in DOCS
    assert f"({described.manifest.uncertain_below})" in DOCS
    assert f"**{described.manifest.libraries['scikit-learn']}**" in DOCS
