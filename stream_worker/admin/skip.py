"""Skipping: leave records of a partition out, on the record.

Rules:
1. The archive decides first: a plan of kind `skipped` with its reason, and its manifest. Then the cursor in
   Redis jumps, by compare-and-set, and complete_from rises. A worker that finds the plan does the same.
2. Each step is safe to repeat. The next skip first finishes one that died half-way, whatever its own range.
"""

from stream_worker.adapters.kafka.topic import describe as describe_topic
from stream_worker.adapters.kafka.topic import log_end, open_admin
from stream_worker.bootstrap import limits_of, open_aggregates, open_archive
from stream_worker.core.archive.layout import Manifest, Outcomes, Plan
from stream_worker.core.partition.inputs import PlanLog
from stream_worker.core.partition.recovery import first_offset
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.watermark import complete_from_ms
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.ports import Aggregates, Archive
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings


def skip_records(settings: Settings, partition: int, to_offset: int, why: str) -> str:
    """Leave records out, on the record; returns one line for people."""
    kafka = settings.kafka
    admin = open_admin(client_properties(kafka))
    topic = describe_topic(admin, kafka.topic, kafka.bootstrap_servers)
    if partition >= topic.partitions:
        raise Misconfigured(f"topic {topic.name} has the partitions 0 to {topic.partitions - 1}")
    end = log_end(admin, topic.name, partition, kafka.bootstrap_servers)
    if to_offset > end:
        raise Misconfigured(
            f"partition {partition} ends at {end}; {to_offset} would skip what is not written"
        )
    return skip(
        open_archive(settings, topic),
        open_aggregates(settings, topic, "skip"),
        limits_of(settings),
        partition=partition,
        to_offset=to_offset,
        why=why,
    )


def skip(
    archive: Archive, aggregates: Aggregates, limits: Limits, *, partition: int, to_offset: int, why: str
) -> str:
    """Leave out all records of a partition from the end of its archive to `to_offset`; returns one line.

    Raises Misconfigured when there is nothing to skip, Unavailable when a worker is in the middle of a chunk.
    """
    plan_log = archive.find_plan_log(partition, -1)
    if plan_log.origin is None:
        raise Misconfigured("nothing to skip: no worker has ever started on this topic and archive")
    last = plan_log.last
    if last is not None and not plan_log.finished and last.kind == "data":
        raise Unavailable(
            f"partition {partition}: the chunk [{last.start}, {last.end}) is not finished; let a worker "
            f"finish it, then skip"
        )
    if last is not None and last.kind == "skipped":
        _finish(archive, aggregates, limits, partition, last)  # if it is finished, this changes nothing
        if last.end == to_offset:
            return _summary(partition, last)
    plan = _plan(archive, limits, plan_log, partition, to_offset, why)
    _finish(archive, aggregates, limits, partition, plan)
    return _summary(partition, plan)


def _plan(
    archive: Archive, limits: Limits, plan_log: PlanLog, partition: int, to_offset: int, why: str
) -> Plan:
    """Plan to leave out what lies between the end of the plan_log and `to_offset`."""
    assert plan_log.origin is not None
    start = first_offset(plan_log.origin, partition) if plan_log.last is None else plan_log.last.end
    watermark_ms = 0 if plan_log.last is None else plan_log.last.watermark_end
    if to_offset <= start:
        raise Misconfigured(f"partition {partition} is archived up to {start}; {to_offset} is not beyond")
    plan = archive.create_plan(
        partition,
        Plan(
            kind="skipped",
            start=start,
            end=to_offset,
            limits=limits,
            why=why,
            watermark_start=watermark_ms,
            watermark_end=watermark_ms,
        ),
    )
    if plan.kind != "skipped" or plan.end != to_offset:
        raise Unavailable(
            f"partition {partition}: another process planned [{start}, {plan.end}) first; try again"
        )
    return plan


def _finish(archive: Archive, aggregates: Aggregates, limits: Limits, partition: int, plan: Plan) -> None:
    """Write the manifest of a skip, and have the cursor jump over it."""
    lost = Outcomes(lost=plan.end - plan.start)
    archive.create_manifest(partition, plan, Manifest(objects=[], outcomes=lost, late=0, partial=False))
    cursor = aggregates.cursor(partition)
    if cursor is not None and cursor.next < plan.end:
        reached_ms = max(plan.watermark_end, cursor.watermark_ms)  # some of it may be counted already
        complete_from = complete_from_ms(reached_ms, limits.lateness_ms, limits.future_ms)
        aggregates.advance_cursor(partition, cursor.next, plan.end, plan.watermark_end, complete_from)


def _summary(partition: int, plan: Plan) -> str:
    return f"partition {partition}: left out [{plan.start}, {plan.end}): {plan.why}"
