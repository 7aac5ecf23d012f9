"""The teacher's run: fit it on gold texts, then let it give soft labels to the texts a student learns from.

Rules:
1. A text that also stands in a held-out set, however it is spelt, teaches nothing: neither fits the teacher
   nor is labelled. It is left out of what is written, as is a text of nothing but links and @names.
2. A gold text is labelled by a teacher that was not fitted on it, nor on another spelling of it
   (`label.folds` of the recipe; 0 gives this up).
3. Every fit and every chunk of labels is kept in OUT/parts as soon as it is there. The same command goes on
   where it was stopped; parts of another recipe or other data are refused, never mixed in.
4. Texts, order and columns of what is written are those of what was read; only the soft labels are new.
"""

import hashlib
import io
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import DataUnusable
from models.evaluate import Quality, judge
from models.progress import Progress
from models.scorers.scores import to_scores
from models.training.dataset import Labelled, clean, drop_known, key, read, read_held_out
from models.training.teacher_recipe import TeacherRecipe

GOLD_COLUMNS: Final = ("t_neg", "t_neu", "t_pos")
POOL_COLUMNS: Final = ("p_neg", "p_neu", "p_pos")
ALL: Final = -1
"""The fold that holds no gold text: its teacher is fitted on all of them."""

Probability = npt.NDArray[np.float32]
Label = Callable[[Sequence[str]], Probability]
Say = Callable[[str], None]


class Teacher(Protocol):
    """Learns from gold texts, then labels others; `BertTeacher` is the real one."""

    device: str
    libraries: dict[str, str]

    def fit(self, gold: Labelled, seed: int, done: Callable[[int, int], None]) -> bytes:
        """Fit on gold texts and return what was learnt."""

    def opened(self, learnt: bytes) -> Label:
        """Return a function of texts (n) to probabilities (n, 3)."""


class SoftLabelManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is written beside the labels, as `teacher.json`. `rows` are those labelled, by set."""

    recipe: TeacherRecipe
    rows_max: int | None
    device: str
    libraries: dict[str, str]
    fitted_on: int
    rows: dict[str, int]
    quality: dict[str, Quality]


@dataclass(frozen=True, slots=True)
class _Set:
    """A set to label: `rows` of its file and these as a table; its texts as a teacher reads them."""

    name: str
    rows: npt.NDArray[np.int64]
    table: pa.Table
    texts: list[str]
    keys: list[str]


def teach(
    recipe: TeacherRecipe,
    data: Path,
    out: Path,
    teacher: Teacher,
    rows_max: int | None,
    say: Say,
    progress: Progress,
) -> SoftLabelManifest:
    """Fit, measure, label; write `<set>.parquet` for gold and pool, and teacher.json. Raises DataUnusable.

    `rows_max` takes so many rows of each set, by chance and the recipe's seed: a trial before a long run.
    """
    if out.resolve() == data.resolve():
        raise DataUnusable(f"{out} is the folder of the data itself, whose labels would be replaced")
    held_out = read_held_out(data, recipe.data.held_out, say)
    known = {"", *(key(text) for part in held_out.values() for text in part.texts)}
    seed, sets = recipe.fit.seed, recipe.data
    gold = _read_set(data, sets.gold, known, rows_max, seed, say)
    labels = read(data / f"{sets.gold}.parquet").labels[gold.rows]
    pool = [_read_set(data, name, known, rows_max, seed, say) for name in sets.pool]
    parts = out / "parts"
    _claim(parts, recipe, data, rows_max)

    folds = folds_of(gold.keys, recipe.label.folds)
    opened = {}
    for fold in (ALL, *range(recipe.label.folds)):
        seen = _seen_by(fold, folds, gold.texts, labels)
        opened[fold] = teacher.opened(_fitted(parts, fold, seen, teacher, recipe, say, progress))
    quality = {name: _measure(opened[ALL], name, part, say) for name, part in held_out.items()}

    _label(gold, folds, opened, GOLD_COLUMNS, out, recipe, say, progress)
    for one in pool:
        nowhere = np.full(len(one.texts), ALL)
        _label(one, nowhere, opened, POOL_COLUMNS, out, recipe, say, progress)
    taught = SoftLabelManifest(
        recipe=recipe,
        rows_max=rows_max,
        device=teacher.device,
        libraries=teacher.libraries,
        fitted_on=len(_seen_by(ALL, folds, gold.texts, labels)),
        rows={one.name: len(one.texts) for one in (gold, *pool)},
        quality=quality,
    )
    _replace(out / "teacher.json", msgspec.json.format(msgspec.json.encode(taught)) + b"\n")
    return taught


def folds_of(keys: Sequence[str], folds: int) -> npt.NDArray[np.int64]:
    """Return the fold of each text, by its key alone: spellings of one text are never apart. 0: `ALL`."""
    if not folds:
        return np.full(len(keys), ALL)
    return np.array([zlib.crc32(one.encode("utf-8", "surrogatepass")) % folds for one in keys], np.int64)


def _seen_by(
    fold: int, folds: npt.NDArray[np.int64], texts: list[str], labels: npt.NDArray[np.int8]
) -> Labelled:
    """Return what the teacher of a fold is fitted on: the gold texts of all other folds, cleaned."""
    rows = np.arange(len(texts)) if fold == ALL else np.flatnonzero(folds != fold)
    return drop_known(Labelled([texts[row] for row in rows], labels[rows]), ())


def _read_set(data: Path, name: str, known: set[str], rows_max: int | None, seed: int, say: Say) -> _Set:
    path = data / f"{name}.parquet"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataUnusable(f"{path} cannot be read as Parquet: {reason}") from error
    if "text" not in table.schema.names:
        raise DataUnusable(f"{path} has no column 'text'; it has {table.schema.names}")
    texts = table.column("text").to_pylist()
    bad = next((row for row, text in enumerate(texts) if not isinstance(text, str)), None)
    if bad is not None:
        raise DataUnusable(f"{path} row {bad}: column 'text' holds no text")
    keys = [key(text) for text in texts]
    rows = np.array([row for row, one in enumerate(keys) if one not in known], np.int64)
    say(f"{name}: {len(rows)} texts to label; {len(texts) - len(rows)} held out or without a word left out")
    if rows_max is not None and rows_max < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, rows_max, replace=False))
        say(f"{name}: {rows_max} of them, by chance, for a trial")
    read_as = [clean(texts[row]) for row in rows]
    return _Set(name, rows, table.take(rows), read_as, [keys[row] for row in rows])


def _claim(parts: Path, recipe: TeacherRecipe, data: Path, rows_max: int | None) -> None:
    """Make the folder of parts this run's own, or find that it already is (rule 3)."""
    names = sorted({recipe.data.gold, *recipe.data.pool, *recipe.data.held_out})
    files = {name: data / f"{name}.parquet" for name in names}
    mine = msgspec.json.encode(
        {
            "recipe": recipe,
            "rows_max": rows_max,
            "data": {name: _sha256(path) for name, path in files.items() if path.exists()},
        }
    )
    claim = parts / "run.json"
    if not claim.exists():
        parts.mkdir(parents=True, exist_ok=True)
        _replace(claim, mine)
    elif claim.read_bytes() != mine:
        raise DataUnusable(
            f"{parts} holds parts of another recipe, other data or another --rows; "
            "give another --out, or remove that folder"
        )


