"""A brand minute by minute: each alone, and with the four before it. Pure functions over what was read."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream_worker.api.brand_rows import net_fields, number_fields, rounded
from stream_worker.api.freshness import state_of_minute
from stream_worker.api.model_changes import ModelChange, models_at
from stream_worker.api.schemas import Minute, Nets, instant
from stream_worker.api.snapshot import MinuteTotals, PageSnapshot
from stream_worker.core.aggregates.encoding import ZEROS, Sums, add_sums
from stream_worker.core.sentiment.estimate import Estimate, MeasuredModel, estimates, is_by
from stream_worker.core.sentiment.net import coverage
from stream_worker.core.time import MINUTE_MS

FIVE: Final = 5
LEAD_MS: Final = (FIVE - 1) * MINUTE_MS
"""How far before a span reading must begin, for the last five of its first minutes."""


class MinuteSeries(NamedTuple):
    """What was read of a brand, by the start of the minute in ms."""

    tallies: Mapping[int, Sums]
    totals: Mapping[int, MinuteTotals]
    late: Mapping[int, int]
    changes: Sequence[ModelChange]

    def holds(self, start: int) -> bool:
        """Tell whether Redis holds the minute."""
        return start in self.tallies or start in self.totals

    def models(self, start: int) -> str | None:
        """Return the models that scored the minute, comma-separated."""
        totals = self.totals.get(start)
        return models_at(self.changes, start) if totals is None else totals.models or None


def minutes_of(
    series: MinuteSeries,
    first_ms: int,
    end_ms: int,
    final_ms: int,
    snapshot: PageSnapshot,
    measured: MeasuredModel | None,
) -> list[Minute]:
    """Return the minutes [first, end) that Redis holds, oldest first; `series` begins `LEAD_MS` earlier."""
    starts = [at for at in range(first_ms, end_ms, MINUTE_MS) if series.holds(at)]
    sums = [series.tallies.get(at, ZEROS) for at in starts]
    alone = estimates(sums, [is_by(measured, series.models(at)) for at in starts], measured)
    fives = _fives(series, starts, measured)
    return [
        _minute(start, series, final_ms, snapshot, estimate, fives.get(start))
        for start, estimate in zip(starts, alone, strict=True)
    ]


def _fives(
    series: MinuteSeries, starts: Sequence[int], measured: MeasuredModel | None
) -> dict[int, Estimate | None]:
    """Return the estimate over the five minutes that end with each, where Redis holds all five."""
    ends, tallies, by_measured = [], [], []
    for start in starts:
        five = range(start - LEAD_MS, start + 1, MINUTE_MS)
        if all(map(series.holds, five)):
            total = ZEROS
            for at in five:
                total = add_sums(total, series.tallies.get(at, ZEROS))
            ends.append(start)
            tallies.append(total)
            by_measured.append(
                all(is_by(measured, series.models(at)) for at in five if any(series.tallies.get(at, ())))
            )
    return dict(zip(ends, estimates(tallies, by_measured, measured), strict=True))


def _minute(
    start: int,
    series: MinuteSeries,
    final_ms: int,
    snapshot: PageSnapshot,
    alone: Estimate | None,
    five: Estimate | None,
) -> Minute:
    sums, totals = series.tallies.get(start, ZEROS), series.totals.get(start)
    late = series.late.get(start)
    state = state_of_minute(start, final_ms, snapshot, late or 0)
    return Minute(
        start=instant(start),
        state=state,
        final=start < final_ms,
        revision=late,
        complete=None if totals is None else totals.complete,
        coverage=rounded(coverage(sums)),
        model=series.models(start),
        last_five=None if five is None or state == "filling" else Nets(**net_fields(five)),
        **number_fields(sums, alone),
    )
