"""Records what the loop does as metrics and health, so that the loop itself stays readable."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from stream_worker.core.aggregates.damage import DamageKind
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.aggregates.shard import Close
from stream_worker.core.archive.layout import Manifest
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Applied
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.batch import Rejected
from stream_worker.core.time import MINUTE_MS
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics
from stream_worker.quantity import quantity

LABELS: Final = {"neg": "negative", "neu": "neutral", "pos": "positive"}
SEALED_AT_ONCE_MAX: Final = 1_440  # a longer step is a hole, not minutes


class WorkerRecorder:
    """One method for each event of the loop."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics, self._health = metrics, health
        self._turned_s = time.monotonic()
        self._sealed_ms = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of a turn, or of the background: on the clock, and in CPU of this thread."""
        begun_s = time.thread_time()
        with self._metrics.batch_seconds.labels(name).time():
            yield
        self._metrics.stage_cpu_seconds_total.labels(name).inc(time.thread_time() - begun_s)

    def turned(self) -> None:
        """The loop turned."""
        now_s = time.monotonic()
        self._metrics.loop_turn_seconds.observe(now_s - self._turned_s)
        self._turned_s = now_s
        self._health.turned()

    def rebalanced(self) -> None:
        """Partitions came or went."""
        self._metrics.rebalances_total.inc()

    def lost(self, partition: int) -> None:
        """A partition is no longer ours."""
        self._metrics.forget(partition)

    def stopped(self) -> None:
        """A partition stopped: its stored state cannot be read."""
        self._metrics.partitions_stopped_total.inc()

    def damaged(self, kind: DamageKind) -> None:
        """A field that cannot be read was left out."""
        self._metrics.damaged_fields_total.labels(kind).inc()

    def forgotten(self) -> None:
        """Buffered rows were dropped from memory, to be read again."""
        self._metrics.archive_forgotten_total.inc()

    def dependency(self, name: str, *, up: bool, detail: str = "") -> None:
        """A server answered, or did not."""
        self._metrics.dependency_up.labels(name).set(up)
        self._health.report(name, ok=up, detail=detail)

    def applied(self, call: Apply, answer: Applied) -> None:
        """The apply script answered."""
        metrics = self._metrics
        if not answer.applied:
            behind = answer.cursor is not None and answer.cursor.next < call.expected
            kind = "absent" if answer.cursor is None else "behind" if behind else "ahead"
            metrics.redis_cas_miss_total.labels(kind).inc()
            return
        if call.delta is None:
            return
        for measure, total in zip(MEASURES, call.delta.measures.sum(axis=0).tolist(), strict=True):
            if measure in LABELS or measure in ("uncertain", "unscored"):
                metrics.mentions_total.labels(LABELS.get(measure, measure)).inc(total)
        metrics.late_total.inc(int(call.delta.measures[call.delta.late, 0].sum()))
        metrics.expired_total.inc(answer.expired)
        metrics.refused_brands_total.inc(answer.refused_brands)
        metrics.refused_networks_total.inc(answer.refused_networks)

    def dead_letters(self, rejected: Iterable[Rejected]) -> None:
        """Dead letters of a chunk are on their way."""
        for letter in rejected:
            self._metrics.dead_letters_total.labels(letter.reason).inc()

    def chunk(self, manifest: Manifest) -> None:
        """A chunk is complete but for its manifest."""
        metrics, outcomes = self._metrics, manifest.outcomes
        for outcome in outcomes.__struct_fields__:
            metrics.records_total.labels(outcome).inc(getattr(outcomes, outcome))
        metrics.archive_chunks_total.inc()
        metrics.archive_rows_total.inc(sum(stored.rows for stored in manifest.objects))
        metrics.archive_bytes_total.inc(sum(stored.bytes for stored in manifest.objects))

    def sealed(self, sealed: SealResult) -> None:
        """The seal script answered."""
        metrics = self._metrics
        metrics.sealed_until_seconds.set(sealed.sealed_ms / 1000)
        metrics.held_partitions.set(len(sealed.excluded))
        minutes = (sealed.sealed_ms - self._sealed_ms) // MINUTE_MS
        if self._sealed_ms and minutes <= SEALED_AT_ONCE_MAX:
            metrics.sealed_minutes_total.labels("true").inc(max(0, minutes - sealed.incomplete))
        metrics.sealed_minutes_total.labels("false").inc(sealed.incomplete)
        self._sealed_ms = sealed.sealed_ms

    def closed(self, call: Close) -> None:
        """A minute of a shard was closed by this worker."""
        self._metrics.closed_shard_minutes_total.inc()
        for message in call.outbox:
            self._metrics.episodes_total.labels(message.rsplit(".", 1)[1]).inc()

    def group(self, *, joined: bool, partitions: int) -> None:
        """Set whether this worker is a member of its group, and how many partitions it has."""
        self._metrics.partitions_assigned.set(partitions)
        self._health.report("group", ok=joined, detail=quantity(partitions, "partition"))

    def partition(self, machine: PartitionMachine, now_ms: int) -> None:
        """Describe one partition; `now_ms` is Redis TIME."""
        metrics, name, counting = self._metrics, str(machine.number), machine.counting
        metrics.cursor_offset.labels(name).set(counting.counted)
        metrics.consumer_lag_records.labels(name).set(max(0, counting.log_end - counting.counted))
        if machine.watermark_ms and now_ms:
            metrics.watermark_delay_seconds.labels(name).set((now_ms - machine.watermark_ms) / 1000)

    def buffers(self, *, buffered_bytes: int, oldest_s: float) -> None:
        """How much is buffered and not archived."""
        self._metrics.archive_buffer_bytes.set(buffered_bytes)
        self._metrics.archive_oldest_unarchived_seconds.set(oldest_s)

    def paused(self, *, ahead: int, redis: int, stopped: int) -> None:
        """Set how many partitions are not read, and why."""
        for why, count in (("ahead", ahead), ("redis", redis), ("stopped", stopped)):
            self._metrics.paused_partitions.labels(why).set(count)
