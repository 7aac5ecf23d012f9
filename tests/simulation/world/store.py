"""The object store of a simulated world, and the shipped archive over it; only Parquet is left out.

Rules:
1. Create-only, strongly consistent. Every create, read and list is one request.
2. Rows are stored as plain tuples, one object per event hour.
"""

from dataclasses import dataclass
from zlib import crc32

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.core.archive.layout import StoredObject, rows_name

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Row:
    """One archived mention."""

    offset: int
    record_time_ms: int
    event_time_ms: int
    id: str
    brand: str
    network: str
    author: str | None
    text: str
    duplicate: bool
    copy: bool
    voice: bool
    late: bool
    label: int
    sentiment_micro: int
    model: str


class Store:
    """All objects there are."""

    def __init__(self, world):
        self._world = world
        self.objects = {}

    def create(self, name, body):
        if name in self.objects:
            self._world.oracle.archive.check_refused(name, body, self.objects[name])
            return False
        self._world.oracle.archive.check_new(name, body)
        self.objects[name] = body
        return True

    def names(self, prefix, after):
        return sorted(name for name in self.objects if name.startswith(prefix) and name > (after or ""))


class SimulatedObjects:
    """What `sinks.objects.Objects` is to the archive, for one process."""

    address = "memory"

    def __init__(self, store, wire):
        self._store, self._wire = store, wire

    def create(self, name, body):
        return self._wire.ask("store", f"create {_kind(name)}", lambda: self._store.create(name, body))

    def create_or_read(self, name, body):
        return None if self.create(name, body) else self.read(name)

    def read(self, name):
        return self._wire.ask("store", f"read {_kind(name)}", lambda: self._store.objects.get(name))

    def names(self, prefix, after=None):
        return self._wire.ask("store", "list plans", lambda: self._store.names(prefix, after))

    def remove_leftovers(self):
        return 0


def _kind(name):
    if name.startswith("_plans/"):
        return "head" if name.endswith("/head.json") else "plan"
    return "manifest" if name.startswith("_manifests/") else "rows"


class SimulatedArchive(ObjectArchive):
    """The archive as it is shipped, but for Parquet and threads."""

    def __init__(self, objects, log, max_span):
        self.objects = self._objects = objects
        self._log, self._max_span = log, max_span

    def plans(self, partition):
        return [self.read_plan(name) for name in self.plan_names(partition, 0)]

    def write_rows(self, partition, plan, parts):
        rows = [row for part in parts for row in rows_of(part)]
        assert all(plan.start <= row.offset < plan.end for row in rows)
        hours = sorted({row.event_time_ms // HOUR_MS for row in rows})
        return [self._write_hour(partition, plan, hour, rows) for hour in hours]

    def _write_hour(self, partition, plan, hour, rows):
        name = rows_name(self._log, partition, plan, hour * HOUR_MS)
        body = tuple(row for row in rows if row.event_time_ms // HOUR_MS == hour)
        there = self._objects.create_or_read(name, body)
        return described(name, body if there is None else there)


def described(name, body):
    """The `StoredObject` of an object of rows."""
    models = "+".join(sorted({row.model for row in body}))
    seal_id = f"{crc32(repr(body).encode()):08x}"
    return StoredObject(name=name, rows=len(body), bytes=len(body), sha256=seal_id, model=models)


def rows_of(part):
    """The rows of a part, as plain values."""
    columns, flags, scores = part.columns, part.flags, part.scores
    arrays = (
        *(columns.offsets, columns.record_times_ms, columns.event_times_ms),
        *(flags.duplicate, flags.copy, flags.voice, flags.late, scores.label, scores.sentiment_micro),
    )
    listed = zip(*(array.tolist() for array in arrays), strict=True)
    packed = (columns.ids, columns.brands, columns.networks, columns.authors, columns.texts)
    texts = zip(*(values.to_pylist() for values in packed), strict=True)
    return [
        Row(*numbers[:3], *words, *numbers[3:], part.model)
        for numbers, words in zip(listed, texts, strict=True)
    ]
