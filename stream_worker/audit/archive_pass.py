"""Reading the rows of the archive, hour by hour, and comparing them with manifests and Redis.

Rules:
1. Each object is read once, whole (its sha256 wants every byte), and looked at in batches of its columns.
2. One event hour at a time: what is in memory is bounded by the cells of an hour, a few objects on their way,
   and one bit for each offset.
3. A fault of an object is reported with its name; the cells of its hour are then not compared, since they
   would only report the same again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from stream_worker.adapters.object_store.read_ahead import read_ahead
from stream_worker.adapters.redis.spilled_snapshot import Progress, SpilledCells, SpilledSnapshot
from stream_worker.core.archive.layout import StoredObject, chunk_of, is_whole, parse_rows_name
from stream_worker.core.reconcile.cells import CellKind, Names, Recount
from stream_worker.core.reconcile.compare import CellComparison, LostOffsets
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import ArchivedChunk, PlanLogReading
from stream_worker.core.reconcile.rows import OffsetBitmap, RowBatch, read_batches
from stream_worker.core.records.batch import Bool
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.quantity import quantity

OBJECTS_AHEAD: Final = 4


class ListedObject(NamedTuple):
    """One object that a manifest names."""

    hour_ms: int
    column: int  # index of its plan log, and column of its partition in limits
    chunk: ArchivedChunk
    stored: StoredObject


class RowsPass:
    """One pass over all rows; `snapshot` None: Redis is not compared. Its columns are those of `plan_logs`.

    `lost_besides`: offsets that Redis has counted and no plan log will ever have.
    """

    def __init__(
        self,
        plan_logs: Sequence[PlanLogReading],
        snapshot: SpilledSnapshot | None,
        findings: Findings,
        schema: pa.Schema,
        read: Callable[[str], bytes | None],
        lost_besides: int = 0,
    ) -> None:
        self.seen = [_seen(plan_log) for plan_log in plan_logs]
        self.expired = [0] * len(plan_logs)
        self._removed: set[int] = set()  # days whose rows a lifecycle rule has removed
        self._plan_logs, self._snapshot, self._findings = plan_logs, snapshot, findings
        self._schema, self._read = schema, read
        self._networks = snapshot.networks if snapshot else Names()
        self._brands = snapshot.brands if snapshot else Names()
        lost = sum(chunk.outcomes.lost for plan_log in plan_logs for chunk in plan_log.chunks) + lost_besides
        self._lost = {kind: LostOffsets(lost) for kind in CellKind}
        self._models = {
            stored.model for plan_log in plan_logs for chunk in plan_log.chunks for stored in chunk.objects
        }

    def run(self, stored_names: set[str], progress: Progress) -> None:
        """Read and compare all; `stored_names` are those of the objects in the store."""
        for start_ms, fault in self._snapshot.faults if self._snapshot else ():
            self._findings.differ("minute's totals", f"minute hash {start_ms}", "the sum of its cells", fault)
        listed = self._listed(stored_names)
        rows = sum(one.stored.rows for one in listed)
        hours = sorted(
            {one.hour_ms for one in listed} | (self._snapshot.hours() if self._snapshot else set())
        )
        bodies = read_ahead([one.stored.name for one in listed], self._read, OBJECTS_AHEAD)
        done = 0
        for hour_ms in hours:
            hour = _AuditedHour(hour_ms, self._snapshot)
            while listed and listed[0].hour_ms == hour_ms:
                one, body = listed.popleft(), next(bodies)
                if not self._take(one, body, hour):
                    one.chunk.unread, hour.unusable = True, True
                done += one.stored.rows
                progress("rows", done, rows)
            if self._snapshot and not hour.unusable and hour_ms // DAY_MS not in self._removed:
                self._compare(hour, self._snapshot)

    def _listed(self, stored_names: set[str]) -> deque[ListedObject]:
        """All objects of the manifests, by hour; those of days that a lifecycle rule removed are left out."""
        found = []
        for column, plan_log in enumerate(self._plan_logs):
            for chunk in plan_log.chunks:
                for stored in chunk.objects:
                    rows = parse_rows_name(stored.name)
                    if rows is None or rows.chunk != chunk_of(plan_log.log, plan_log.partition, chunk.plan):
                        chunk.unread = True
                        self._findings.differ(
                            "object's name", stored.name, "one of its chunk", plan_log.where(chunk)
                        )
                        continue
                    found.append(ListedObject(rows.hour_ms, column, chunk, stored))
        found.sort(key=lambda one: (one.hour_ms, one.column, one.stored.name))
        removed = self._removed = _removed_days(found, stored_names)
        for one in found:
            one.chunk.unread |= one.hour_ms // DAY_MS in removed
        if removed:
            days = quantity(len(removed), "day")
            self._findings.note(f"rows of {days}: no longer in the store, removed by age")
        return deque(one for one in found if one.hour_ms // DAY_MS not in removed)

    # ------------------------------------------------------------ one object

    def _take(self, one: ListedObject, body: bytes | None, hour: "_AuditedHour") -> bool:
        """Check an object and recount its rows; False: it is unusable, and that was reported."""
        name, stored = one.stored.name, one.stored
        if body is None:
            self._findings.differ("object", name, "to be in the store, as its manifest says", "it is missing")
            return False
        if not is_whole(stored, body):
            expected = f"{stored.bytes} bytes with sha256 {stored.sha256[:16]}…"
            found = f"{len(body)} with {sha256(body).hexdigest()[:16]}…"
            self._findings.differ("object's sha256", name, expected, found)
        rows, models = 0, set[str]()
        try:
            for batch in read_batches(body, self._schema, self._networks, self._brands):
                rows += len(batch.duplicate)
                models |= set(batch.models)
                if not self._take_batch(one, batch, hour):
                    return False
        except ValueError as error:
            self._findings.differ("object's rows", name, f"{quantity(stored.rows, 'row')} of schema 1", error)
            return False
        if rows != stored.rows:
            self._findings.differ("object's rows", name, f"{stored.rows}, as its manifest says", rows)
        if ",".join(sorted(models)) != stored.model:
            self._findings.differ("object's model", name, stored.model, ",".join(sorted(models)))
        return True

    def _take_batch(self, one: ListedObject, batch: RowBatch, hour: "_AuditedHour") -> bool:
        plan_log, chunk, seen = self._plan_logs[one.column], one.chunk, self.seen[one.column]
        offsets = batch.rows.offsets
        coordinates = (batch.topics, batch.partitions, np.unique(batch.event_times_ms // HOUR_MS).tolist())
        inside = bool(((offsets >= chunk.plan.start) & (offsets < chunk.plan.end)).all())
        expected = ([plan_log.log.topic], [plan_log.partition], [one.hour_ms // HOUR_MS])
        if coordinates != expected or not inside:
            self._findings.differ(
                "rows' place", one.stored.name, "only rows of its partition, range and hour", "others"
            )
            return False
        for offset in seen.add(offsets).tolist():
            where = f"{plan_log.name}, offset {offset}"
            self._findings.differ("rows twice", where, "one row", f"another one in {one.stored.name}")
        chunk.rows += len(offsets)
        chunk.duplicates += int(np.count_nonzero(batch.duplicate))
        chunk.late += int(np.count_nonzero(batch.rows.late))
        reached_ms = np.minimum(batch.event_times_ms, batch.record_times_ms).max()
        chunk.reached_ms = max(chunk.reached_ms, int(reached_ms))
        if self._snapshot:
            complete_from_ms = self._snapshot.position.complete_from_ms
            expired = ~batch.duplicate & (batch.event_times_ms < complete_from_ms)
            self.expired[one.column] += int(np.count_nonzero(expired))
            hour.take(one.column, batch)
        return True

    # ------------------------------------------------------------ one hour

    def _compare(self, hour: "_AuditedHour", snapshot: SpilledSnapshot) -> None:
        for kind, (part, recount) in hour.parts.items():
            of_minutes = kind == CellKind.MINUTE
            comparison = CellComparison(
                kind, hour.hour_ms, self._networks, self._brands, self._lost[kind], self._findings
            )
            scored = self._scored(hour, snapshot) if of_minutes else self._scored_history(snapshot)
            frozen = of_minutes and not self._lost[kind].offsets
            comparison.compare(recount.cells(), part.cells, scored, frozen=frozen)

    def _scored(self, hour: "_AuditedHour", snapshot: SpilledSnapshot) -> Bool:
        """In which minutes rows and Redis name the same single model."""
        scored = np.zeros(60, np.bool_)
        for number in range(60):
            start_ms = hour.hour_ms + number * MINUTE_MS
            named = hour.models[number]
            # Redis does not name the models of late mentions: with several about they may be of any
            known = start_ms not in snapshot.late_minutes or len(self._models) == 1
            scored[number] = known and len(named) == 1 and snapshot.models.get(start_ms, "") in named
            if not scored[number] and named and snapshot.models.get(start_ms):
                self._findings.note("minutes of more than one model: their sentiment is not compared")
        return scored

    def _scored_history(self, snapshot: SpilledSnapshot) -> Bool:
        """History does not name models: it is compared while one single model is about."""
        about = self._models | {
            model for named in snapshot.models.values() for model in named.split(",") if model
        }
        return np.full(60, len(about) == 1)


class _AuditedHour:
    """The recounts of one event hour."""

    def __init__(self, hour_ms: int, snapshot: SpilledSnapshot | None) -> None:
        self.hour_ms, self._snapshot = hour_ms, snapshot
        self.unusable = False
        self.models: list[set[str]] = [set() for _ in range(60)]
        self.parts: dict[CellKind, tuple[SpilledCells, Recount]] = {}
        for kind in CellKind if snapshot else ():
            assert snapshot is not None
            part = snapshot.cells(kind, hour_ms)
            if part is not None:
                recount = Recount(
                    by_minute=kind != CellKind.HISTORY_OF_HOURS, by_network=kind == CellKind.MINUTE
                )
                self.parts[kind] = part, recount

    def take(self, column: int, batch: RowBatch) -> None:
        """Recount rows of one partition, each where Redis holds it and only below its cursor."""
        rows, counted = batch.rows, ~batch.duplicate
        for code, model in enumerate(batch.models):
            for minute in np.unique(rows.minutes[batch.model_codes == code]).tolist():
                self.models[minute].add(model)
        for kind, (part, recount) in self.parts.items():
            assert self._snapshot is not None
            held, below = self._snapshot.held_and_counted(kind, part, rows, column)
            recount.add(rows, counted & held & below)


def _seen(plan_log: PlanLogReading) -> OffsetBitmap:
    return OffsetBitmap(plan_log.chunks[0].plan.start if plan_log.chunks else plan_log.start, plan_log.end)


def _removed_days(listed: Sequence[ListedObject], stored_names: set[str]) -> set[int]:
    """Days, since 1970, without any object, older than all that have one by more than two days."""
    kept = {one.hour_ms // DAY_MS for one in listed if one.stored.name in stored_names}
    return {day for one in listed if (day := one.hour_ms // DAY_MS) < min(kept, default=0) - 2}
