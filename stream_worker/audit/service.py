"""The audit of a running system: where every offset went, and whether Redis, archive and letters agree.

Rules (docs/design.md#audit):
1. First Redis is read, each part with the cursors of its instant. Then it is waited until every chain has
   passed these cursors. Then the rows below them are counted again, from the archive alone.
2. Nothing is written anywhere. A worker, a late mention or a seal beside it changes nothing of the result.
3. A range of offsets is compared with itself only: cells of Redis are sums over all partitions.
4. A recreated topic is another log. The minutes hold mentions of both; so the older one is recounted too.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Final

import numpy as np

from stream_worker.adapters.kafka.dead_letter_offsets import read_places
from stream_worker.adapters.kafka.topic import Topic, open_admin
from stream_worker.adapters.kafka.topic import describe as describe_topic
from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.archive_reader import StoredArchive, other_logs
from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.adapters.redis.snapshot import RedisSnapshots
from stream_worker.audit.archive_pass import RowsPass
from stream_worker.audit.redis_spill import Progress, SpilledSnapshot
from stream_worker.bootstrap import open_archive
from stream_worker.core.archive.layout import Log, LogOrigin
from stream_worker.core.partition.recovery import first_offset
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_chain import (
    PlanLogReading,
    account_of,
    check_documents,
    check_letters,
    check_rows,
)
from stream_worker.core.reconcile.redis_position import RedisPosition
from stream_worker.core.reconcile.report import AuditOptions, AuditReport
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.process import return_freed_arrow_memory
from stream_worker.quantity import quantity
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings

LOOK_EACH_S: Final = 0.5
SAY_EACH_S: Final = 5.0

Say = Callable[[str], None]


@dataclass(slots=True)
class _AuditedLog:
    """One log: its archive and its chains, by partition."""

    log: Log
    head: LogOrigin
    archive: ObjectArchive
    stored: StoredArchive
    chains: dict[int, PlanLogReading]

    def add(self, partition: int) -> None:
        """Have a chain for a partition, be it empty."""
        self.chains.setdefault(
            partition, PlanLogReading(self.log, partition, first_offset(self.head, partition))
        )


def audit(settings: Settings, wanted: AuditOptions, say: Say, progress: Progress) -> AuditReport:
    """Audit the system that the settings name; `say` is told what is waited for.

    Raises Misconfigured when there is nothing to audit, Unavailable when a server is away or the archive does
    not get as far as Redis in time.
    """
    return_freed_arrow_memory()
    begun_s, findings, kafka = time.monotonic(), Findings(), settings.kafka
    topic = describe_topic(open_admin(client_properties(kafka)), kafka.topic, kafka.bootstrap_servers)
    now = _open(settings, topic, findings)
    if wanted.partition is not None:
        _narrow(now, wanted, topic)
        chains, picture, waited_s, lost = _range(now, wanted, findings), None, 0.0, 0
        logs = [now]
    else:
        logs = [now, *_older(settings, now, topic, findings)]
        picture, waited_s = _read_redis(settings, logs, wanted, findings, say, progress)
        chains = [chain for log in logs for chain in log.chains.values()]
        lost = _never_archived(logs[1:], picture.standing, findings)
    for chain in chains:
        check_documents(chain, findings, whole=wanted.whole)
    with closing(picture) if picture else nullcontext():
        there = set[str]().union(*(_listing(log, findings, whole=wanted.whole) for log in logs))
        rows = RowsPass(chains, picture, findings, SCHEMA, now.stored.read, lost)
        rows.run(there, progress)
    for chain in chains:
        check_rows(chain, findings, whole=wanted.whole)
    _letters(settings, now, rows, findings, older=len(list(other_logs(now.archive, now.log))) > 0)
    accounts = [account_of(chain, expired) for chain, expired in zip(chains, rows.expired, strict=True)]
    as_of_ms = None if picture is None else picture.standing.now_ms
    return AuditReport(now.log.name, accounts, findings, as_of_ms, waited_s, time.monotonic() - begun_s)


# ---------------------------------------------------------------- what there is


def _open(settings: Settings, topic: Topic, findings: Findings) -> _AuditedLog:
    """Find the chains of a log. Raises Misconfigured when no worker ever started on it."""
    archive, log = open_archive(settings, topic), Log(topic.name, topic.incarnation)
    head = archive.head()
    if head is None:
        raise Misconfigured(
            f"nothing to audit: no worker has ever started on {log.name} with the archive "
            f"{archive.objects.address}"
        )
    known = [int(name) for name in _folders(archive, log) if name.isdecimal()]
    made = _AuditedLog(log, head, archive, StoredArchive(archive, log, findings), {})
    for partition in range(max([topic.partitions, len(head.starts), *(number + 1 for number in known)])):
        made.add(partition)
    return made


def _folders(archive: ObjectArchive, log: Log) -> list[str]:
    return [folder.rpartition("/")[2] for folder in archive.objects.folders(f"_plans/{log.name}")]


def _older(settings: Settings, now: _AuditedLog, topic: Topic, findings: Findings) -> list[_AuditedLog]:
    """The older logs of the same topic name."""
    found = [
        topic._replace(incarnation=log.incarnation, partitions=0) for log in other_logs(now.archive, now.log)
    ]
    return [_open(settings, older, findings) for older in found if open_archive(settings, older).head()]


def _narrow(now: _AuditedLog, wanted: AuditOptions, topic: Topic) -> None:
    """Keep the one partition that is wanted."""
    assert wanted.partition is not None
    if wanted.partition not in now.chains:
        raise Misconfigured(
            f"there is no partition {wanted.partition}: {topic.name} has 0 to {max(now.chains)}"
        )
    now.chains = {wanted.partition: now.chains[wanted.partition]}


def _range(now: _AuditedLog, wanted: AuditOptions, findings: Findings) -> list[PlanLogReading]:
    """Read the chain of one partition and keep the chunks of the wanted range."""
    (chain,) = now.chains.values()
    now.stored.extend(chain)
    start = chain.start if wanted.start is None else wanted.start
    end = chain.end if wanted.end is None else wanted.end
    if not chain.start <= start < end <= chain.end:
        raise Misconfigured(
            f"there is no range [{start}, {end}) in the archive of {chain.name}: it holds "
            f"[{chain.start}, {chain.end})"
        )
    chain.chunks = [one for one in chain.chunks if one.plan.end > start and one.plan.start < end]
    findings.note(
        "one partition was audited by itself: Redis holds sums over all of them and was not compared"
    )
    return [chain]


def _listing(log: _AuditedLog, findings: Findings, *, whole: bool) -> set[str]:
    """Names of the objects in the store; one that no manifest names is a difference."""
    there = log.stored.rows_there()
    log.stored.check_listing(list(log.chains.values()), whole=whole)
    named = {stored.name for chain in log.chains.values() for one in chain.chunks for stored in one.objects}
    for name, (partition, start) in there.items():
        chain = log.chains.get(partition)
        if whole and chain is not None and name not in named and start < chain.end:
            findings.differ("object", name, "a manifest that names it", "none")
    return set(there)


# ---------------------------------------------------------------- Redis, and the chains behind it


def _read_redis(
    settings: Settings,
    logs: Sequence[_AuditedLog],
    wanted: AuditOptions,
    findings: Findings,
    say: Say,
    progress: Progress,
) -> tuple[SpilledSnapshot, float]:
    """Read Redis, then wait for the chains; returns the picture and the seconds waited."""
    begun_s = time.monotonic()
    redis = settings.redis
    snapshots = RedisSnapshots(
        redis.url.get_secret_value(),
        [log.log.name for log in logs],
        prefix=redis.prefix,
        socket_timeout_s=redis.socket_timeout.total_seconds(),
    )
    try:
        cursors = snapshots.look().cursors
        for log in logs:
            for partition in cursors[log.log.name]:
                log.add(partition)
            for chain in log.chains.values():
                log.stored.extend(chain)
        now = logs[0]
        _wait(wanted, begun_s, say, lambda: _without_cursor(now, snapshots.look()))
        places = [(log.log.name, partition) for log in logs for partition in log.chains]
        picture = SpilledSnapshot(snapshots, places, findings)
        try:
            picture.read(progress)
            read_s = time.monotonic()
            _wait(wanted, read_s, say, lambda: _behind(now, picture.standing))
        except BaseException:
            picture.close()
            raise
        return picture, time.monotonic() - read_s
    finally:
        snapshots.close()


def _wait(wanted: AuditOptions, begun_s: float, say: Say, what: Callable[[], str]) -> None:
    """Wait while `what` says something. Raises Unavailable with its last words."""
    said_s = 0.0
    while line := what():
        if time.monotonic() - begun_s > wanted.wait_s:
            raise Unavailable(f"the audit waited {wanted.wait_s:g} s in vain: {line}; is a worker running?")
        if time.monotonic() - said_s > SAY_EACH_S:
            said_s = time.monotonic()
            say(f"waiting: {line}")
        time.sleep(LOOK_EACH_S)


def _without_cursor(now: _AuditedLog, standing: RedisPosition) -> str:
    """Name the partitions that have an archive and no cursor in Redis."""
    cursors = standing.cursors[now.log.name]
    without = [p for p, chain in now.chains.items() if p not in cursors and (chain.chunks or chain.planned)]
    if not without:
        return ""
    return (
        f"Redis has no cursor of {_partitions(without)} of {now.log.name}: it was emptied, and not yet filled"
    )


def _behind(now: _AuditedLog, standing: RedisPosition) -> str:
    """Name the chains that have not passed the cursors; those are read on."""
    behind = []
    for partition, cursor in standing.cursors[now.log.name].items():
        chain = now.chains[partition]
        if chain.end < cursor:
            now.stored.extend(chain)
        if chain.end < cursor and not chain.broken:
            behind.append(
                f"partition {partition} is archived up to {chain.end}, Redis has counted up to {cursor}"
            )
    return "; ".join(behind[:3]) + (f"; and {len(behind) - 3} more" if len(behind) > 3 else "")


def _partitions(numbers: Sequence[int]) -> str:
    return f"partition{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:8]))}"


def _never_archived(older: Sequence[_AuditedLog], standing: RedisPosition, findings: Findings) -> int:
    """How much of deleted topics Redis has counted and the archive will never have."""
    lost = 0
    for log in older:
        for partition, cursor in standing.cursors[log.log.name].items():
            missing = max(0, cursor - log.chains[partition].end)
            lost += missing
            if missing:
                name = log.chains[partition].name
                offsets = quantity(missing, "offset")
                findings.note(f"{name}: the topic was deleted before its end was archived, {offsets}")
    return lost


# ---------------------------------------------------------------- dead letters


def _letters(
    settings: Settings, now: _AuditedLog, rows: RowsPass, findings: Findings, *, older: bool
) -> None:
    """Compare the rejected of each manifest with the letters that are there."""
    kafka = settings.kafka
    places = read_places(client_properties(kafka), kafka.dead_letter_topic, kafka.topic)
    for chain, seen in zip(now.chains.values(), rows.seen, strict=False):  # older logs come behind
        offsets = places.offsets.get(chain.partition, np.empty(0, np.int64))
        offsets = offsets[(offsets >= seen.start) & (offsets < seen.end)]
        offsets = offsets[~seen.has(offsets)]
        ends = np.array([one.plan.end for one in chain.chunks], np.int64)
        of_chunk = np.searchsorted(ends, offsets, side="right")
        found = np.bincount(of_chunk, minlength=len(ends)).tolist()[: len(ends)]
        check_letters(chain, found, findings, may_be_gone=places.truncated, may_be_foreign=older)
