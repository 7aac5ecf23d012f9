"""Days in the store: the chains of a topic, the objects of a day, and its marker.

See docs/design.md#the-archive.

Rules:
1. Ends of chains are read before the objects are listed. So a chunk that was done then is listed whole, and
   one that ends behind is left out: rows and ends are of one state.
2. Plans are listed from the newest one that is known, not from the start of the log.
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from obstore.store import ObjectStore

from stream_worker.adapters.object_store.archive import READS_AT_ONCE, ObjectArchive
from stream_worker.adapters.object_store.objects import Objects
from stream_worker.core.archive.days import ChainEnd, Day, DayListing, DayObject, Marker, marker_name
from stream_worker.core.archive.layout import Log, Manifest, plans_prefix
from stream_worker.core.detection.detector import Detector
from stream_worker.core.detection.profiles import PREFIX, decode, name_of
from stream_worker.core.time import HOUR_MS
from stream_worker.errors import Unreadable

_ROWS: Final = re.compile(r"hour=(\d\d)/(?P<log>[^/]+)\+(\d+)\+(\d{20})-(\d{20})\.parquet$")
_RANGE: Final = re.compile(r"(\d{20})-(\d{20})\.json$")
AMID_MAX: Final = 5_000
"""Chunks of a partition that are looked at for an object of the day that is missing."""
_Chunk = tuple[Log, int, int, int]
"""Log, partition, start and end."""


class StoredDays:
    """What the archive holds of a topic, day by day."""

    def __init__(self, store: ObjectStore, topic: str) -> None:
        self._objects, self._store, self._topic = Objects(store), store, topic
        self.address = self._objects.address

    def logs(self) -> list[Log]:
        """All incarnations of the topic that the archive knows. Raises Unavailable."""
        found = []
        for folder in self._objects.folders("_plans"):
            topic, _, incarnation = folder.rpartition("/")[2].rpartition(".")
            if topic == self._topic:
                found.append(Log(topic, incarnation))
        return found

    def ends(self, logs: Sequence[Log], day: Day) -> list[ChainEnd]:
        """How far each chain is done. Raises Unavailable, Unreadable."""
        hints: dict[tuple[Log, int], int] = {}
        for (log, partition, start, _), _ in self._listed(day):
            hints[log, partition] = max(start, hints.get((log, partition), 0))
        places = [(log, partition) for log in logs for partition in self._partitions(log)]
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="chains") as pool:
            return list(pool.map(lambda place: self._end(place[0], place[1], hints.get(place, 0)), places))

    def listing(self, day: Day, ends: Sequence[ChainEnd]) -> DayListing:
        """The rows of a day below these ends. Raises Unavailable, Unreadable."""
        done = {(one.log, one.partition): one.end for one in ends}
        by_chunk: dict[_Chunk, list[tuple[int, str]]] = {}
        unfinished = 0
        for chunk, at in self._listed(day):
            if chunk[3] <= done.get(chunk[:2], 0):
                by_chunk.setdefault(chunk, []).append(at)
            else:
                unfinished += 1
        for chunk in self._amid(by_chunk, ends):
            by_chunk.setdefault(chunk, [])
        chunks = sorted(by_chunk, key=lambda chunk: (chunk[0].name, *chunk[1:]))
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="manifests") as pool:
            manifests = dict(zip(chunks, pool.map(self._manifest, chunks), strict=True))
        objects: list[DayObject] = []
        missing: list[tuple[int, str]] = []
        for chunk, manifest in manifests.items():
            there = {name for _, name in by_chunk[chunk]}
            for stored in manifest.objects:
                if stored.name in there:
                    objects.append(DayObject(_hour_ms(day, stored.name), chunk[0], chunk[1], stored))
                elif stored.name.startswith(f"dt={day}/"):
                    missing.append((_hour_ms(day, stored.name), stored.name))
        objects.sort(key=lambda one: (one.hour_ms, one.stored.name))
        outcomes = [manifest.outcomes for manifest in manifests.values()]
        partial = sum(manifest.partial for manifest in manifests.values())
        return DayListing(objects, unfinished, sum(one.lost for one in outcomes), partial, missing)

    def read(self, name: str) -> bytes | None:
        """Read an object; None if it is missing. Raises Unavailable."""
        return self._objects.read(name)

    def mark(self, day: Day, marker: Marker) -> Marker:
        """Create the marker of a day, or return the one that is there. Raises Unavailable, Unreadable."""
        there = self._objects.create_or_read(marker_name(day), msgspec.json.encode(marker))
        return marker if there is None else self._marker(day, there)

    def marker(self, day: Day) -> Marker | None:
        """Read the marker of a day. Raises Unavailable, Unreadable."""
        body = self._objects.read(marker_name(day))
        return None if body is None else self._marker(day, body)

    def profiles_before(self, day: Day, detector: Detector[Any]) -> dict[str, str]:
        """Read the newest profiles of a day before this one. Raises Unavailable, Unreadable."""
        names = [name for name in self._objects.names(PREFIX) if name < name_of(str(day))]
        body = self._objects.read(max(names)) if names else None
        return {} if body is None else decode(body, detector)

    def write_profiles(self, day: Day, body: bytes) -> None:
        """Create the profiles of a day; those that are there stay. Raises Unavailable."""
        self._objects.create(name_of(str(day)), body)

    # ------------------------------------------------------------

    def _marker(self, day: Day, body: bytes) -> Marker:
        try:
            return msgspec.json.decode(body, type=Marker)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._unreadable(marker_name(day), str(error)) from error

    def _listed(self, day: Day) -> list[tuple[_Chunk, tuple[int, str]]]:
        found = []
        for name in self._objects.names(f"dt={day}"):
            match = _ROWS.search(name)
            if match is None:
                continue
            topic, _, incarnation = match["log"].rpartition(".")
            if topic == self._topic:
                chunk = (Log(topic, incarnation), int(match[3]), int(match[4]), int(match[5]))
                found.append((chunk, (int(match[1]), name)))
        return found

    def _partitions(self, log: Log) -> list[int]:
        """Partitions that existed at the first start, or have plans."""
        head = self._archive(log).head()
        folders = self._objects.folders(plans_prefix(log, 0).rsplit("/", 2)[0])
        known = {int(name) for folder in folders if (name := folder.rpartition("/")[2]).isdecimal()}
        return sorted(known | set(range(len(head.starts) if head else 0)))

    def _end(self, log: Log, partition: int, near: int) -> ChainEnd:
        archive = self._archive(log)
        for begin in dict.fromkeys((near, 0)):
            for name in reversed(archive.plan_names(partition, begin)[-2:]):  # the newest may be unfinished
                plan = archive.read_plan(name)
                if archive.manifest(partition, plan) is not None:
                    return ChainEnd(log, partition, plan.end, plan.watermark_end, plan.limits.lateness_ms)
        head = archive.head()
        starts = head.starts if head else []
        return ChainEnd(log, partition, starts[partition] if partition < len(starts) else 0, 0, 0)

    def _amid(self, known: Iterable[_Chunk], ends: Sequence[ChainEnd]) -> list[_Chunk]:
        """Chunks amid those of the day that have no object of it: perhaps one is missing."""
        by_place: dict[tuple[Log, int], list[int]] = {}
        for log, partition, start, _ in known:
            by_place.setdefault((log, partition), []).append(start)
        found = []
        for one in ends:
            starts = by_place.get((one.log, one.partition), [])
            prefix = f"_manifests/{one.log.name}/{one.partition}/"
            after = f"{prefix}{min(starts):020d}" if starts else None
            names = self._objects.names(prefix, after)
            chunks = [(int(match[1]), int(match[2])) for name in names if (match := _RANGE.search(name))]
            last = max(starts, default=-1)
            amid = [chunk for chunk in chunks if chunk[0] <= last or not starts]
            behind = [chunk for chunk in chunks if chunk[0] > last][:1]
            for start, end in [*amid, *behind][:AMID_MAX]:
                if end <= one.end:
                    found.append((one.log, one.partition, start, end))
        return found

    def _manifest(self, chunk: _Chunk) -> Manifest:
        log, partition, start, end = chunk
        name = f"_manifests/{log.name}/{partition}/{start:020d}-{end:020d}.json"
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


def _hour_ms(day: Day, name: str) -> int:
    match = _ROWS.search(name)
    assert match is not None, "it was listed by this pattern"
    return day.start_ms + int(match[1]) * HOUR_MS
