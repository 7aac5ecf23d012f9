"""Reading the archive for the audit: plan logs as they grow, and what is in the store.

Rules:
1. Nothing is written. What cannot be read, or is missing, is a difference with its name; the rest is read on.
2. Reading a plan log goes on where it ended: documents never change.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from stream_worker.adapters.object_store.archive import READS_AT_ONCE, ObjectArchive
from stream_worker.core.archive.layout import (
    PLANS,
    ChunkCoordinates,
    Log,
    Plan,
    manifest_name,
    manifests_from,
    manifests_prefix,
    parse_day_folder,
    parse_log_folder,
    parse_manifest_name,
    parse_rows_name,
    plan_name,
)
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import ArchivedChunk, PlanLogReading
from stream_worker.errors import Unreadable

STRAYS_MAX = 3
"""So many manifests behind a plan log are read."""


class StoredArchive:
    """The archive of one log, as it is read."""

    def __init__(self, archive: ObjectArchive, log: Log, findings: Findings) -> None:
        self._archive, self._log, self._findings = archive, log, findings
        self._reported: set[str] = set()  # names of documents that were reported

    def extend(self, plan_log: PlanLogReading) -> None:
        """Read the plans and manifests that were written since the last call. Raises Unavailable."""
        known = plan_log.chunks[-1].plan.start + 1 if plan_log.chunks else 0
        names = self._archive.plan_names(plan_log.partition, known)
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="plans") as pool:
            plans = [plan for plan in pool.map(self._plan, names) if plan is not None]
            # The order matters: a manifest read after the LIST is there for every plan but the last listed
            chunks = list(pool.map(lambda plan: self._chunk(plan_log, plan), plans))
        plan_log.broken = len(plans) < len(names)
        plan_log.planned = None
        for i, chunk in enumerate(chunks, 1):
            if chunk.manifest is None and i == len(chunks) and not chunk.unread:
                plan_log.planned = chunk.plan
                break
            if chunk.manifest is None and not chunk.unread:
                self._findings.differ(
                    "manifest", plan_log.where(chunk), "one, since a later plan is there", "none"
                )
            plan_log.chunks.append(chunk)
        if not chunks or plan_log.planned:
            self._look_behind(plan_log)

    def _look_behind(self, plan_log: PlanLogReading) -> None:
        """Report manifests behind the plan log without a plan that fits: nobody finishes those."""
        after = manifests_from(self._log, plan_log.partition, plan_log.end)
        for name, chunk in self._manifests(plan_log.partition, after)[:STRAYS_MAX]:
            # Read after the manifest was listed: a plan that was made meanwhile is there
            name_of_plan = plan_name(self._log, plan_log.partition, chunk.start)
            known = self._archive.objects.read(name_of_plan) is not None
            plan = self._plan(name_of_plan) if known else None
            if not known or (plan and plan.end != chunk.end):
                plan_log.broken = True
                found = "none" if plan is None else f"its plan ends at {plan.end}"
                if name not in self._reported:
                    self._findings.differ(
                        "plans chain", f"{plan_log.name}, {name}", "a plan of its range", found
                    )
                self._reported.add(name)

    def _plan(self, name: str) -> Plan | None:
        try:
            return self._archive.read_plan(name)
        except Unreadable as error:
            if name not in self._reported:
                self._findings.differ("plan", name, "a plan", error)
                self._reported.add(name)
            return None

    def _chunk(self, plan_log: PlanLogReading, plan: Plan) -> ArchivedChunk:
        try:
            return ArchivedChunk(plan, self._archive.manifest(plan_log.partition, plan))
        except Unreadable as error:
            self._findings.differ(
                "manifest", manifest_name(self._log, plan_log.partition, plan), "a manifest", error
            )
            return ArchivedChunk(plan, None, unread=True)

    def check_listing(self, plan_logs: Sequence[PlanLogReading], *, whole: bool) -> None:
        """Manifests that no plan has, and objects of rows that no manifest names. Raises Unavailable."""
        for plan_log in plan_logs:
            known = {manifest_name(self._log, plan_log.partition, chunk.plan) for chunk in plan_log.chunks}
            if whole:
                for name, chunk in self._manifests(plan_log.partition):
                    if name not in known and chunk.start < plan_log.end:
                        self._findings.differ("manifest", name, "a plan of its range", "none")

    def rows_there(self) -> dict[str, tuple[int, int]]:
        """Names of the objects of rows of this log, with their partition and first offset."""
        found = {}
        objects = self._archive.objects
        for folder in objects.folders(""):
            for name in objects.names(folder) if parse_day_folder(folder) else ():
                rows = parse_rows_name(name)
                if rows is not None and rows.chunk.log == self._log:
                    found[name] = (rows.chunk.partition, rows.chunk.start)
        return found

    def _manifests(self, partition: int, after: str | None = None) -> list[tuple[str, ChunkCoordinates]]:
        names = self._archive.objects.names(manifests_prefix(self._log, partition), after)
        return [(name, chunk) for name in names if (chunk := parse_manifest_name(name))]

    def read(self, name: str) -> bytes | None:
        """Read an object; None if it is missing. Raises Unavailable."""
        return self._archive.objects.read(name)


def other_logs(archive: ObjectArchive, log: Log) -> Iterator[Log]:
    """Yield the older logs of the same topic that this archive holds."""
    for other in map(parse_log_folder, archive.objects.folders(PLANS)):
        if other is not None and other.topic == log.topic and other != log:
            yield other
