"""Reading the archive for the audit: chains as they grow, and what lies in the store.

Rules:
1. Nothing is written. What cannot be read, or is missing, is a difference with its name; the rest is read on.
2. A chain is read on from where it was read to: documents never change.
"""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from stream_worker.adapters.object_store.archive import READS_AT_ONCE, ObjectArchive
from stream_worker.core.archive.layout import Log, Plan, manifest_name, plan_name
from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_chain import ArchivedChunk, PlanLogReading
from stream_worker.errors import Unreadable

STRAYS_MAX = 3
"""So many manifests behind a chain are looked at."""

_ROWS = re.compile(
    r"(?:^|/)dt=(\d{4}-\d\d-\d\d)/hour=\d\d/(?P<log>[^/]+)\+(\d+)\+(\d{20})-(\d{20})\.parquet$"
)


class StoredArchive:
    """The archive of one log, as it is read."""

    def __init__(self, archive: ObjectArchive, log: Log, findings: Findings) -> None:
        self._archive, self._log, self._findings = archive, log, findings
        self._told: set[str] = set()  # names of documents that were told

    def extend(self, chain: PlanLogReading) -> None:
        """Read the plans and manifests that were written since. Raises Unavailable."""
        known = chain.chunks[-1].plan.start + 1 if chain.chunks else 0
        names = self._archive.plan_names(chain.partition, known)
        with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="plans") as pool:
            plans = [plan for plan in pool.map(self._plan, names) if plan is not None]
            # The order matters: a manifest read after the LIST is there for every plan but the last listed
            chunks = list(pool.map(lambda plan: self._chunk(chain, plan), plans))
        chain.broken = len(plans) < len(names)
        chain.planned = None
        for i, chunk in enumerate(chunks, 1):
            if chunk.manifest is None and i == len(chunks) and not chunk.unread:
                chain.planned = chunk.plan
                break
            if chunk.manifest is None and not chunk.unread:
                self._findings.differ(
                    "manifest", chain.where(chunk), "one, since a later plan is there", "none"
                )
            chain.chunks.append(chunk)
        if not chunks or chain.planned:
            self._look_behind(chain)

    def _look_behind(self, chain: PlanLogReading) -> None:
        """A manifest behind the chain whose plan is not as it says: nobody will finish that chunk."""
        folder = f"_manifests/{self._log.name}/{chain.partition}"
        for name in self._archive.objects.names(folder, f"{folder}/{chain.end:020d}")[:STRAYS_MAX]:
            # Read after the manifest was listed: a plan that was made meanwhile is there
            plan_there = plan_name(self._log, chain.partition, _start(name))
            known = self._archive.objects.read(plan_there) is not None
            plan = self._plan(plan_there) if known else None
            if not known or (plan and manifest_name(self._log, chain.partition, plan) != name):
                chain.broken = True
                found = "none" if plan is None else f"its plan ends at {plan.end}"
                if name not in self._told:
                    self._findings.differ(
                        "plans chain", f"{chain.name}, {name}", "a plan of its range", found
                    )
                self._told.add(name)

    def _plan(self, name: str) -> Plan | None:
        try:
            return self._archive.read_plan(name)
        except Unreadable as error:
            if name not in self._told:
                self._findings.differ("plan", name, "a plan", error)
                self._told.add(name)
            return None

    def _chunk(self, chain: PlanLogReading, plan: Plan) -> ArchivedChunk:
        try:
            return ArchivedChunk(plan, self._archive.manifest(chain.partition, plan))
        except Unreadable as error:
            self._findings.differ(
                "manifest", manifest_name(self._log, chain.partition, plan), "a manifest", error
            )
            return ArchivedChunk(plan, None, unread=True)

    def check_listing(self, chains: Sequence[PlanLogReading], *, whole: bool) -> None:
        """Manifests that no plan has, and objects of rows that no manifest names. Raises Unavailable."""
        for chain in chains:
            known = {manifest_name(self._log, chain.partition, chunk.plan) for chunk in chain.chunks}
            if whole:
                for name in self._archive.objects.names(f"_manifests/{self._log.name}/{chain.partition}"):
                    if name not in known and _start(name) < chain.end:
                        self._findings.differ("manifest", name, "a plan of its range", "none")

    def rows_there(self) -> dict[str, tuple[int, int]]:
        """Names of the objects of rows of this log, with their partition and first offset."""
        found = {}
        objects = self._archive.objects
        for folder in objects.folders(""):
            for name in objects.names(folder) if folder.startswith("dt=") else ():
                match = _ROWS.search(name)
                if match and match["log"] == self._log.name:
                    found[name] = (int(match[3]), int(match[4]))
        return found

    def read(self, name: str) -> bytes | None:
        """Read an object; None if it is missing. Raises Unavailable."""
        return self._archive.objects.read(name)


def other_logs(archive: ObjectArchive, log: Log) -> Iterator[Log]:
    """Yield the older logs of the same topic that this archive holds."""
    for folder in archive.objects.folders("_plans"):
        topic, _, incarnation = folder.rpartition("/")[2].rpartition(".")
        if topic == log.topic and incarnation != log.incarnation:
            yield Log(topic, incarnation)


def _start(name: str) -> int:
    return int(name.rsplit("/", 1)[1].partition("-")[0])
