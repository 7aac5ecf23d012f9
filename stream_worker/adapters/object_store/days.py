"""Days in the store: the plan logs of a topic, the objects of a day, and its marker.

See docs/design.md#the-archive.

Rules:
1. Ends of plan logs are read before the objects are listed. So a chunk that was done then is listed whole,
   and one that ends behind is left out: rows and ends are of one state.
2. Plans are listed from the newest one that is known, not from the start of the log.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.archive import READS_AT_ONCE, ObjectArchive
from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.archive.days import Day, DayListing, DayObject, Marker, PlanLogEnd
from stream_worker.core.archive.layout import (
    PLANS,
    PROFILES,
    ChunkCoordinates,
    Log,
    Manifest,
    day_folder,
    log_folder,
    manifest_name,
    manifests_from,
    manifests_prefix,
    marker_name,
    parse_log_folder,
    parse_manifest_name,
    parse_plans_prefix,
    parse_profiles_name,
    parse_rows_name,
    profiles_name,
)
from stream_worker.core.detection.detector import Detector
from stream_worker.core.detection.profiles import decode
from stream_worker.errors import Unreadable

AMID_MAX: Final = 5_000
"""Chunks of a partition that are looked at for an object of the day that is missing."""


class StoredDays:
    """What the archive holds of a topic, day by day."""

    def __init__(self, store: ObjectStore, topic: str) -> None:
        self._objects, self._store, self._topic = Objects(store), store, topic
        self.address = self._objects.address

    def logs(self) -> list[Log]:
        """All incarnations of the topic that the archive knows. Raises Unavailable."""
        logs = map(parse_log_folder, self._objects.folders(PLANS))
        return [log for log in logs if log is not None and log.topic == self._topic]

    def ends(self, logs: Sequence[Log], day: Day) -> list[PlanLogEnd]:
        """How far each plan log is done. Raises Unavailable, Unreadable."""
        hints: dict[tuple[Log, int], int] = {}
        for _, chunk in self._listed(day):
            partition = chunk.log, chunk.partition
            hints[partition] = max(chunk.start, hints.get(partition, 0))
        partitions = [(log, partition) for log in logs for partition in self._partitions(log)]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="plan-logs") as pool:
            return list(pool.map(lambda one: self._end(one[0], one[1], hints.get(one, 0)), partitions))

    def listing(self, day: Day, ends: Sequence[PlanLogEnd]) -> DayListing:
        """The rows of a day below these ends. Raises Unavailable, Unreadable."""
        done = {(one.log, one.partition): one.end for one in ends}
        by_chunk: dict[ChunkCoordinates, set[str]] = {}
        unfinished = 0
        for name, chunk in self._listed(day):
            if chunk.end <= done.get((chunk.log, chunk.partition), 0):
                by_chunk.setdefault(chunk, set()).add(name)
            else:
                unfinished += 1
        for chunk in self._amid(by_chunk, ends):
            by_chunk.setdefault(chunk, set())
        chunks = sorted(by_chunk, key=lambda chunk: (chunk.log.name, *chunk[1:]))
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="manifests") as pool:
            manifests = dict(zip(chunks, pool.map(self._manifest, chunks), strict=True))
        objects: list[DayObject] = []
        missing: list[tuple[int, str]] = []
        for chunk, manifest in manifests.items():
            for stored in manifest.objects:
                rows = parse_rows_name(stored.name)
                if rows is None or not day.start_ms <= rows.hour_ms < day.end_ms:
                    continue
                if stored.name in by_chunk[chunk]:
                    objects.append(DayObject(rows.hour_ms, chunk.log, chunk.partition, stored))
                else:
                    missing.append((rows.hour_ms, stored.name))
        objects.sort(key=lambda one: (one.hour_ms, one.stored.name))
        outcomes = [manifest.outcomes for manifest in manifests.values()]
        partial = sum(manifest.partial for manifest in manifests.values())
        return DayListing(objects, unfinished, sum(one.lost for one in outcomes), partial, missing)

    def read(self, name: str) -> bytes | None:
        """Read an object; None if it is missing. Raises Unavailable."""
        return self._objects.read(name)

    def mark(self, day: Day, marker: Marker) -> Marker:
        """Create the marker of a day, or return the one that is there. Raises Unavailable, Unreadable."""
        there = self._objects.create_or_read(marker_name(day.date), msgspec.json.encode(marker))
        return marker if there is None else self._marker(day, there)

    def marker(self, day: Day) -> Marker | None:
        """Read the marker of a day. Raises Unavailable, Unreadable."""
        body = self._objects.read(marker_name(day.date))
        return None if body is None else self._marker(day, body)

    def profiles_before(self, day: Day, detector: Detector[Any]) -> dict[str, str]:
        """Read the newest profiles of a day before this one. Raises Unavailable, Unreadable."""
        dates = list(filter(None, map(parse_profiles_name, self._objects.names(PROFILES))))
        newest = max((date for date in dates if date < day.date), default=None)
        body = None if newest is None else self._objects.read(profiles_name(newest))
        return {} if body is None else decode(body, detector)

    def write_profiles(self, day: Day, body: bytes) -> None:
        """Create the profiles of a day; those that are there stay. Raises Unavailable."""
        self._objects.create(profiles_name(day.date), body)

    # ------------------------------------------------------------

    def _marker(self, day: Day, body: bytes) -> Marker:
        try:
            return msgspec.json.decode(body, type=Marker)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unreadable(marker_name(day.date), str(error)) from error

    def _listed(self, day: Day) -> list[tuple[str, ChunkCoordinates]]:
        """Names of the objects of rows of a day, each with its chunk."""
        names = self._objects.names(day_folder(day.date))
        found = [(name, rows.chunk) for name in names if (rows := parse_rows_name(name))]
        return [(name, chunk) for name, chunk in found if chunk.log.topic == self._topic]

    def _partitions(self, log: Log) -> list[int]:
        """Partitions that existed at the first start, or have plans."""
        origin = self._archive(log).origin()
        known = {
            partition
            for _, partition in filter(None, map(parse_plans_prefix, self._objects.folders(log_folder(log))))
        }
        return sorted(known | set(range(len(origin.starts) if origin else 0)))

    def _end(self, log: Log, partition: int, near: int) -> PlanLogEnd:
        archive = self._archive(log)
        for begin in dict.fromkeys((near, 0)):
            for name in reversed(archive.plan_names(partition, begin)[-2:]):  # the newest may be unfinished
                plan = archive.read_plan(name)
                if archive.manifest(partition, plan) is not None:
                    return PlanLogEnd(log, partition, plan.end, plan.watermark_end, plan.limits.lateness_ms)
        origin = archive.origin()
        starts = origin.starts if origin else []
        return PlanLogEnd(log, partition, starts[partition] if partition < len(starts) else 0, 0, 0)

    def _amid(self, known: Iterable[ChunkCoordinates], ends: Sequence[PlanLogEnd]) -> list[ChunkCoordinates]:
        """Chunks amid those of the day that have no object of it: perhaps one is missing."""
        by_place: dict[tuple[Log, int], list[int]] = {}
        for log, partition, start, _ in known:
            by_place.setdefault((log, partition), []).append(start)
        found = []
        for one in ends:
            starts = by_place.get((one.log, one.partition), [])
            after = manifests_from(one.log, one.partition, min(starts)) if starts else None
            names = self._objects.names(manifests_prefix(one.log, one.partition), after)
            chunks = list(filter(None, map(parse_manifest_name, names)))
            last = max(starts, default=-1)
            amid = [chunk for chunk in chunks if chunk.start <= last or not starts]
            behind = [chunk for chunk in chunks if chunk.start > last][:1]
            found += [chunk for chunk in [*amid, *behind][:AMID_MAX] if chunk.end <= one.end]
        return found

    def _manifest(self, chunk: ChunkCoordinates) -> Manifest:
        name = manifest_name(chunk.log, chunk.partition, chunk)
        body = self._objects.read(name)
        if body is None:
            raise self._unreadable(name, "a later chunk is done, yet it is not there")
        try:
            return msgspec.json.decode(body, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unreadable(name, str(error)) from error

    def _archive(self, log: Log) -> ObjectArchive:
        return ObjectArchive(self._store, log)

    def _unreadable(self, name: str, why: str) -> Unreadable:
        return Unreadable(
            f"archive: {name} in {self.address} cannot be read: {why}; "
            "restore it from a copy (docs/archive.md, A document cannot be read)"
        )
