"""Texts in other languages, read from the files of installed packages."""

import json
import random
from importlib.metadata import DistributionFinder, MetadataPathFinder

import pyarrow.parquet as pq
import pytest

from models.errors import DataUnusable
from models.training import languages
from models.training.collect_languages import foreign_texts


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes a package with translations, as pip would have installed it, and nothing else."""

    def install(name, files):
        folder = tmp_path / "site"
        for path, content in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{path},,\n" for path in files))

    def find(name):
        context = DistributionFinder.Context(name=name, path=[str(tmp_path / "site")])
        for found in MetadataPathFinder.find_distributions(context):
            return found
        raise languages.PackageNotFoundError(name)

    monkeypatch.setattr(languages, "distribution", find)
    return install


def test_translations_of_installed_packages_are_gathered_and_english_is_not(installed, tmp_path):
    # Given a package with texts in two languages and in English
    texts = {"title": "Gerät hinzufügen", "more": {"deep": "<b>Bitte</b> {name} warten", "short": "ja"}}
    installed(
        "homeassistant",
        {
            "a/translations/de.json": json.dumps({**texts, "same": "Only in English"}),
            "a/translations/tr.json": json.dumps({"title": "Yeni cihaz ekle"}),
            "a/translations/en.json": json.dumps({"title": "Add device", "same": "Only in English"}),
        },
    )
    said = []
    # When texts are gathered
    languages.gather(tmp_path / "out", 1, said.append)
    # Then they are there without mark-up, with their language, source and licence
    table = pq.read_table(tmp_path / "out" / "languages.parquet").to_pylist()
    assert {row["text"]: row["lang"] for row in table} == {
        "Gerät hinzufügen": "de",
        "Bitte warten": "de",
        "Yeni cihaz ekle": "tr",
    }
    assert {(row["source"], row["licence"]) for row in table} == {("homeassistant", "Apache-2.0")}
    assert said[-1] == "3 texts in 2 languages"


def test_frequent_words_are_put_together_to_small_talk(installed, tmp_path):
    # Given a list of frequent words
    words = {"tr": ["bana", "için", "gibi", "kadar"], "en": ["the", "of"]}
    installed("stopwordsiso", {"stopwordsiso/stopwords-iso.json": json.dumps(words)})
    # When texts are gathered
    languages.gather(tmp_path / "out", 1, lambda _: None)
    # Then some are made of them, and none of English
    table = pq.read_table(tmp_path / "out" / "languages.parquet").to_pylist()
    assert len(table) > 100
    assert {row["lang"] for row in table} == {"tr"}


def test_without_packages_there_are_no_texts_and_a_training_has_no_gate(installed, tmp_path):
    # Given nothing installed, when texts are gathered, then it says what would be needed
    with pytest.raises(DataUnusable, match="install some of django"):
        languages.gather(tmp_path, 1, lambda _: None)
    # And a training is told that there are none
    said = []
    with foreign_texts(None, tmp_path, 1, said.append) as found:
        assert found is None
    assert "no language gate" in said[-1]


def test_texts_beside_the_data_are_taken_before_any_others(tmp_path):
    # Given a file in the folder of data, and one that is named
    beside, named = tmp_path / "languages.parquet", tmp_path / "named.parquet"
    beside.touch()
    # When a training looks for texts, then the named one comes first
    with foreign_texts(None, tmp_path, 1, print) as found:
        assert found == beside
    with foreign_texts(named, tmp_path, 1, print) as found:
        assert found == named


def test_no_language_drowns_the_others():
    # Given many texts of one language and a few of another
    limit = languages.TEXTS_OF_A_LANGUAGE_MAX
    texts = [languages.Foreign(f"t{number}", "de", "x") for number in range(limit + 50)]
    texts += [languages.Foreign(f"r{number}", "tr", "x") for number in range(5)]
    # When they are shared out, then there are no more than so many of one
    kept = languages._fair(texts, random.Random(1))
    assert sum(one.lang == "de" for one in kept) == limit
    assert sum(one.lang == "tr" for one in kept) == 5
