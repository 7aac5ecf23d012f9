"""One pass over the rows of a day: counted again by hour, compared with live minute by minute.

Rules:
1. An object is read whole once (its sha256 wants every byte) and looked at in batches of its columns. In
   memory are the cells of one hour, the day's sums by hour, a few objects on their way, and the texts.
2. A duplicate is not counted, exactly as in the stream; duplicates are reported beside.
3. An object that is missing, damaged or another than its manifest names is a fault, with its name. The rest
   is read on, and the minutes of its hour are not compared.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa

from stream_worker.adapters.object_store.read_ahead import read_ahead
from stream_worker.core.archive.days import Day, DayListing, DayObject
from stream_worker.core.archive.layout import is_whole
from stream_worker.core.detection.share_detector import ShareState
from stream_worker.core.reconcile.cells import CellKind, Cells, Names, Recount
from stream_worker.core.reconcile.rows import RowBatch, read_batches
from stream_worker.core.records.batch import Bool, Int64
from stream_worker.core.time import HOUR_MS, MINUTE_MS
from stream_worker.daily.learning import ProfileLearner
from stream_worker.daily.live_day import LiveDay, LivePart
from stream_worker.daily.parity import NOT_IN_REDIS, UNREADABLE, Parity
from stream_worker.daily.repeated_texts import RepeatedTexts

OBJECTS_AHEAD: Final = 3
BRANDS_MAX, NETWORKS_MAX = 1_000_000, 4_096
"""So many are kept apart (one batch of rows may go past them)."""
Read = Callable[[str], bytes | None]
Progress = Callable[[int, int], None]
"""Takes how many rows of how many are done."""


class AllNames(Names):
    """Names as rows have them, up to a limit; further ones share the code 0."""

    def __init__(self, names_max: int) -> None:
        super().__init__()
        self._names_max = names_max

    def codes(self, names: Iterable[str]) -> Int64:
        """Return the codes of names; each new one gets one."""
        if len(self) < self._names_max:
            return np.array([self.add(name) for name in names], np.int64)
        return super().codes(names)


@dataclass(slots=True)
class DayCounts:
    """What the rows of a day were found to be."""

    day: Day
    networks: AllNames = field(default_factory=lambda: AllNames(NETWORKS_MAX))
    brands: AllNames = field(default_factory=lambda: AllNames(BRANDS_MAX))
    hours: dict[int, tuple[Cells, Cells]] = field(default_factory=dict)
    """Hour → cells by network and brand: what counts, and the duplicates."""
    texts: RepeatedTexts = field(default_factory=RepeatedTexts)
    rows: int = 0
    duplicates: int = 0
    models: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    learner: ProfileLearner[ShareState] | None = None


def recount(
    counts: DayCounts,
    listing: DayListing,
    read: Read,
    schema: pa.Schema,
    live: LiveDay | None,
    parity: Parity | None,
    progress: Progress,
) -> None:
    """Count a day again, into `counts`; with `live` compare it, into `parity`. Raises Unavailable."""
    day = counts.day
    counts.models.update(model for one in listing.objects for model in one.stored.model.split(","))
    counts.faults.extend(
        f"{name}: it is missing, though its manifest names it" for _, name in listing.missing
    )
    objects = deque(listing.objects)
    bodies = read_ahead([one.stored.name for one in listing.objects], read, OBJECTS_AHEAD)
    total = sum(one.stored.rows for one in listing.objects)
    for hour_ms in range(day.start_ms, day.end_ms, HOUR_MS):
        missing = any(of_hour_ms == hour_ms for of_hour_ms, _ in listing.missing)
        hour = _RecountedHour(hour_ms, counts, live, unusable=missing)
        while objects and objects[0].hour_ms == hour_ms:
            hour.take(objects.popleft(), next(bodies), schema)
            progress(counts.rows, total)
        counts.hours[hour_ms] = hour.counted.cells(), hour.duplicates.cells()
        if counts.learner is not None:
            counts.learner.take(hour_ms, hour.minutes.cells(), counts.brands, hour.evaluated_by)
        if parity is not None and live is not None:
            hour.compare(live, parity)


class _RecountedHour:
    """The recounts of one hour."""

    def __init__(self, hour_ms: int, counts: DayCounts, live: LiveDay | None, *, unusable: bool) -> None:
        self._hour_ms, self._counts, self._live = hour_ms, counts, live
        self.counted = Recount(by_minute=False, by_network=True)
        self.duplicates = Recount(by_minute=False, by_network=True)
        self.minutes = Recount(by_minute=True, by_network=False)  # for the learner
        self._unusable = unusable
        self._models: list[set[str]] = [set() for _ in range(60)]
        self.evaluated_by: list[set[str]] = [set() for _ in range(60)]  # models of what was on time
        self._above = np.zeros(60, np.int64)  # mentions above the cursor of Redis
        self._absent = np.zeros(60, np.int64)  # mentions of minutes that Redis does not hold
        self._parts: list[tuple[LivePart, Recount]] = [
            (
                part,
                Recount(
                    by_minute=part.kind != CellKind.HISTORY_OF_HOURS,
                    by_network=part.kind == CellKind.MINUTE,
                ),
            )
            for part in (live.parts(hour_ms) if live else ())
        ]

    def take(self, one: DayObject, body: bytes | None, schema: pa.Schema) -> None:
        """Check an object and count its rows."""
        fault = _fault(one, body)
        if not fault:
            assert body is not None
            try:
                for batch in read_batches(body, schema, self._counts.networks, self._counts.brands):
                    self._take_batch(one, batch)
                self._counts.texts.add(body)
            except (ValueError, pa.ArrowException, OSError) as error:
                fault = str(error)
        if fault:
            self._unusable = True
            self._counts.faults.append(f"{one.stored.name}: {fault}")

    def _take_batch(self, one: DayObject, batch: RowBatch) -> None:
        rows, counts = batch.rows, self._counts
        if (batch.event_times_ms // HOUR_MS != self._hour_ms // HOUR_MS).any():
            raise ValueError("it holds rows of another hour")
        counted = ~batch.duplicate
        counts.rows += len(counted)
        counts.duplicates += int(np.count_nonzero(batch.duplicate))
        self.counted.add(rows, counted)
        self.duplicates.add(rows, batch.duplicate)
        if counts.learner is not None:
            self.minutes.add(rows, counted)
            for code, model in enumerate(batch.models):
                used = counted & ~rows.late & (batch.model_codes == code)
                for minute in np.unique(rows.minutes[used]).tolist():
                    self.evaluated_by[minute].add(model)
        if self._live is not None:
            self._take_live(self._live, one, batch, counted)

    def _take_live(self, live: LiveDay, one: DayObject, batch: RowBatch, counted: Bool) -> None:
        """Count the rows as Redis does: by its names, and only below its cursors."""
        snapshot = live.snapshot
        rows, column = batch.rows, snapshot.column((one.log.name, one.partition))
        for code, model in enumerate(batch.models):
            for minute in np.unique(rows.minutes[batch.model_codes == code]).tolist():
                self._models[minute].add(model)
        named = replace(
            rows,
            networks=_recoded(rows.networks, self._counts.networks, snapshot.networks),
            brands=_recoded(rows.brands, self._counts.brands, snapshot.brands),
        )
        held_any, below_any = np.zeros(len(counted), np.bool_), np.zeros(len(counted), np.bool_)
        for part, recount_of_part in self._parts:
            held, below = snapshot.held_and_counted(part.kind, part.spilled, named, column)
            recount_of_part.add(named, counted & held & below)
            held_any |= held
            below_any |= held & below
        self._above += np.bincount(rows.minutes[counted & held_any & ~below_any], minlength=60)
        self._absent += np.bincount(rows.minutes[counted & ~held_any], minlength=60)

    def compare(self, live: LiveDay, parity: Parity) -> None:
        """Compare the hour, or say why some of it is not."""
        first = (self._hour_ms - live.day.start_ms) // MINUTE_MS
        held_any = np.zeros(60, np.bool_)
        for part, recount_of_part in self._parts:
            held: Bool = np.asarray(part.spilled.held.any(axis=1))
            held_any |= held
            if not self._unusable:
                scored = self._scored(live, parity, by_minute=part.kind == CellKind.MINUTE)
                parity.compare(
                    part.kind, self._hour_ms, recount_of_part.cells(), part.spilled.cells, held, scored
                )
        for number in range(60):
            if self._unusable:
                parity.explain(UNREADABLE, first + number, 0)
            elif not held_any[number] or self._absent[number]:
                reason = live.why_not_held(self._hour_ms + number * MINUTE_MS)
                parity.explain(reason, first + number, int(self._absent[number]))
            if self._above[number]:
                parity.explain(NOT_IN_REDIS, first + number, int(self._above[number]))

    def _scored(self, live: LiveDay, parity: Parity, *, by_minute: bool) -> Bool:
        """In which minutes rows and Redis name the same single model; history does not name any."""
        about = self._counts.models | {
            model for named in live.snapshot.models.values() for model in named.split(",") if model
        }
        if len(about) == 1:
            return np.ones(60, np.bool_)
        if about:
            parity.note("more than one model is about: where a minute has two, only its counts are compared")
        scored = np.zeros(60, np.bool_)
        for number in range(60) if by_minute else ():
            named = live.snapshot.models.get(self._hour_ms + number * MINUTE_MS, "")
            scored[number] = len(self._models[number]) == 1 and named in self._models[number]
        return scored


def _fault(one: DayObject, body: bytes | None) -> str:
    if body is None:
        return "it is missing, though its manifest names it"
    if not is_whole(one.stored, body):
        return "its bytes are not those that its manifest names (size or sha256)"
    return ""


def _recoded(codes: Int64, names: Names, admitted: Names) -> Int64:
    """Turn codes of the rows' names into those of Redis: 0 for what was not admitted."""
    table = admitted.codes(names.part(0, len(names)))
    found: Int64 = table[codes]
    return found
