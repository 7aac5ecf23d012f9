"""Reading the rows of the archive, hour by hour, and comparing them with manifests, letters and Redis.

Rules:
1. Each object is read once, whole (its sha256 wants every byte), and looked at in batches of its columns.
2. One event hour at a time: what is in memory is bounded by the cells of an hour, a few objects on their way,
   and one bit for each offset.
3. A fault of an object is told with its name; the cells of its hour are then not compared, since they would
   only say the same again.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from stream_worker.audit.redis_spill import Progress, SpilledCells, SpilledSnapshot
from stream_worker.core.archive.layout import StoredObject, rows_name
from stream_worker.core.reconcile.cells import Names, Recount, RecountRows
from stream_worker.core.reconcile.compare import (
    HISTORY_OF_HOURS,
    HISTORY_OF_MINUTES,
    MINUTE,
    CellComparison,
    LostOffsets,
)
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_chain import ArchivedChunk, PlanLogReading
from stream_worker.core.reconcile.rows import OffsetBitmap, RowBatch, read_batches
from stream_worker.core.records.batch import Bool
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from stream_worker.quantity import quantity

OBJECTS_AHEAD: Final = 4
KINDS: Final = {"m": MINUTE, "hm": HISTORY_OF_MINUTES, "hd": HISTORY_OF_HOURS}
_HOUR: Final = re.compile(r"dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/")


class ListedObject(NamedTuple):
    """One object that a manifest names."""

    hour_ms: int
    place: int  # of its chain, in the order of `chains`
    chunk: ArchivedChunk
    stored: StoredObject


class RowsPass:
    """One pass over all rows; `picture` None: Redis is not compared.

    `lost_besides`: offsets that Redis has counted and no chain will ever have.
    """

    def __init__(
        self,
        chains: Sequence[PlanLogReading],
        picture: SpilledSnapshot | None,
        findings: Findings,
        schema: pa.Schema,
        read: Callable[[str], bytes | None],
        lost_besides: int = 0,
    ) -> None:
        self.seen = [_seen(chain) for chain in chains]
        self.expired = [0] * len(chains)
        self._removed: set[int] = set()  # days whose rows a lifecycle rule has removed
        self._chains, self._picture, self._findings = chains, picture, findings
        self._schema, self._read = schema, read
        self._networks = picture.networks if picture else Names()
        self._brands = picture.brands if picture else Names()
        lost = sum(chunk.outcomes.lost for chain in chains for chunk in chain.chunks) + lost_besides
        self._lost = {kind: LostOffsets(lost) for kind in KINDS}
        self._models = {
            stored.model for chain in chains for chunk in chain.chunks for stored in chunk.objects
        }

    def run(self, there: set[str], progress: Progress) -> None:
        """Read and compare all; `there` are the names of the objects in the store."""
        listed = self._listed(there)
        rows = sum(one.stored.rows for one in listed)
        hours = sorted({one.hour_ms for one in listed} | (self._picture.hours() if self._picture else set()))
        bodies, done = self._bodies(list(listed)), 0
        for hour_ms in hours:
            hour = _AuditedHour(hour_ms, self._picture)
            while listed and listed[0].hour_ms == hour_ms:
                one, body = listed.popleft(), next(bodies)
                whole = self._take(one, body, hour)
                if not whole:
                    one.chunk.unread, hour.spoilt = True, True
                done += one.stored.rows
                progress("rows", done, rows)
            if self._picture and not hour.spoilt and hour_ms // DAY_MS not in self._removed:
                self._compare(hour, self._picture)

    def _listed(self, there: set[str]) -> deque[ListedObject]:
        """All objects of the manifests, by hour; those of days that a lifecycle rule removed are left out."""
        found = []
        for place, chain in enumerate(self._chains):
            for chunk in chain.chunks:
                for stored in chunk.objects:
                    hour_ms = _hour_of(stored.name)
                    if hour_ms is None or stored.name != rows_name(
                        chain.log, chain.partition, chunk.plan, hour_ms
                    ):
                        chunk.unread = True
                        self._findings.differ(
                            "object's name", stored.name, "one of its chunk", chain.where(chunk)
                        )
                        continue
                    found.append(ListedObject(hour_ms, place, chunk, stored))
        found.sort(key=lambda one: (one.hour_ms, one.place, one.stored.name))
        removed = self._removed = _removed_days(found, there)
        for one in found:
            one.chunk.unread |= one.hour_ms // DAY_MS in removed
        if removed:
            days = quantity(len(removed), "day")
            self._findings.note(f"rows of {days}: no longer in the store, removed by age")
        return deque(one for one in found if one.hour_ms // DAY_MS not in removed)

    def _bodies(self, listed: Sequence[ListedObject]) -> Iterator[bytes | None]:
        """Read the objects in their order, a few ahead."""
        names = deque(one.stored.name for one in listed)
        waiting: deque[Future[bytes | None]] = deque()
        with ThreadPoolExecutor(OBJECTS_AHEAD, thread_name_prefix="rows") as pool:
            while names or waiting:
                while names and len(waiting) < OBJECTS_AHEAD:
                    waiting.append(pool.submit(self._read, names.popleft()))
                yield waiting.popleft().result()

    # ------------------------------------------------------------ one object

    def _take(self, one: ListedObject, body: bytes | None, hour: "_AuditedHour") -> bool:
        """Check an object and recount its rows; False: it cannot be used, and that was told."""
        name, stored = one.stored.name, one.stored
        if body is None:
            self._findings.differ("object", name, "to be in the store, as its manifest says", "it is missing")
            return False
        digest = sha256(body).hexdigest()
        if (len(body), digest) != (stored.bytes, stored.sha256):
            told = f"{stored.bytes} bytes with sha256 {stored.sha256[:16]}…"
            self._findings.differ("object's sha256", name, told, f"{len(body)} with {digest[:16]}…")
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
        chain, chunk, seen = self._chains[one.place], one.chunk, self.seen[one.place]
        offsets = batch.rows.offsets
        place = (batch.topics, batch.partitions, np.unique(batch.event_times_ms // HOUR_MS).tolist())
        inside = bool(((offsets >= chunk.plan.start) & (offsets < chunk.plan.end)).all())
        if place != ([chain.log.topic], [chain.partition], [one.hour_ms // HOUR_MS]) or not inside:
            self._findings.differ(
                "rows' place", one.stored.name, "only rows of its partition, range and hour", "others"
            )
            return False
        for offset in seen.add(offsets).tolist():
            where = f"{chain.name}, offset {offset}"
            self._findings.differ("rows twice", where, "one row", f"another one in {one.stored.name}")
        chunk.rows += len(offsets)
        chunk.duplicates += int(np.count_nonzero(batch.duplicate))
        chunk.late += int(np.count_nonzero(batch.rows.late))
        reached_ms = np.minimum(batch.event_times_ms, batch.record_times_ms).max()
        chunk.reached_ms = max(chunk.reached_ms, int(reached_ms))
        if self._picture:
            below = ~batch.duplicate & (batch.event_times_ms < self._picture.standing.complete_from_ms)
            self.expired[one.place] += int(np.count_nonzero(below))
            hour.take(one.place, batch)
        return True

    # ------------------------------------------------------------ one hour

    def _compare(self, hour: "_AuditedHour", picture: SpilledSnapshot) -> None:
        for kind, (part, recount) in hour.parts.items():
            comparison = CellComparison(
                KINDS[kind], hour.hour_ms, self._networks, self._brands, self._lost[kind], self._findings
            )
            scored = self._scored(hour, picture) if kind == "m" else self._scored_history(picture)
            comparison.compare(
                recount.cells(), part.cells, scored, frozen=kind == "m" and not self._lost[kind].offsets
            )

    def _scored(self, hour: "_AuditedHour", picture: SpilledSnapshot) -> Bool:
        """In which minutes rows and Redis name the same single model."""
        scored = np.zeros(60, np.bool_)
        for number in range(60):
            start_ms = hour.hour_ms + number * MINUTE_MS
            named = hour.models[number]
            # Redis does not name the models of late mentions: with several about they may be of any
            known = start_ms not in picture.late_minutes or len(self._models) == 1
            scored[number] = known and len(named) == 1 and picture.models.get(start_ms, "") in named
            if not scored[number] and named and picture.models.get(start_ms):
                self._findings.note("minutes of more than one model: their sentiment is not compared")
        return scored

    def _scored_history(self, picture: SpilledSnapshot) -> Bool:
        """History does not name models: it is compared while one single model is about."""
        about = self._models | {
            model for named in picture.models.values() for model in named.split(",") if model
        }
        return np.full(60, len(about) == 1)


class _AuditedHour:
    """The recounts of one event hour."""

    def __init__(self, hour_ms: int, picture: SpilledSnapshot | None) -> None:
        self.hour_ms, self._picture = hour_ms, picture
        self.spoilt = False
        self.models: list[set[str]] = [set() for _ in range(60)]
        self.parts: dict[str, tuple[SpilledCells, Recount]] = {}
        for kind in KINDS if picture else ():
            assert picture is not None
            part = picture.part(kind, hour_ms)
            if part is not None:
                recount = Recount(by_minute=kind != "hd", by_network=kind == "m")
                self.parts[kind] = part, recount

    def take(self, place: int, batch: RowBatch) -> None:
        """Recount rows of one partition, each where Redis holds it and only below its cursor."""
        rows, counted = batch.rows, ~batch.duplicate
        for code, model in enumerate(batch.models):
            for minute in np.unique(rows.minutes[batch.model_codes == code]).tolist():
                self.models[minute].add(model)
        for kind, (part, recount) in self.parts.items():
            wanted = _of_minutes(part, rows, place) if kind == "m" else self._of_history(part, rows, place)
            recount.add(rows, counted & wanted)

    def _of_history(self, part: SpilledCells, rows: RecountRows, place: int) -> Bool:
        assert self._picture is not None
        batches = self._picture.batch_of(rows.brands)
        known = batches >= 0
        brands = np.where(known, rows.brands, 0)
        wanted: Bool = known & part.held[rows.minutes, brands] & (rows.offsets < part.limits[batches, place])
        return wanted


def _of_minutes(part: SpilledCells, rows: RecountRows, place: int) -> Bool:
    wanted: Bool = part.held[rows.minutes, 0] & (rows.offsets < part.limits[rows.minutes, place])
    return wanted


def _seen(chain: PlanLogReading) -> OffsetBitmap:
    return OffsetBitmap(chain.chunks[0].plan.start if chain.chunks else chain.start, chain.end)


def _hour_of(name: str) -> int | None:
    match = _HOUR.match(name)
    if match is None:
        return None
    try:
        return int(np.datetime64(f"{match[1]}T{match[2]}", "ms").astype(np.int64))
    except ValueError:
        return None


def _removed_days(listed: Sequence[ListedObject], there: set[str]) -> set[int]:
    """Days, since 1970, of which nothing is left, older than all that is there by more than two days."""
    kept = {one.hour_ms // DAY_MS for one in listed if one.stored.name in there}
    return {day for one in listed if (day := one.hour_ms // DAY_MS) < min(kept, default=0) - 2}
