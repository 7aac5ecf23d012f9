"""Every metric: its name, type, unit, labels and meaning, and the instrument itself.

Rules:
1. This file is the only list. docs/metrics.md is made from it; a test fails when it is stale.
2. Labels are bounded: outcomes, reasons and names of ours, and partitions of one topic. Never a brand, an
   author or an id. A partition's series vanish when the worker loses it (`forget`).
3. Base units, named last: `_seconds`, `_bytes`, `_records`; counters end in `_total`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

PREFIX: Final = "stream_worker_"
DELIVERY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STAGE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class MetricDescription(NamedTuple):
    """A metric as docs/metrics.md lists it."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    meaning: str


class Metrics:
    """All instruments of one process, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.catalogue: list[MetricDescription] = []
        self._of_partitions: list[Gauge] = []
        self._about_records()
        self._about_time()
        self._about_the_archive()
        self._about_alerts()
        self._about_the_api()
        self._about_the_process()

    def forget(self, partition: int) -> None:
        """Drop the series of a partition that is no longer ours."""
        for gauge in self._of_partitions:
            gauge.remove_by_labels({"partition": str(partition)})

    def expose_process(self) -> None:
        """Add memory, CPU and garbage collection of the process, and the Python it runs on."""
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _about_records(self) -> None:
        self.records_total = self._make(
            Counter,
            "records_total",
            "records",
            "Offsets of complete chunks by where they went: counted, duplicate, rejected, absent, lost.",
            "outcome",
        )
        self.mentions_total = self._make(
            Counter,
            "mentions_total",
            "mentions",
            "Mentions added to Redis by label: negative, neutral, positive, uncertain, unscored.",
            "label",
        )
        self.late_total = self._make(Counter, "late_total", "mentions", "Mentions added to Redis as late.")
        self.expired_total = self._make(
            Counter, "expired_total", "mentions", "Mentions older than Redis remembers: archive only."
        )
        self.dead_letters_total = self._make(
            Counter, "dead_letters_total", "records", "Records rejected, by reason.", "reason"
        )
        self.refused_brands_total = self._make(
            Counter,
            "refused_brands_total",
            "cells",
            "Cells of brands past redis.max_brands, counted together.",
        )
        self.refused_networks_total = self._make(
            Counter, "refused_networks_total", "cells", "Cells of networks past the limit, counted together."
        )
        self.consumer_lag_records = self._gauge_of_partition(
            "consumer_lag_records", "records", "Records behind the log's end, by the cursor in Redis."
        )
        self.cursor_offset = self._gauge_of_partition(
            "cursor_offset", "offset", "The next offset Redis will accept."
        )
        self.redis_cas_miss_total = self._make(
            Counter,
            "redis_cas_miss_total",
            "calls",
            "Apply calls that found another cursor: `ahead` (somebody applied it), `behind` (Redis went "
            "back), `absent` (Redis is empty).",
            "kind",
        )
        self.rebalances_total = self._make(
            Counter, "rebalances_total", "times", "Times partitions came or went."
        )
        self.partitions_assigned = self._make(
            Gauge, "partitions_assigned", "partitions", "Partitions this worker has."
        )
        self.paused_partitions = self._make(
            Gauge,
            "paused_partitions",
            "partitions",
            "Partitions not read now: too far ahead, waiting for Redis, or stopped.",
            "why",
        )

    def _about_time(self) -> None:
        self.watermark_delay_seconds = self._gauge_of_partition(
            "watermark_delay_seconds", "seconds", "Redis TIME less the partition's watermark."
        )
        self.sealed_until_seconds = self._make(
            Gauge,
            "sealed_until_seconds",
            "seconds",
            "Every minute that starts before this Unix time is sealed.",
        )
        self.sealed_minutes_total = self._make(
            Counter,
            "sealed_minutes_total",
            "minutes",
            "Minutes this worker saw sealed, by whether every partition took part.",
            "complete",
        )
        self.held_partitions = self._make(
            Gauge, "held_partitions", "partitions", "Excluded partitions: minutes no longer wait for them."
        )
        self.closed_shard_minutes_total = self._make(
            Counter,
            "closed_shard_minutes_total",
            "minutes",
            "Minutes of a shard evaluated and closed by this worker; 16 make a minute.",
        )
        self.episodes_total = self._make(
            Counter, "episodes_total", "events", "Events put into the outbox, by kind.", "kind"
        )
        self.batch_seconds = self._make(
            Histogram,
            "batch_seconds",
            "seconds",
            "How long the stages of the loop take.",
            "stage",
            buckets=STAGE_BUCKETS,
        )
        self.stage_cpu_seconds_total = self._make(
            Counter,
            "stage_cpu_seconds_total",
            "seconds",
            "CPU that the stages of the loop took, and `archive` in the background.",
            "stage",
        )
        self.loop_turn_seconds = self._make(
            Histogram,
            "loop_turn_seconds",
            "seconds",
            "How long one turn of the loop takes, with its poll.",
            buckets=STAGE_BUCKETS,
        )

    def _about_the_archive(self) -> None:
        self.archive_buffer_bytes = self._make(
            Gauge,
            "archive_buffer_bytes",
            "bytes",
            "Record values in memory that are in no complete chunk yet.",
        )
        self.archive_oldest_unarchived_seconds = self._make(
            Gauge,
            "archive_oldest_unarchived_seconds",
            "seconds",
            "Age of the oldest row in memory that is in no complete chunk yet; 0 without any.",
        )
        self.archive_chunks_total = self._make(
            Counter, "archive_chunks_total", "chunks", "Chunks whose manifest was written or found."
        )
        self.archive_rows_total = self._make(
            Counter, "archive_rows_total", "rows", "Rows in the objects of those chunks."
        )
        self.archive_bytes_total = self._make(
            Counter, "archive_bytes_total", "bytes", "Bytes of those objects."
        )
        self.archive_forgotten_total = self._make(
            Counter,
            "archive_forgotten_total",
            "times",
            "Times rows were dropped from memory, past archive.memory_max, to be read again.",
        )

    def _about_alerts(self) -> None:
        self.alerts_total = self._make(
            Counter,
            "alerts_total",
            "messages",
            "Messages that this notifier put into a notification log, by kind.",
            "kind",
        )
        self.deliveries_total = self._make(
            Counter,
            "deliveries_total",
            "attempts",
            "Attempts to send a message: delivered, failed (tried again), disabled (the receiver is gone).",
            "channel",
            "outcome",
        )
        self.delivery_seconds = self._make(
            Histogram,
            "delivery_seconds",
            "seconds",
            "How long an attempt takes.",
            "channel",
            buckets=DELIVERY_BUCKETS,
        )
        self.undelivered_messages = self._make(
            Gauge,
            "undelivered_messages",
            "messages",
            "Messages in a notification log that some channel does not have yet, or that have no receipt.",
        )
        self.notifier_leads = self._make(
            Gauge, "notifier_leads", "0 or 1", "Whether this notifier is the one that works."
        )

    def _about_the_api(self) -> None:
        self.api_requests_total = self._make(
            Counter,
            "api_requests_total",
            "requests",
            "Answers of `serve` by status: 2xx, 3xx, 4xx, 5xx.",
            "status",
        )
        self.api_request_seconds = self._make(
            Histogram,
            "api_request_seconds",
            "seconds",
            "How long `serve` takes to begin an answer.",
            buckets=STAGE_BUCKETS,
        )
        self.api_live_clients = self._make(
            Gauge, "api_live_clients", "connections", "Live feeds that `serve` has open."
        )

    def _about_the_process(self) -> None:
        self.dependency_up = self._make(
            Gauge,
            "dependency_up",
            "0 or 1",
            "Whether a dependency answered the last request: kafka, redis, archive, dead_letters.",
            "name",
        )
        self.partitions_stopped_total = self._make(
            Counter, "partitions_stopped_total", "partitions", "Partitions stopped for an unreadable state."
        )
        self.damaged_fields_total = self._make(
            Counter,
            "damaged_fields_total",
            "times",
            "Times a field was left out because it cannot be read: brand, control, count, cursor, episode, "
            "history, minute, outbox, profile, shard.",
            "kind",
        )
        self.model_info = self._make(
            Gauge, "model_info", "1", "The model that scores, in the label.", "version"
        )
        self.build_info = self._make(
            Gauge, "build_info", "1", "The version of stream_worker, in the label.", "version"
        )

    def _gauge_of_partition(self, name: str, unit: str, meaning: str) -> Gauge:
        gauge = self._make(Gauge, name, unit, meaning, "partition")
        self._of_partitions.append(gauge)
        return gauge

    def _make(
        self,
        kind: type[Instrument],
        name: str,
        unit: str,
        meaning: str,
        *labels: str,
        buckets: Sequence[float] | None = None,
    ) -> Instrument:
        self.catalogue.append(MetricDescription(PREFIX + name, kind.__name__.lower(), unit, labels, meaning))
        more = {} if buckets is None else {"buckets": buckets}
        return kind(PREFIX + name, meaning, labels, registry=self.registry, **more)  # type: ignore[arg-type]
