"""Labelled texts: where they come from, under which licence, and how they are read and cleaned.

Rules:
1. What trains a model that is shipped is named with its licence (`ORIGINS`). Weights may ship where texts may
   not: an artefact of hashed n-grams holds no text, no word and no @name.
2. A text that also stands in a set held out never trains, however it is spelt.
3. No text of these sets lies in this repository.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import DataUnusable
from models.scorers.scores import CLASSES

ROWS_MAX: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class Origin:
    """A file of labelled texts, `<name>.parquet`, and what must be said of it."""

    name: str
    licence: str
    attribution: str


ORIGINS: Final = {
    origin.name: origin
    for origin in (
        Origin(
            "semeval_train",
            "none stated; posts are under the terms of X: weights may ship, texts may not",
            "SemEval 2013-2016, Task 2/4/10: Sentiment Analysis in Twitter, P. Nakov, S. Rosenthal, "
            "A. Ritter and others; @names and links replaced, duplicates and all of "
            "TweetEval's val and test dropped",
        ),
        Origin(
            "tse_train",
            "CC-BY-4.0",
            "Tweet Sentiment Extraction (Kaggle, 2020), tweets and labels from Figure Eight's Data for "
            "Everyone: Sentiment Analysis: Emotion in Text; "
            "https://www.kaggle.com/c/tweet-sentiment-extraction; "
            "changed: labels mapped to three classes",
        ),
        Origin(
            "goemotions_train",
            "Apache-2.0",
            "GoEmotions, D. Demszky et al., ACL 2020, Google Research; "
            "https://github.com/google-research/google-research/tree/master/goemotions; "
            "changed: comments of a single polarity only, 23 emotions and neutral mapped to three classes",
        ),
        Origin(
            "unlabelled_teacher",
            "mixed, the strictest CC-BY-NC-SA-4.0: weights may ship, texts may not",
            "texts of other TweetEval tasks, Tweet Sentiment Extraction, GoEmotions, entity tweets and "
            "Customer Support on Twitter, with the soft labels of a small transformer fitted on it",
        ),
        Origin(
            "variants",
            "as the texts they are of",
            "texts of semeval_train and unlabelled_teacher with links, names, hashtags, typos and "
            "apostrophes changed by this project",
        ),
        Origin(
            "signs",
            "as the texts they are of",
            "texts of semeval_train with emoji, emoticons and hashtags added by this project",
        ),
        Origin("sentences", "Apache-2.0", "made by this project: models/training/augment.py"),
        Origin(
            "languages",
            "BSD-2-Clause, BSD-3-Clause, MIT, Apache-2.0",
            "translations of Django, Django REST framework, django-allauth, Wagtail, Sphinx and Home "
            "Assistant, by their contributors, and the word lists of stopwords-iso, by Gene Diaz",
        ),
    )
}
"""What must be said of each source by its name."""

_LINK_OR_NAME: Final = re.compile(r"https?://\S+|@\w+")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """n texts and their labels (n,): 0 negative, 1 neutral, 2 positive."""

    texts: list[str]
    labels: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.texts)


def read(path: Path, text: str = "text", label: str = "label") -> Labelled:
    """Read a Parquet file. Labels are 0, 1, 2 or negative, neutral, positive. Raises DataUnusable."""
    table = _table(path, [text, label])
    return Labelled(_texts(path, text, table), _labels(path, label, table.column(label).to_pylist()))


def read_texts(path: Path, text: str = "text") -> list[str]:
    """Read one column of a Parquet file. Raises DataUnusable."""
    return _texts(path, text, _table(path, [text]))


def _table(path: Path, columns: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise DataUnusable(f"{path} has no column {missing[0]!r}; it has {file.schema_arrow.names}")
            if not 0 < file.metadata.num_rows <= ROWS_MAX:
                raise DataUnusable(f"{path} has {file.metadata.num_rows} rows; 1 to {ROWS_MAX} can be read")
            return file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataUnusable(f"{path} cannot be read as Parquet: {reason}") from error


def _texts(path: Path, column: str, table: pa.Table) -> list[str]:
    texts: list[Any] = table.column(column).to_pylist()
    bad = next((row for row, value in enumerate(texts) if not isinstance(value, str)), None)
    if bad is not None:
        raise DataUnusable(f"{path} row {bad}: column {column!r} holds no text")
    return texts


def read_held_out(data: Path, names: Sequence[str], say: Callable[[str], None]) -> dict[str, Labelled]:
    """Read the sets to measure on; one that is not there is said and left out. Raises DataUnusable."""
    found = {}
    for name in names:
        path = data / f"{name}.parquet"
        if path.exists():
            found[name] = read(path)
        else:
            say(f"{name}: no {path}, so it is not measured, and its texts cannot be left out")
    if not found:
        raise DataUnusable(f"{data} holds none of {', '.join(names)}; no model without a measured quality")
    return found


def key(text: str) -> str:
    """Return what two spellings of one text share: its words, lower-cased, without links and @names.

    A text without words is its own key: much is said by emoji alone.
    """
    bare = _LINK_OR_NAME.sub(" ", text.lower())
    return " ".join(_WORD.findall(bare)) or bare.strip()


def clean(text: str) -> str:
    """Return a text as a model may read it in training: without links and @names."""
    return _LINK_OR_NAME.sub(" ", text)


def drop_known(data: Labelled, known: Iterable[str]) -> Labelled:
    """Clean training texts: no links, no @names, nothing whose key is known, each key once.

    Keys with contradicting labels go altogether: the model would only learn that people disagree.
    """
    labels_of: dict[str, set[int]] = {}
    keys = [key(text) for text in data.texts]
    for one, label in zip(keys, data.labels.tolist(), strict=True):
        labels_of.setdefault(one, set()).add(label)
    used = {"", *known}
    kept: list[int] = []
    for row, one in enumerate(keys):
        if one not in used and len(labels_of[one]) == 1:
            kept.append(row)
        used.add(one)
    return Labelled([clean(data.texts[row]) for row in kept], data.labels[kept])


def join(parts: Sequence[Labelled]) -> Labelled:
    """Put sets of texts behind one another."""
    return Labelled(
        [text for part in parts for text in part.texts], np.concatenate([part.labels for part in parts])
    )


def _labels(path: Path, column: str, values: list[Any]) -> npt.NDArray[np.int8]:
    numbers = {name: number for number, name in enumerate(CLASSES)}
    numbers |= {str(number): number for number in range(len(CLASSES))}
    labels = np.empty(len(values), np.int8)
    for row, value in enumerate(values):
        number = numbers.get(str(value).lower())
        if number is None:
            raise DataUnusable(
                f"{path} row {row}: column {column!r} holds {str(value)[:40]!r}; "
                "a label is 0, 1, 2 or negative, neutral, positive"
            )
        labels[row] = number
    return labels
