"""Texts in other languages, from translations that lie in installed packages: what the gate learns from.

Rules:
1. Only packages under a permissive licence are read, those of `PACKAGES`; one that is missing is left out.
2. Nothing of a package is run or imported: its files are read.
3. A text is kept once, without mark-up and placeholders, and only if its language is not English.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from gettext import GNUTranslations
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import DataUnusable

NAME: Final = "languages"
"""The file in the data folder is `<name>.parquet`: text, lang, source, licence."""

TEXTS_OF_A_LANGUAGE_MAX: Final = 6_000
LETTERS_MIN: Final = 4
CHARS_MAX: Final = 400

_NOISE: Final = re.compile(
    r"<[^>]*>|%\([^)]*\)[a-z]?|%[a-z\d]|\{[^}]*\}|https?://\S+|\[([^\]]*)\]\([^)]*\)|[*`_|&]|\\[nt]"
)
_LETTER: Final = re.compile(r"[^\W\d_]")


class Foreign(NamedTuple):
    """One text, the code of its language (`tr`, `pt-BR`), and the package it is from."""

    text: str
    lang: str
    source: str


class Package(NamedTuple):
    """A package to read, its licence, and how its texts are read."""

    name: str
    licence: str
    read: Callable[[Distribution], Iterator[Foreign]]


def gather(folder: Path, seed: int, say: Callable[[str], None]) -> None:
    """Write `languages.parquet` into a folder. Raises DataUnusable if no package is installed."""
    licences: dict[str, str] = {}
    found: dict[str, Foreign] = {}
    for package in PACKAGES:
        try:
            installed = distribution(package.name)
        except PackageNotFoundError:
            say(f"{package.name}: not installed, left out")
            continue
        before = len(found)
        for text in package.read(installed):
            found.setdefault(text.text.lower(), text)
        licences[package.name] = package.licence
        say(f"{package.name} {installed.version}: {len(found) - before} texts")
    if not found:
        names = " ".join(package.name for package in PACKAGES)
        raise DataUnusable(f"no texts of other languages: install some of {names}")
    kept = _fair(list(found.values()), Random(seed))  # noqa: S311  no secret is made here
    table = pa.table(
        {
            "text": [one.text for one in kept],
            "lang": [one.lang for one in kept],
            "source": [one.source for one in kept],
            "licence": [licences[one.source] for one in kept],
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{NAME}.parquet", compression="zstd")
    say(f"{len(kept)} texts in {len(set(table.column('lang').to_pylist()))} languages")


def clean(text: str) -> str | None:
    """Take mark-up and placeholders out; None if too little is left."""
    bare = " ".join(_NOISE.sub(r" \1 ", text).split())[:CHARS_MAX]
    return bare if len(_LETTER.findall(bare)) >= LETTERS_MIN else None


def _fair(texts: list[Foreign], random: Random) -> list[Foreign]:
    """Shuffle, and keep so many of each language that none drowns the others."""
    random.shuffle(texts)
    counted: Counter[str] = Counter()
    kept = []
    for one in texts:
        counted[one.lang] += 1
        if counted[one.lang] <= TEXTS_OF_A_LANGUAGE_MAX:
            kept.append(one)
    return kept


def _is_foreign(lang: str) -> bool:
    return not lang.lower().startswith("en")


def _kept(pairs: Iterable[tuple[str, str]], lang: str, source: str) -> Iterator[Foreign]:
    for original, translation in pairs:
        text = clean(translation)
        if text and translation != original:
            yield Foreign(text, lang, source)


def _catalogues(package: Distribution) -> Iterator[Foreign]:
    """Read `locale/<lang>/LC_MESSAGES/*.mo`."""
    for file in package.files or ():
        parts = PurePosixPath(file).parts
        if not file.name.endswith(".mo") or "LC_MESSAGES" not in parts:
            continue
        lang = parts[parts.index("LC_MESSAGES") - 1].replace("_", "-")
        if _is_foreign(lang):
            with Path(str(file.locate())).open("rb") as opened:
                catalogue: dict[Any, str] = GNUTranslations(opened)._catalog  # type: ignore[attr-defined]  # noqa: SLF001
            pairs = [
                (key if isinstance(key, str) else key[0], value) for key, value in catalogue.items() if key
            ]
            yield from _kept(pairs, lang, package.name.lower())


def _json_translations(package: Distribution) -> Iterator[Foreign]:
    """Read `translations/<lang>.json`: texts at the leaves."""
    for file in package.files or ():
        parts = PurePosixPath(file).parts
        if not file.name.endswith(".json") or parts[-2:-1] != ("translations",):
            continue
        lang = PurePosixPath(file).stem.split(".")[-1]
        if _is_foreign(lang):
            path = Path(str(file.locate()))
            original = path.with_name("en.json")
            english = set(_leaves(json.loads(original.read_bytes()))) if original.exists() else set()
            leaves = _leaves(json.loads(path.read_bytes()))
            yield from _kept(
                (("", leaf) for leaf in leaves if leaf not in english), lang, package.name.lower()
            )


def _stop_words(package: Distribution) -> Iterator[Foreign]:
    """Read the lists of frequent words, and put some together to what looks like small talk."""
    for file in package.files or ():
        if file.name != "stopwords-iso.json":
            continue
        random = Random(1)  # noqa: S311  no secret is made here
        for lang, words in json.loads(Path(str(file.locate())).read_bytes()).items():
            if _is_foreign(lang):
                for _ in range(SMALL_TALK):
                    text = " ".join(random.choices(words, k=random.randrange(3, 9)))
                    yield from _kept([("", text)], lang, package.name.lower())


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _leaves(one)


SMALL_TALK: Final = 600
PACKAGES: Final = (
    Package("django", "BSD-3-Clause", _catalogues),
    Package("djangorestframework", "BSD-3-Clause", _catalogues),
    Package("django-allauth", "MIT", _catalogues),
    Package("wagtail", "BSD-3-Clause", _catalogues),
    Package("sphinx", "BSD-2-Clause", _catalogues),
    Package("homeassistant", "Apache-2.0", _json_translations),
    Package("stopwordsiso", "MIT", _stop_words),
)