def _fitted(
    parts: Path,
    fold: int,
    gold: Labelled,
    teacher: Teacher,
    recipe: TeacherRecipe,
    say: Say,
    progress: Progress,
) -> bytes:
    """Return what the teacher of a fold learnt, from its file if it was fitted before."""
    what = "all" if fold == ALL else f"without-{fold}"
    path = parts / f"teacher-{what}.safetensors"
    if path.exists():
        say(f"teacher {what}: fitted before, {path}")
        return path.read_bytes()
    if not len(gold):
        raise DataUnusable(f"teacher {what}: no gold text is left to fit it on")
    say(f"teacher {what}: fitting on {len(gold)} texts, {teacher.device}")
    started_s = time.perf_counter()
    learnt = teacher.fit(gold, recipe.fit.seed, lambda done, total: progress(f"fit {what}", done, total))
    say(f"teacher {what}: fitted in {time.perf_counter() - started_s:.0f} s")
    _replace(path, learnt)
    return learnt


def _measure(label: Label, name: str, part: Labelled, say: Say) -> Quality:
    started_s = time.process_time()
    probability = label([clean(text) for text in part.texts])
    cpu_s = max(time.process_time() - started_s, 1e-9)
    quality = judge(to_scores(probability.astype(np.float64), 0.0), part.labels, len(part) / cpu_s)
    say(f"{name}: macro recall {quality.macro_recall}, accuracy {quality.accuracy}, ECE {quality.ece}")
    return quality


def _label(
    one: _Set,
    folds: npt.NDArray[np.int64],
    opened: dict[int, Label],
    columns: tuple[str, str, str],
    out: Path,
    recipe: TeacherRecipe,
    say: Say,
    progress: Progress,
) -> None:
    """Label a set chunk by chunk, each row by the teacher of its fold, and write it with its new columns."""
    total, size = len(one.texts), recipe.label.chunk_rows
    pieces = [pa.table({column: pa.array([], pa.float32()) for column in columns})]
    started_s, new = time.perf_counter(), 0
    for start in range(0, total, size):
        path = out / "parts" / f"{one.name}-{start:09d}.parquet"
        if not path.exists():
            rows = np.arange(start, min(start + size, total))
            _write(path, _probabilities(one, rows, folds, opened, columns))
            new += len(rows)
        pieces.append(pq.read_table(path))
        progress(f"label {one.name}", min(start + size, total), total)
    table = one.table.drop_columns([name for name in columns if name in one.table.schema.names])
    for column, values in zip(columns, pa.concat_tables(pieces).columns, strict=True):
        table = table.append_column(column, values)
    _write(out / f"{one.name}.parquet", table)
    say(f"{one.name}: {total} labelled, {new} of them now, in {time.perf_counter() - started_s:.0f} s")


def _probabilities(
    one: _Set,
    rows: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
    opened: dict[int, Label],
    columns: tuple[str, str, str],
) -> pa.Table:
    probability = np.empty((len(rows), len(columns)), np.float32)
    for fold in np.unique(folds[rows]).tolist():
        here = folds[rows] == fold
        probability[here] = opened[fold]([one.texts[row] for row in rows[here]])
    return pa.table({column: probability[:, at] for at, column in enumerate(columns)})


def _write(path: Path, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    _replace(path, buffer.getvalue())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
