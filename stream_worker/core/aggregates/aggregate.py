"""Fold: the columns of a micro-batch become one delta of integers.

Method: minute, network, brand and late are packed into one 64-bit key per row; one sort finds the cells, one
`bincount` per measure sums them. The sums stay exact: a batch has far fewer rows than float64 has integers.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from stream_worker.core.aggregates.measures import MEASURES, Delta
from stream_worker.core.records.batch import (
    NEGATIVE,
    NEUTRAL,
    POSITIVE,
    UNCERTAIN,
    UNSCORED,
    Flags,
    Int64,
    MentionBatch,
    ScoreColumns,
)
from stream_worker.core.records.watermark import window_starts_ms
from stream_worker.core.time import MINUTE_MS

INCREMENTS_MAX = 5_000
"""Increments of one apply call (docs/design.md#redis); a micro-batch with more is cut at an offset."""

TOTALS_PER_MINUTE = 2
"""Mentions of the minute, and mentions by model."""


def fold(columns: MentionBatch, flags: Flags, scores: ScoreColumns, model: str, rows: slice) -> Delta:
    """Fold the rows of a slice; duplicates are not counted."""
    counted = np.flatnonzero(~flags.duplicate[rows]) + (rows.start or 0)
    network_codes, networks = _codes(columns.networks, counted)
    brand_codes, brands = _codes(columns.brands, counted)
    minutes = window_starts_ms(columns.event_times_ms[counted]) // MINUTE_MS
    late = flags.late[counted]
    key = ((minutes * len(networks) + network_codes) * len(brands) + brand_codes) * 2 + late
    cells, cell_of = np.unique(key, return_inverse=True)
    label, voice = scores.label[counted], flags.voice[counted]
    columns_of_measures = {
        "n": None,
        "neg": label == NEGATIVE,
        "neu": label == NEUTRAL,
        "pos": label == POSITIVE,
        "uncertain": label == UNCERTAIN,
        "unscored": label == UNSCORED,
        "sum": scores.sentiment_micro[counted],
        "repeats": flags.copy[counted],
        "voices": voice,
        "neg_voices": voice & (label == NEGATIVE),
    }
    measures = np.empty((len(cells), len(MEASURES)), np.int64)
    for position, measure in enumerate(MEASURES):
        measures[:, position] = np.bincount(cell_of, columns_of_measures[measure], len(cells))
    cells, cell_late = cells >> 1, cells & 1
    cells, cell_brand = np.divmod(cells, max(len(brands), 1))
    cell_minute, cell_network = np.divmod(cells, max(len(networks), 1))
    return Delta(
        minutes_ms=cell_minute * MINUTE_MS,
        late=cell_late.astype(np.bool_),
        networks=[networks[i] for i in cell_network.tolist()],
        brands=[brands[i] for i in cell_brand.tolist()],
        measures=measures,
        model=model,
    )


def increments(delta: Delta) -> int:
    """Return how many increments the apply script does: every measure that is not zero, and the totals."""
    return int(np.count_nonzero(delta.measures)) + TOTALS_PER_MINUTE * len(set(delta.minutes_ms.tolist()))


def _codes(values: Sequence[str], rows: Int64) -> tuple[Int64, list[str]]:
    """Return a code for each of these rows, and the value of each code."""
    codes: defaultdict[str, int] = defaultdict()
    codes.default_factory = codes.__len__
    picked = [values[row] for row in rows.tolist()]
    return np.fromiter(map(codes.__getitem__, picked), np.int64, len(picked)), list(codes)
