"""What is usual for a brand: the middle of its own windows of the last 48 hours.

Rules:
1. Windows of one length that begin every five minutes and end before the one that is compared with them.
2. A window that touches an episode teaches nothing: a crisis must not become usual while it lasts.
3. Below `WINDOWS_MIN` windows there is no answer, rather than a guess.
4. Like is compared with like: net sentiment as it is read off the labels, or as it is estimated from them.
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
BINS: Final = 48 * 60 // BIN_MINUTES
BIN_MS: Final = BIN_MINUTES * MINUTE_MS
WINDOWS_MIN: Final = 12
"""An hour of them, and the window that is compared."""
KNOWN_MIN: Final = 0.8
"""A window with fewer of its minutes known has a hole and is left out."""
SCORED_MIN: Final = 5
"""A window with fewer scored mentions has no net sentiment worth comparing."""

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
    """Low, median and high of what is estimated, where the errors of the model are known."""

    def on_scale(self, holds: Holds | None) -> "TypicalRange":
        """Return it with `net`, `low` and `high` on the scale of an estimate whose interval holds this."""
        if holds != BOTH or self.estimate is None:
            return self
        low, middle, high = self.estimate
        return self._replace(net=middle, low=low, high=high)


def bins_of(minutes: Mapping[int, Sums], end_ms: int) -> tuple[Int64, Int64]:
    """Add minutes up to five-minute bins that end with `end_ms`.

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


def usual(
    bins: Int64,
    known: Int64,
    end_ms: int,
    window_minutes: int,
    troubled: Sequence[tuple[int, int]] = (),
    errors: ConfusionMatrix | None = None,
) -> TypicalRange | None:
    """Return what is usual for windows of this length, 5 minutes or a multiple.

    `bins` and `known` as from `bins_of`; `troubled` are half-open ranges of episodes, ms; `errors` are those
    of the model. The last window is the one to compare and is left out. None when too little is known.
    """
    width = window_minutes // BIN_MINUTES
    sums = sliding_window_view(bins, width, axis=0).sum(axis=-1)[:-width]
    whole = sliding_window_view(known, width).sum(axis=-1)[:-width] >= KNOWN_MIN * window_minutes
    ends = end_ms - np.arange(BINS - width, width - 1, -1) * BIN_MS
    for first, last in troubled:
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
    low, middle, high = (float(value) for value in np.quantile(values, (0.05, 0.5, 0.95)))
    return low, middle, high
