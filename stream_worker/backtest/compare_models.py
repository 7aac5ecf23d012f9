"""Two models over the archive: labels that change, brands that shift, alerts that only one would give.

Rules:
1. One pass, batch by batch: both models score the same texts. Duplicates are left out, as in every count.
2. In memory are one object, a row of numbers per brand, the counts per brand and minute, a few examples.
3. Alerts come from the worker's own detector and episodes over the counts of each model, as if it had scored
   from the beginning; voices and late mentions are as the archive has them.
4. A sample is chosen by offset, so that it is the same for every pair of models. It has no alerts: a part of
   the voices is another stream.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import ModelRefused
from models.registry import load, named_and_pinned
from models.scorers.scores import Scorer, TextScores
from stream_worker.adapters.object_store.objects import Objects
from stream_worker.backtest import service
from stream_worker.backtest.counts import ARCHIVE_COLUMNS, BrandMinuteCounts
from stream_worker.bootstrap import open_archive_store
from stream_worker.core.archive.layout import parse_day_folder, parse_hour
from stream_worker.core.detection.replay import ReplayedEpisode
from stream_worker.core.records.batch import Int64
from stream_worker.core.sentiment.net import MICRO
from stream_worker.core.time import DAY_MS, HOUR_MS, day_start_ms
from stream_worker.errors import Misconfigured, Unreadable
from stream_worker.settings.schema import Settings

LABELS: Final = ("negative", "neutral", "positive", "uncertain", "unscored")
BATCH_ROWS: Final = 16_384
BRANDS_MAX: Final = 20_000
TEXT_CHARS_MAX: Final = 280
NO_END_MS: Final = 1 << 62
_COLUMNS: Final = (*ARCHIVE_COLUMNS, "offset", "text")
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_LABEL_COUNT = len(LABELS)
_CHANGES = _LABEL_COUNT * _LABEL_COUNT
Progress = Callable[[str, int, int], None]


class ComparisonOptions(NamedTuple):
    """The models and the span to compare. `from_ms` and `to_ms` are whole hours, half-open."""

    a: str
    b: str
    from_ms: int = 0
    to_ms: int = NO_END_MS
    sample: float = 1.0
    examples: int = 3


class Disagreement(NamedTuple):
    """A text on which the models disagree."""

    difference_micro: int
    brand: str
    text: str
    sentiments_micro: tuple[int, int]


@dataclass(slots=True)
class ModelComparison:
    """The outcome. A row of `brands`: 25 counts by (label of A, label of B), both sums of sentiment."""

    versions: tuple[str, str]
    rows: int = 0
    brands: dict[str, Int64] = field(default_factory=dict)
    examples: dict[tuple[int, int], list[Disagreement]] = field(default_factory=dict)
    episodes: tuple[list[ReplayedEpisode], list[ReplayedEpisode]] | None = None  # None: of a sample

    @property
    def changes(self) -> Int64:
        """How many rows of each label of A (first) have which label of B, (5, 5)."""
        total = sum(self.brands.values(), np.zeros(_CHANGES + 2, np.int64))
        return np.asarray(total[:-2].reshape(_LABEL_COUNT, _LABEL_COUNT))


def compare(settings: Settings, options: ComparisonOptions, progress: Progress) -> ModelComparison:
    """Score the archive by both models. Raises Misconfigured, Unavailable, Unreadable."""
    scorers = _scorer(settings, options.a), _scorer(settings, options.b)
    comparison = ModelComparison((scorers[0].version, scorers[1].version))
    counting = BrandMinuteCounts(), BrandMinuteCounts()
    for rows in _rows(Objects(open_archive_store(settings)), options, progress):
        texts = rows["text"].to_pylist()
        a, b = (scorer.score(texts) for scorer in scorers)
        _add_rows(comparison, rows, texts, a, b, options.examples)
        if options.sample >= 1:
            for one, scores in zip(counting, (a, b), strict=True):
                one.add(rows, pa.array(scores.label))
    if options.sample >= 1:
        of = settings.alerts.of
        first, second = (service.backtest(one.series(), of).episodes for one in counting)
        comparison.episodes = first, second
    return comparison


def on_archive(settings: Settings, archive: str | None) -> Settings:
    """Return the settings with another archive, a folder or a URL. Raises Misconfigured."""
    if archive is None:
        return settings
    if "://" not in archive:
        if not Path(archive).is_dir():
            raise Misconfigured(f"{archive} is neither a folder nor the URL of an archive")
        archive = Path(archive).resolve().as_uri()
    changed = settings.archive.model_copy(update={"url": archive})
    return settings.model_copy(update={"archive": changed})


def _scorer(settings: Settings, model: str) -> Scorer:
    path, pin = named_and_pinned(model)
    own = settings.model
    if pin is None and own.path is not None and path.resolve() == own.path.resolve():
        pin = own.pin
    try:
        return load(path, pin)
    except ModelRefused as refused:
        raise Misconfigured(str(refused)) from None


def _rows(objects: Objects, options: ComparisonOptions, progress: Progress) -> Iterator[pa.Table]:
    """Yield rows that are no duplicates, a batch at a time."""
    days = [folder for folder in objects.folders("") if _is_day_within(folder, options)]
    names = [name for day in days for name in objects.names(day) if _is_hour_within(name, options)]
    for number, name in enumerate(names):
        progress("objects", number, len(names))
        body = objects.read(name)
        if body is None:
            continue
        try:
            with pq.ParquetFile(pa.BufferReader(body)) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(_COLUMNS)):
                    rows = pa.Table.from_batches([batch])
                    rows = rows.filter(_selected(rows, options.sample))
                    if rows.num_rows:
                        yield rows
        except (pa.ArrowException, KeyError) as error:
            raise Unreadable(f"{name} of the archive is not readable as Parquet of ours ({error})") from None


def _is_day_within(folder: str, options: ComparisonOptions) -> bool:
    """Whether a folder is of a day that may have rows of the span."""
    date = parse_day_folder(folder)
    return date is not None and _overlaps(day_start_ms(date), DAY_MS, options)


def _is_hour_within(name: str, options: ComparisonOptions) -> bool:
    """Whether an object is of an hour that may have rows of the span."""
    hour_ms = parse_hour(name) if name.endswith(".parquet") else None
    return hour_ms is not None and _overlaps(hour_ms, HOUR_MS, options)


def _overlaps(start_ms: int, length_ms: int, options: ComparisonOptions) -> bool:
    return start_ms < options.to_ms and start_ms + length_ms > options.from_ms


def _selected(rows: pa.Table, sample: float) -> pa.Array:
    selected = ~rows["duplicate"].to_numpy()
    if sample < 1:
        spread = rows["offset"].to_numpy().astype(np.uint64) * _SPREAD
        selected &= (spread >> np.uint64(11)).astype(np.float64) < sample * 2.0**53
    return pa.array(selected)


def _add_rows(
    comparison: ModelComparison, rows: pa.Table, texts: list[str], a: TextScores, b: TextScores, examples: int
) -> None:
    encoded = rows["brand"].combine_chunks().dictionary_encode()
    brands = encoded.dictionary.to_pylist()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    label_a, label_b = a.label.astype(np.int64), b.label.astype(np.int64)
    changes = label_a * _LABEL_COUNT + label_b
    size = len(brands) * _LABEL_COUNT * _LABEL_COUNT
    counts = np.bincount(codes * _LABEL_COUNT * _LABEL_COUNT + changes, minlength=size).reshape(
        -1, _LABEL_COUNT * _LABEL_COUNT
    )
    sums = [
        np.rint(np.bincount(codes, of.sentiment_micro.astype(np.float64), len(brands))).astype(np.int64)
        for of in (a, b)
    ]
    for number, brand in enumerate(brands):
        name = brand if brand in comparison.brands or len(comparison.brands) < BRANDS_MAX else ""
        row = np.array([*counts[number], sums[0][number], sums[1][number]], np.int64)
        comparison.brands[name] = comparison.brands.get(name, 0) + row
    comparison.rows += len(texts)
    apart = np.abs(a.sentiment_micro.astype(np.int64) - b.sentiment_micro)
    for change in np.unique(changes[label_a != label_b]).tolist():
        at = np.flatnonzero(changes == change)
        for row_at in at[np.argsort(-apart[at], kind="stable")][:examples].tolist():
            both = int(a.sentiment_micro[row_at]), int(b.sentiment_micro[row_at])
            text = texts[row_at][:TEXT_CHARS_MAX]
            _keep(
                comparison,
                divmod(change, _LABEL_COUNT),
                Disagreement(int(apart[row_at]), brands[codes[row_at]], text, both),
                examples,
            )


def _keep(comparison: ModelComparison, change: tuple[int, int], example: Disagreement, most: int) -> None:
    """Keep the texts that are furthest apart, each once."""
    kept = comparison.examples.setdefault(change, [])
    if not any(one.text == example.text for one in kept):
        kept.append(example)
        kept.sort(key=lambda one: (-one.difference_micro, one.brand, one.text))
        del kept[most:]


def as_json(comparison: ModelComparison, options: ComparisonOptions) -> dict[str, Any]:
    """Return a comparison as JSON can hold it; brands whose net sentiment moved most come first."""
    changes = comparison.changes
    examples = [
        {
            "brand": one.brand,
            "text": one.text,
            "a": LABELS[a],
            "b": LABELS[b],
            "sentiment_a": one.sentiments_micro[0] / MICRO,
            "sentiment_b": one.sentiments_micro[1] / MICRO,
        }
        for (a, b), kept in sorted(comparison.examples.items(), key=lambda item: -changes[item[0]])
        for one in kept
    ]
    brands = [{"brand": brand, **_shift(row)} for brand, row in comparison.brands.items()]
    brands.sort(key=lambda one: (-abs(one["net_difference"] or 0.0), one["brand"]))
    return {
        "a": {"model": options.a, "version": comparison.versions[0]},
        "b": {"model": options.b, "version": comparison.versions[1]},
        "rows": comparison.rows,
        "sample": options.sample,
        "agree": round(float(np.trace(changes)) / comparison.rows, 4) if comparison.rows else None,
        "changes": {
            a: dict(zip(LABELS, row, strict=True)) for a, row in zip(LABELS, changes.tolist(), strict=True)
        },
        "brands": brands,
        "examples": examples,
        "alerts": None if comparison.episodes is None else _alerts(*comparison.episodes),
    }


def _shift(row: Int64) -> dict[str, Any]:
    counts, n = row[:-2].reshape(_LABEL_COUNT, _LABEL_COUNT), int(row[:-2].sum())
    shift: dict[str, Any] = {"mentions": n}
    nets = []
    for name, of, total in zip(
        "ab", (counts.sum(axis=1), counts.sum(axis=0)), row[-2:].tolist(), strict=True
    ):
        scored = n - int(of[-1])
        nets.append(total / MICRO / scored if scored else None)
        shift[f"share_{name}"] = {
            label: round(int(part) / n, 4) for label, part in zip(LABELS, of, strict=True)
        }
        shift[f"net_{name}"] = None if nets[-1] is None else round(nets[-1], 4)
    a, b = nets
    return shift | {"net_difference": None if a is None or b is None else round(b - a, 4)}


def _alerts(a: list[ReplayedEpisode], b: list[ReplayedEpisode]) -> dict[str, Any]:
    only_a, only_b = service.without_overlap(a, b), service.without_overlap(b, a)
    return {
        "a": len(a),
        "b": len(b),
        "only_a": service.as_rows(only_a),
        "only_b": service.as_rows(only_b),
    }
