"""The typical range of a brand: the middle of its own windows of the last 48 hours.

Rules:
1. Windows of one length begin every five minutes, and end before the window that is compared with them.
2. A window that overlaps an episode is left out: a crisis must not become typical while it lasts.
3. Below `WINDOWS_MIN` windows there is no range, rather than a guess.
4. Like is compared with like: plain net sentiment with plain, estimated with estimated.
This is a view for readers. The detector that decides on alerts keeps a baseline of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stream_worker.core.aggregates.encoding import Sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.records.batch import Int64
from stream_worker.core.sentiment.correction import ConfusionMatrix, Floats
from stream_worker.core.sentiment.estimate import BOTH, Holds
from stream_worker.core.sentiment.net import MICRO
from stream_worker.core.time import MINUTE_MS

BIN_MINUTES: Final = 5
HISTORY_MINUTES: Final = 48 * 60
BINS: Final = HISTORY_MINUTES // BIN_MINUTES
BIN_MS: Final = BIN_MINUTES * MINUTE_MS
WINDOWS_MIN: Final = 12
"""As many as begin within an hour."""
KNOWN_MIN: Final = 0.8
"""A window with fewer of its minutes known has a hole and is left out."""
SCORED_MIN: Final = 5
"""A window with fewer scored mentions has no net sentiment worth comparing."""

QUANTILES: Final = (0.05, 0.5, 0.95)
"""The median, and the ends of the middle 90 %."""

_N, _NEG = MEASURES.index("n"), MEASURES.index("neg")
_UNSCORED, _SUM, _REPEATS = MEASURES.index("unscored"), MEASURES.index("sum"), MEASURES.index("repeats")


class TypicalRange(NamedTuple):
    """Medians over the windows; `low` and `high` enclose the middle 90 % of net sentiment."""

    windows: int
    mentions: float
    copies_share: float
    net: float | None
    low: float | None
    high: float | None
    negative_share: float | None
    estimate: tuple[float, float, float] | None = None
    """Low, median and high of estimated net sentiment, where the errors of the model are known."""

    def on_scale(self, holds: Holds | None) -> "TypicalRange":
        """Return the range with `net`, `low` and `high` on the scale of an estimate with such an interval."""
        if holds != BOTH or self.estimate is None:
            return self
        low, middle, high = self.estimate
        return self._replace(net=middle, low=low, high=high)


def bins_of(minutes: Mapping[int, Sums], end_ms: int) -> tuple[Int64, Int64]:
    """Sum minutes into five-minute bins that end with `end_ms`.

    Returns the sums (576, 10), oldest first, and how many minutes of each bin are known (576).
    """
    starts = np.fromiter(minutes, np.int64, len(minutes))
    values = np.array(list(minutes.values()), np.int64).reshape(-1, len(MEASURES))
    at = BINS - 1 - (end_ms - 1 - starts) // BIN_MS
    inside = (at >= 0) & (at < BINS)
    sums = np.zeros((BINS, len(MEASURES)), np.int64)
    known = np.zeros(BINS, np.int64)
    np.add.at(sums, at[inside], values[inside])
    np.add.at(known, at[inside], 1)
    return sums, known


def typical_range(
    bins: Int64,
    known: Int64,
    end_ms: int,
    window_minutes: int,
    episodes: Sequence[tuple[int, int]] = (),
    errors: ConfusionMatrix | None = None,
) -> TypicalRange | None:
    """Return the typical range of windows of this length, 5 minutes or a multiple.

    `bins` and `known` as from `bins_of`; `episodes` are half-open ranges in ms; `errors` are those
    of the model. The last window is the one to compare and is left out. None when too little is known.
    """
    width = window_minutes // BIN_MINUTES
    sums = sliding_window_view(bins, width, axis=0).sum(axis=-1)[:-width]
    whole = sliding_window_view(known, width).sum(axis=-1)[:-width] >= KNOWN_MIN * window_minutes
    ends = end_ms - np.arange(BINS - width, width - 1, -1) * BIN_MS
    for first, last in episodes:
        whole &= (ends <= first) | (ends - window_minutes * MINUTE_MS >= last)
    sums = sums[whole]
    if len(sums) < WINDOWS_MIN:
        return None
    n = sums[:, _N]
    scored = n - sums[:, _UNSCORED]
    enough = scored >= SCORED_MIN
    copies = float(sums[:, _REPEATS].sum() / max(1, n.sum()))
    plain = TypicalRange(len(sums), float(np.median(n)), copies, None, None, None, None)
    if enough.sum() < WINDOWS_MIN:
        return plain
    low, middle, high = _range(sums[enough, _SUM] / MICRO / scored[enough])
    share = float(np.median(sums[enough, _NEG] / scored[enough]))
    estimate = None if errors is None else _range(errors.levels(sums[enough]))
    return plain._replace(net=middle, low=low, high=high, negative_share=share, estimate=estimate)


def _range(values: Floats) -> tuple[float, float, float]:
    low, middle, high = (float(value) for value in np.quantile(values, QUANTILES))
    return low, middle, high
