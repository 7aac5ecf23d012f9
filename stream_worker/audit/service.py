"""The audit of a running system: where every offset went, and whether Redis, archive and dead letters agree.

Rules (docs/design.md#audit):
1. The audit reads Redis first, each part with the cursors of its instant. Then it waits until every plan log
   has passed these cursors. Then it counts the rows below them again, from the archive alone.
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

from stream_worker.adapters.kafka.dead_letter_reader import read_dead_letter_offsets
from stream_worker.adapters.kafka.topic import Topic, open_admin
from stream_worker.adapters.kafka.topic import describe as describe_topic
from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.archive_reader import StoredArchive, other_logs
from stream_worker.adapters.object_store.parquet import SCHEMA
from stream_worker.adapters.redis.spilled_snapshot import Progress, SpilledSnapshot
from stream_worker.audit.archive_pass import RowsPass
from stream_worker.bootstrap import open_archive, open_snapshots
from stream_worker.core.archive.layout import Log, LogOrigin, log_folder, parse_plans_prefix
from stream_worker.core.partition.recovery import first_offset
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import (
    PlanLogReading,
    account_of,
    check_dead_letters,
    check_documents,
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
    """One log: its archive and its plan logs, by partition."""

    log: Log
    origin: LogOrigin
    archive: ObjectArchive
    stored: StoredArchive
    plan_logs: dict[int, PlanLogReading]

    def add(self, partition: int) -> None:
        """Have a plan log for a partition, be it empty."""
        self.plan_logs.setdefault(
            partition, PlanLogReading(self.log, partition, first_offset(self.origin, partition))
        )


def audit(settings: Settings, options: AuditOptions, say: Say, progress: Progress) -> AuditReport:
    """Audit the system that the settings name; `say` takes what it waits for.

    Raises Misconfigured when there is nothing to audit, Unavailable when a server is away or the archive does
    not get as far as Redis in time.
    """
    return_freed_arrow_memory()
    begun_s, findings, kafka = time.monotonic(), Findings(), settings.kafka
    topic = describe_topic(open_admin(client_properties(kafka)), kafka.topic, kafka.bootstrap_servers)
    now = _open(settings, topic, findings)
    if options.partition is not None:
        _narrow(now, options, topic)
        plan_logs, snapshot, waited_s, lost = _range(now, options, findings), None, 0.0, 0
        logs = [now]
    else:
        logs = [now, *_older(settings, now, topic, findings)]
        snapshot, waited_s = _read_redis(settings, logs, options, say, progress)
        plan_logs = [plan_log for log in logs for plan_log in log.plan_logs.values()]
        lost = _never_archived(logs[1:], snapshot.position, findings)
    for plan_log in plan_logs:
        check_documents(plan_log, findings, whole=options.whole)
    with closing(snapshot) if snapshot else nullcontext():
        there = set[str]().union(*(_listing(log, findings, whole=options.whole) for log in logs))
        rows = RowsPass(plan_logs, snapshot, findings, SCHEMA, now.stored.read, lost)
        rows.run(there, progress)
    for plan_log in plan_logs:
        check_rows(plan_log, findings, whole=options.whole)
    has_older = any(True for _ in other_logs(now.archive, now.log))
    _compare_dead_letters(settings, now, rows, findings, has_older=has_older)
    accounts = [
        account_of(plan_log, expired) for plan_log, expired in zip(plan_logs, rows.expired, strict=True)
    ]
    as_of_ms = None if snapshot is None else snapshot.position.now_ms
    return AuditReport(now.log.name, accounts, findings, as_of_ms, waited_s, time.monotonic() - begun_s)


# ---------------------------------------------------------------- what there is


def _open(settings: Settings, topic: Topic, findings: Findings) -> _AuditedLog:
    """Find the plan logs of a log. Raises Misconfigured when no worker ever started on it."""
    archive, log = open_archive(settings, topic), Log(topic.name, topic.incarnation)
    origin = archive.origin()
    if origin is None:
        raise Misconfigured(
            f"nothing to audit: no worker has ever started on {log.name} with the archive "
            f"{archive.objects.address}"
        )
    folders = archive.objects.folders(log_folder(log))
    known = [partition for _, partition in filter(None, map(parse_plans_prefix, folders))]
    made = _AuditedLog(log, origin, archive, StoredArchive(archive, log, findings), {})
    for partition in range(max([topic.partitions, len(origin.starts), *(number + 1 for number in known)])):
        made.add(partition)
    return made


def _older(settings: Settings, now: _AuditedLog, topic: Topic, findings: Findings) -> list[_AuditedLog]:
    """The older logs of the same topic name."""
    found = [
        topic._replace(incarnation=log.incarnation, partitions=0) for log in other_logs(now.archive, now.log)
    ]
    return [_open(settings, older, findings) for older in found if open_archive(settings, older).origin()]


def _narrow(now: _AuditedLog, options: AuditOptions, topic: Topic) -> None:
    """Keep the one partition that was requested."""
    assert options.partition is not None
    if options.partition not in now.plan_logs:
        raise Misconfigured(
            f"there is no partition {options.partition}: {topic.name} has 0 to {max(now.plan_logs)}"
        )
    now.plan_logs = {options.partition: now.plan_logs[options.partition]}


def _range(now: _AuditedLog, options: AuditOptions, findings: Findings) -> list[PlanLogReading]:
    """Read the plan log of one partition and keep the chunks of the requested range."""
    (plan_log,) = now.plan_logs.values()
    now.stored.extend(plan_log)
    start = plan_log.start if options.start is None else options.start
    end = plan_log.end if options.end is None else options.end
    if not plan_log.start <= start < end <= plan_log.end:
        raise Misconfigured(
            f"there is no range [{start}, {end}) in the archive of {plan_log.name}: it holds "
            f"[{plan_log.start}, {plan_log.end})"
        )
    plan_log.chunks = [one for one in plan_log.chunks if one.plan.end > start and one.plan.start < end]
    findings.note(
        "one partition was audited by itself: Redis holds sums over all of them and was not compared"
    )
    return [plan_log]


def _listing(log: _AuditedLog, findings: Findings, *, whole: bool) -> set[str]:
    """Names of the objects in the store; one that no manifest names is a difference."""
    there = log.stored.rows_there()
    log.stored.check_listing(list(log.plan_logs.values()), whole=whole)
    chunks = [chunk for plan_log in log.plan_logs.values() for chunk in plan_log.chunks]
    named = {stored.name for chunk in chunks for stored in chunk.objects}
    for name, (partition, start) in there.items():
        plan_log = log.plan_logs.get(partition)
        if whole and plan_log is not None and name not in named and start < plan_log.end:
            findings.differ("object", name, "a manifest that names it", "none")
    return set(there)


# ---------------------------------------------------------------- Redis, and the plan logs behind it


def _read_redis(
    settings: Settings,
    logs: Sequence[_AuditedLog],
    options: AuditOptions,
    say: Say,
    progress: Progress,
) -> tuple[SpilledSnapshot, float]:
    """Read Redis, then wait for the plan logs; returns the snapshot and the seconds waited."""
    begun_s = time.monotonic()
    snapshots = open_snapshots(settings, [log.log for log in logs])
    try:
        cursors = snapshots.position().cursors
        for log in logs:
            for partition in cursors[log.log.name]:
                log.add(partition)
            for plan_log in log.plan_logs.values():
                log.stored.extend(plan_log)
        now = logs[0]
        _wait(options, begun_s, say, lambda: _without_cursor(now, snapshots.position()))
        partitions = [(log.log.name, partition) for log in logs for partition in log.plan_logs]
        snapshot = SpilledSnapshot(snapshots, partitions)
        try:
            snapshot.read(progress)
            if not snapshot.position.partitions().keys() <= set(partitions):
                raise Unavailable("a partition was added while Redis was audited: audit again")
            read_s = time.monotonic()
            _wait(options, read_s, say, lambda: _behind(now, snapshot.position))
        except BaseException:
            snapshot.close()
            raise
        return snapshot, time.monotonic() - read_s
    finally:
        snapshots.close()


def _wait(options: AuditOptions, begun_s: float, say: Say, what: Callable[[], str]) -> None:
    """Wait while `what` says something. Raises Unavailable with the last line."""
    said_s = 0.0
    while line := what():
        if time.monotonic() - begun_s > options.wait_s:
            raise Unavailable(f"the audit waited {options.wait_s:g} s in vain: {line}; is a worker running?")
        if time.monotonic() - said_s > SAY_EACH_S:
            said_s = time.monotonic()
            say(f"waiting: {line}")
        time.sleep(LOOK_EACH_S)


def _without_cursor(now: _AuditedLog, position: RedisPosition) -> str:
    """Name the partitions that have an archive and no cursor in Redis."""
    cursors = position.cursors[now.log.name]
    archived = [p for p, plan_log in now.plan_logs.items() if plan_log.chunks or plan_log.planned]
    without = [partition for partition in archived if partition not in cursors]
    if not without:
        return ""
    return (
        f"Redis has no cursor of {_partitions(without)} of {now.log.name}: it was emptied, and not yet filled"
    )


def _behind(now: _AuditedLog, position: RedisPosition) -> str:
    """Name the plan logs that have not passed the cursors; those are read on."""
    behind = []
    for partition, cursor in position.cursors[now.log.name].items():
        plan_log = now.plan_logs[partition]
        if plan_log.end < cursor:
            now.stored.extend(plan_log)
        if plan_log.end < cursor and not plan_log.broken:
            behind.append(
                f"partition {partition} is archived up to {plan_log.end}, Redis has counted up to {cursor}"
            )
    return "; ".join(behind[:3]) + (f"; and {len(behind) - 3} more" if len(behind) > 3 else "")


def _partitions(numbers: Sequence[int]) -> str:
    return f"partition{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:8]))}"


def _never_archived(older: Sequence[_AuditedLog], position: RedisPosition, findings: Findings) -> int:
    """How much of deleted topics Redis has counted and the archive will never have."""
    lost = 0
    for log in older:
        for partition, cursor in position.cursors[log.log.name].items():
            missing = max(0, cursor - log.plan_logs[partition].end)
            lost += missing
            if missing:
                name, offsets = log.plan_logs[partition].name, quantity(missing, "offset")
                findings.note(f"{name}: the topic was deleted before its end was archived, {offsets}")
    return lost


# ---------------------------------------------------------------- dead letters


def _compare_dead_letters(
    settings: Settings, now: _AuditedLog, rows: RowsPass, findings: Findings, *, has_older: bool
) -> None:
    """Compare the rejected of each manifest with the dead letters that are there."""
    kafka = settings.kafka
    dead_letters = read_dead_letter_offsets(client_properties(kafka), kafka.dead_letter_topic, kafka.topic)
    for plan_log, seen in zip(now.plan_logs.values(), rows.seen, strict=False):  # older logs come behind
        offsets = dead_letters.offsets.get(plan_log.partition, np.empty(0, np.int64))
        offsets = offsets[(offsets >= seen.start) & (offsets < seen.end)]
        offsets = offsets[~seen.has(offsets)]
        ends = np.array([one.plan.end for one in plan_log.chunks], np.int64)
        of_chunk = np.searchsorted(ends, offsets, side="right")
        found = np.bincount(of_chunk, minlength=len(ends)).tolist()[: len(ends)]
        check_dead_letters(
            plan_log, found, findings, may_be_gone=dead_letters.truncated, may_be_foreign=has_older
        )
