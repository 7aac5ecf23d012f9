"""Plan logs: what plans and manifests of a partition must look like, by themselves and beside their rows.

Rules:
1. Plans begin at the origin's start and follow each other without hole or overlap; so do their watermarks.
2. Only the last plan may lack its manifest. The outcomes of a manifest sum up to its range.
3. What is lost, skipped or partial is explained, never silent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream_worker.core.archive.layout import Log, Manifest, Outcomes, Plan, StoredObject
from stream_worker.core.reconcile.findings import Difference, Findings
from stream_worker.quantity import quantity

OUTCOMES: Final = ("counted", "duplicate", "rejected", "absent", "lost")


@dataclass(slots=True)
class ArchivedChunk:
    """One plan, its manifest (None: absent, or it cannot be read), and what its rows were found to be."""

    plan: Plan
    manifest: Manifest | None
    rows: int = 0
    duplicates: int = 0
    late: int = 0
    reached_ms: int = 0  # the highest of min(event time, record time) of its rows
    unread: bool = False  # an object of it is unusable: that was reported, and its sums are unknown

    @property
    def objects(self) -> Sequence[StoredObject]:
        """Its objects as the manifest names them."""
        return self.manifest.objects if self.manifest else ()

    @property
    def outcomes(self) -> Outcomes:
        """What its manifest says became of its offsets."""
        return self.manifest.outcomes if self.manifest else Outcomes()


@dataclass(slots=True)
class PlanLogReading:
    """The plan log of a partition from `start` on, as far as it was read."""

    log: Log
    partition: int
    start: int
    chunks: list[ArchivedChunk] = field(default_factory=list)
    planned: Plan | None = None  # the last plan, without manifest
    broken: bool = False  # a plan could not be read: that was reported, and no worker goes on behind it

    @property
    def end(self) -> int:
        """The end of the last chunk that is done."""
        return self.chunks[-1].plan.end if self.chunks else self.start

    @property
    def name(self) -> str:
        """The plan log, for people."""
        return f"partition {self.partition} of {self.log.name}"

    def where(self, chunk: ArchivedChunk) -> str:
        """A chunk, for people."""
        return f"{self.name}, chunk [{chunk.plan.start}, {chunk.plan.end})"


class OffsetAccount(NamedTuple):
    """Where the offsets of a partition went. `rows` were found, `expired` are older than complete_from."""

    partition: int
    log: str
    start: int
    end: int
    offsets: int
    counted: int
    duplicates: int
    rejected: int
    absent: int
    lost: int
    expired: int
    late: int
    rows: int


def check_documents(plan_log: PlanLogReading, findings: Findings, *, whole: bool) -> None:
    """Rules 1 to 3 for the documents alone; `whole`: the plan log is read from its very start."""
    end = plan_log.start if whole or not plan_log.chunks else plan_log.chunks[0].plan.start
    watermark_ms: int | None = 0 if whole else None
    for chunk in plan_log.chunks:
        plan = chunk.plan
        if plan.start != end:
            findings.differ("plans chain", plan_log.where(chunk), f"a plan from {end}", _gap(end, plan.start))
        if watermark_ms is not None and plan.watermark_start != watermark_ms:
            findings.differ("watermarks chain", plan_log.where(chunk), watermark_ms, plan.watermark_start)
        if plan.watermark_end < plan.watermark_start:
            falls = f"{plan.watermark_start} or more at its end"
            findings.differ("watermarks chain", plan_log.where(chunk), falls, plan.watermark_end)
        end, watermark_ms = plan.end, plan.watermark_end
        if chunk.manifest is not None:
            findings.add(_sums(plan_log, chunk))
            _explain(plan_log, chunk, findings)


def _gap(end: int, start: int) -> str:
    return f"a hole up to {start}" if start > end else f"one from {start}, which overlaps"


def _sums(plan_log: PlanLogReading, chunk: ArchivedChunk) -> Iterator[Difference]:
    outcomes, plan = chunk.outcomes, chunk.plan
    manifest_counts = {name: getattr(outcomes, name) for name in OUTCOMES}
    total = sum(manifest_counts.values())
    if total != plan.end - plan.start or min(manifest_counts.values()) < 0:
        counts = ", ".join(f"{name} {count}" for name, count in manifest_counts.items())
        yield Difference(
            "manifest's sum", plan_log.where(chunk), str(plan.end - plan.start), f"{total} ({counts})"
        )
    rows = sum(stored.rows for stored in chunk.objects)
    if rows != outcomes.counted + outcomes.duplicate:
        expected = f"{outcomes.counted + outcomes.duplicate} (counted and duplicates)"
        yield Difference("manifest's rows", plan_log.where(chunk), expected, f"{rows} in its objects")
    if plan.kind == "skipped" and (chunk.objects or outcomes.lost != plan.end - plan.start):
        yield Difference("skipped range", plan_log.where(chunk), "no rows, all lost", quantity(rows, "row"))


def _explain(plan_log: PlanLogReading, chunk: ArchivedChunk, findings: Findings) -> None:
    if chunk.plan.kind == "skipped":
        findings.note(f"{plan_log.where(chunk)} was skipped: {chunk.plan.why}")
    elif chunk.outcomes.lost:
        lost = quantity(chunk.outcomes.lost, "record")
        findings.note(f"{plan_log.where(chunk)}: {lost} lost to retention")
    if chunk.manifest is not None and chunk.manifest.partial:
        findings.note(
            f"{plan_log.where(chunk)} is partial: the log no longer held the whole dedup window before it"
        )


def check_rows(plan_log: PlanLogReading, findings: Findings, *, whole: bool) -> None:
    """What the manifests say beside what the rows were found to be; nothing where a row could not be read."""
    exact = whole  # watermarks can be recounted until something was lost
    for chunk in plan_log.chunks:
        if chunk.manifest is None or chunk.unread:
            exact = False
            continue
        outcomes, where = chunk.outcomes, plan_log.where(chunk)
        counted = chunk.rows - chunk.duplicates
        saved = chunk.manifest.partial and chunk.rows == outcomes.counted + outcomes.duplicate
        if (counted, chunk.duplicates) != (outcomes.counted, outcomes.duplicate) and not saved:
            found = f"counted {counted}, duplicate {chunk.duplicates} in its rows"
            expected = f"counted {outcomes.counted}, duplicate {outcomes.duplicate}"
            findings.differ("manifest's counts", where, expected, found)
        if chunk.late != chunk.manifest.late and not saved:
            findings.differ("manifest's late", where, chunk.manifest.late, quantity(chunk.late, "late row"))
        exact = exact and not outcomes.lost
        plan = chunk.plan
        reached_ms = max(
            plan.watermark_start, chunk.reached_ms - plan.limits.lateness_ms if chunk.rows else 0
        )
        if plan.watermark_end < reached_ms or (exact and plan.watermark_end != reached_ms):
            findings.differ("plan's watermark", where, f"{reached_ms} by its rows", plan.watermark_end)


def check_dead_letters(
    plan_log: PlanLogReading,
    found: Sequence[int],
    findings: Findings,
    *,
    may_be_gone: bool,
    may_be_foreign: bool,
) -> None:
    """At least one letter for each rejected offset; `found`: offsets per chunk that have one, and no row.

    `may_be_gone`: the topic of dead letters no longer holds its beginning; dead letters go oldest first.
    `may_be_foreign`: some dead letters may be of an older log of the same name.
    """
    held = next((i for i, present in enumerate(found) if present), len(found))
    for i, (chunk, present) in enumerate(zip(plan_log.chunks, found, strict=True)):
        rejected = chunk.outcomes.rejected
        if chunk.manifest is None or chunk.unread or present == rejected:
            continue
        where = plan_log.where(chunk)
        if present < rejected and may_be_gone and i <= held:
            findings.note("older dead letters are no longer in their topic; those were not compared")
        elif present < rejected:
            findings.differ("dead letters", where, f"{rejected} rejected offsets with a letter", present)
        elif not may_be_foreign:
            findings.differ("dead letters", where, f"{rejected} rejected, as its manifest says", present)


def account_of(plan_log: PlanLogReading, expired: int) -> OffsetAccount:
    """Sum up where the offsets of a plan log went."""
    outcomes = [chunk.outcomes for chunk in plan_log.chunks]
    totals = {name: sum(getattr(of, name) for of in outcomes) for name in OUTCOMES}
    start = plan_log.chunks[0].plan.start if plan_log.chunks else plan_log.start
    return OffsetAccount(
        partition=plan_log.partition,
        log=plan_log.log.name,
        start=start,
        end=plan_log.end,
        offsets=plan_log.end - start,
        counted=totals["counted"],
        duplicates=totals["duplicate"],
        rejected=totals["rejected"],
        absent=totals["absent"],
        lost=totals["lost"],
        expired=expired,
        late=sum(chunk.manifest.late for chunk in plan_log.chunks if chunk.manifest),
        rows=sum(chunk.rows for chunk in plan_log.chunks),
    )
