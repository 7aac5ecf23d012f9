"""A brand minute by minute: each alone, and with the four before it. Pure functions over what was read."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from stream_worker.api.brand_rows import nets_of, numbers_of
from stream_worker.api.freshness import state_of_minute
from stream_worker.api.model_changes import Change, models_at
from stream_worker.api.schemas import Minute, Nets, instant
from stream_worker.api.snapshot import MinuteTotals, PageSnapshot
from stream_worker.core.aggregates.encoding import ZEROS, Sums, add_sums
from stream_worker.core.sentiment.estimate import Estimate, MeasuredModel, estimates, is_by
from stream_worker.core.sentiment.net import coverage
from stream_worker.core.time import MINUTE_MS

FIVE: Final = 5
LEAD_MS: Final = (FIVE - 1) * MINUTE_MS
"""What must be read before a span, for its first minutes' last five."""


class MinuteSeries(NamedTuple):
    """What was read of a brand: by start of the minute, ms."""

    tallies: Mapping[int, Sums]
    heads: Mapping[int, MinuteTotals]
    late: Mapping[int, int]
    changes: Sequence[Change]

    def knows(self, start: int) -> bool:
        """Say whether Redis holds the minute."""
        return start in self.tallies or start in self.heads

    def models(self, start: int) -> str | None:
        """Return who scored the minute, several with commas."""
        head = self.heads.get(start)
        return models_at(self.changes, start) if head is None else head.models or None


def minutes_of(
    read: MinuteSeries,
    first_ms: int,
    end_ms: int,
    final_ms: int,
    look: PageSnapshot,
    known: MeasuredModel | None,
) -> list[Minute]:
    """Return the minutes [first, end) that Redis holds, oldest first; `read` begins `LEAD_MS` earlier."""
    starts = [at for at in range(first_ms, end_ms, MINUTE_MS) if read.knows(at)]
    sums = [read.tallies.get(at, ZEROS) for at in starts]
    alone = estimates(sums, [is_by(known, read.models(at)) for at in starts], known)
    fives = _fives(read, starts, known)
    return [
        _minute(start, read, final_ms, look, of_it, fives.get(start))
        for start, of_it in zip(starts, alone, strict=True)
    ]


def _fives(
    read: MinuteSeries, starts: Sequence[int], known: MeasuredModel | None
) -> dict[int, Estimate | None]:
    """Return the estimate over the five minutes that end with each, where all five are known."""
    ends, tallies, by_known = [], [], []
    for start in starts:
        five = range(start - LEAD_MS, start + 1, MINUTE_MS)
        if all(map(read.knows, five)):
            total = ZEROS
            for at in five:
                total = add_sums(total, read.tallies.get(at, ZEROS))
            ends.append(start)
            tallies.append(total)
            by_known.append(
                all(is_by(known, read.models(at)) for at in five if any(read.tallies.get(at, ())))
            )
    return dict(zip(ends, estimates(tallies, by_known, known), strict=True))


def _minute(
    start: int,
    read: MinuteSeries,
    final_ms: int,
    look: PageSnapshot,
    alone: Estimate | None,
    five: Estimate | None,
) -> Minute:
    sums, head, late = read.tallies.get(start, ZEROS), read.heads.get(start), read.late.get(start)
    covered = coverage(sums)
    state = state_of_minute(start, final_ms, look, late or 0)
    return Minute(
        start=instant(start),
        state=state,
        final=start < final_ms,
        revision=late,
        complete=None if head is None else head.complete,
        coverage=None if covered is None else round(covered, 4),
        model=read.models(start),
        last_five=None if five is None or state == "filling" else Nets(**nets_of(five)),
        **numbers_of(sums, alone),
    )
