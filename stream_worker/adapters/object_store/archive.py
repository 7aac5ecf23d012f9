"""The archive: rows, plans and manifests as create-only objects (docs/design.md#the-archive).

Rules:
1. Everything is created once and never changed; who comes second reads what is there and takes it.
2. So every method may be repeated, lose its answer or arrive late, from any number of workers
   (docs/design.md#r1).
3. A document that cannot be read stops its partition by `Unreadable`; nothing is guessed from it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TypeVar

import msgspec
import pyarrow as pa
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.objects import Objects
from stream_worker.adapters.object_store.parquet import describe, encode, models_of, tables_by_hour
from stream_worker.core.archive.layout import (
    FORMAT_VERSION,
    PROBE_NAME,
    Log,
    LogOrigin,
    Manifest,
    Plan,
    StoredObject,
    dead_value_name,
    manifest_name,
    origin_name,
    parse_plan_name,
    plan_name,
    plans_prefix,
    rows_name,
)
from stream_worker.core.partition.inputs import PlanLog
from stream_worker.core.records.batch import PackedBatch, ScoredBatch
from stream_worker.errors import Misconfigured, Unreadable

READS_AT_ONCE = 16

Document = TypeVar("Document", LogOrigin, Plan, Manifest)


class ObjectArchive:
    """`ports.Archive` over an object store of `objects.open_store`, for one incarnation of a topic."""

    def __init__(self, store: ObjectStore, log: Log, *, max_span: int = 100_000) -> None:
        self.objects = self._objects = Objects(store)
        self._log = log
        self._max_span = max_span  # offsets a data plan may cover at most

    def find_plan_log(self, partition: int, committed: int) -> PlanLog:
        """Find the newest plan by a LIST from near the committed offset; if that is empty, from the start.

        The head is read last: if it is absent, no plan was there before. Raises Unavailable, Unreadable.
        """
        self._objects.remove_leftovers()
        near = committed - self._max_span
        names = self.plan_names(partition, near) if near > 0 else []
        names = names or self.plan_names(partition, 0)
        last = self.read_plan(names[-1]) if names else None
        done = last is not None and self._has_manifest(partition, last)
        return PlanLog(self.origin(), last, done)

    def create_log_origin(self, origin: LogOrigin) -> LogOrigin:
        """Create the log's origin, or return the one that is there."""
        name = origin_name(self._log)
        there = self._objects.create_or_read(name, msgspec.json.encode(origin))
        return origin if there is None else self._read(name, there, LogOrigin)

    def create_plan(self, partition: int, plan: Plan) -> Plan:
        """Create the plan, or return the one that is there with the same start. Raises Unreadable."""
        if plan.end <= plan.start:
            raise ValueError(f"a plan must cover offsets, not [{plan.start}, {plan.end})")
        name = plan_name(self._log, partition, plan.start)
        there = self._objects.create_or_read(name, msgspec.json.encode(plan))
        return plan if there is None else self._checked_plan(name, there)

    def plans(self, partition: int) -> list[Plan]:
        """The whole plan log, oldest first. Raises Unavailable, Unreadable."""
        names = self.plan_names(partition, 0)
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="plans") as pool:
            return list(pool.map(self.read_plan, names))

    def write_rows(
        self, partition: int, plan: Plan, batches: Sequence[ScoredBatch[PackedBatch]]
    ) -> list[StoredObject]:
        """Write one object per event hour, oldest first; what is there is read and described instead.

        Raises Unavailable (some objects may be there: ask again), and Unreadable for a damaged one.
        """
        for part in batches:
            offsets = part.columns.offsets
            if len(offsets) and not (plan.start <= offsets.min() and offsets.max() < plan.end):
                raise ValueError(f"rows of partition {partition} lie outside [{plan.start}, {plan.end})")
        return [
            self._write_object(rows_name(self._log, partition, plan, hour_ms), table)
            for hour_ms, table in tables_by_hour(self._log.topic, partition, batches)
        ]

    def create_manifest(self, partition: int, plan: Plan, manifest: Manifest) -> None:
        """Say that the chunk is done; a manifest that is there already stays."""
        self._objects.create(manifest_name(self._log, partition, plan), msgspec.json.encode(manifest))

    def keep_dead_value(self, partition: int, offset: int, value: bytes) -> str:
        """Keep a value that the broker refuses as a dead letter; returns its name."""
        name = dead_value_name(self._log, partition, offset)
        self._objects.create(name, value)  # there already: the same coordinates hold the same bytes
        return name

    def probe(self) -> str:
        """Try the rights to create, read and list, and that a second create is refused.

        An object from an earlier probe is refused at once, and that is the proof. Raises Unavailable,
        and Misconfigured for a store that overwrites: on it two workers would write over each other.
        """
        body = b"stream-worker probes that nothing here is overwritten\n"
        accepted = self._objects.create(PROBE_NAME, body) and self._objects.create(PROBE_NAME, body)
        if accepted:
            raise Misconfigured(
                f"archive.url: {self._objects.address} overwrites on a create-only PUT (If-None-Match: *); "
                "use a store that honours it"
            )
        self._objects.read(PROBE_NAME)
        self._objects.names(PROBE_NAME.rsplit("/", 1)[0])
        return f"{self._objects.address} (create-only PUT works)"

    def _write_object(self, name: str, table: pa.Table) -> StoredObject:
        body = encode(table)
        rows, model = table.num_rows, models_of(table)
        there = self._objects.create_or_read(name, body)
        if there is not None and there != body:
            body = there
            rows, model = self._describe(name, there)
        return StoredObject(
            name=name, rows=rows, bytes=len(body), sha256=sha256(body).hexdigest(), model=model
        )

    def _describe(self, name: str, body: bytes) -> tuple[int, str]:
        try:
            return describe(body)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Unreadable(
                f"archive: {name} in {self._objects.address} is there, but damaged ({error}); "
                "restore it, or move it away to have it written again (docs/archive.md)"
            ) from error

    def plan_names(self, partition: int, start: int) -> list[str]:
        """Names of plans that begin at `start` or above, sorted; other objects in there are none of ours."""
        after = plan_name(self._log, partition, start - 1) if start > 0 else None  # exclusive
        names = self._objects.names(plans_prefix(self._log, partition), after)
        return [name for name in names if parse_plan_name(name)]

    def read_plan(self, name: str) -> Plan:
        """Read a plan that was listed. Raises Unavailable, Unreadable."""
        body = self._objects.read(name)
        if body is None:
            raise self._unreadable(name, "it was listed, but is gone")
        return self._checked_plan(name, body)

    def _checked_plan(self, name: str, body: bytes) -> Plan:
        plan = self._read(name, body, Plan)
        known = parse_plan_name(name)
        if known is None or plan.start != known.start:
            raise self._unreadable(name, f"it says that it starts at {plan.start}")
        if plan.end <= plan.start:
            raise self._unreadable(name, f"it ends at {plan.end}, not after its start")
        return plan

    def manifest(self, partition: int, plan: Plan) -> Manifest | None:
        """Read the manifest of a plan; None if there is none. Raises Unavailable, Unreadable."""
        name = manifest_name(self._log, partition, plan)
        body = self._objects.read(name)
        return None if body is None else self._read(name, body, Manifest)

    def _has_manifest(self, partition: int, plan: Plan) -> bool:
        return self.manifest(partition, plan) is not None

    def origin(self) -> LogOrigin | None:
        """Read the log's origin; None before the first start. Raises Unavailable, Unreadable."""
        name = origin_name(self._log)
        body = self._objects.read(name)
        return None if body is None else self._read(name, body, LogOrigin)

    def _read(self, name: str, body: bytes, kind: type[Document]) -> Document:
        """Decode a document of this format version."""
        try:
            version = msgspec.json.decode(body, type=_Versioned).v
            if version != FORMAT_VERSION:
                raise self._unreadable(
                    name, f"it has format version {version}, this release reads {FORMAT_VERSION}: upgrade"
                )
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unreadable(name, str(error)) from error

    def _unreadable(self, name: str, why: str) -> Unreadable:
        return Unreadable(
            f"archive: {name} in {self._objects.address} cannot be read: {why}; "
            "restore it from a copy (docs/archive.md, A document cannot be read)"
        )


class _Versioned(msgspec.Struct):
    v: int
