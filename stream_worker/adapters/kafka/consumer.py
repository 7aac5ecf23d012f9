"""Records from Kafka: one consumer, polled in batches, positioned by us and never by the broker.

Rules:
1. Kafka's committed offset is a hint. A partition is paused from its assignment until the first `seek`. It
   is assigned at a number: for a logical offset the client asks the broker, and when that reply comes after
   a seek, the client reads on from there (librdkafka issue 2256).
2. Assignments and losses come back in the result of `poll`; nothing happens inside a callback.
3. The broker's `auto.offset.reset` never decides: a position out of the log is reported. The client then
   stops fetching for good and refuses to seek, so the partition is assigned to it anew at the next seek.
4. `poll` hands over rising offsets from the next expected one on. Should the client bring others, they are
   dropped, and it is sought to the expected offset again.
5. `position`, `starts` and `topic` wait for the broker and may be called from another thread; all else
   belongs to the loop's thread and does not wait.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from stream_worker.adapters.kafka.topic import ANSWER_TIMEOUT_S, describe
from stream_worker.core.partition.inputs import LogPosition
from stream_worker.core.records.batch import Records
from stream_worker.core.records.poll import Poll, TopicFacts, rising_from
from stream_worker.errors import Unavailable

CONSUMER_PROPERTIES: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "partition.assignment.strategy": "cooperative-sticky",
    # A fast consumer empties the queue and would wait a second before the next fetch
    "fetch.queue.backoff.ms": 5,
    "queued.min.messages": 50_000,
}
"""What the delivery protocol rests on."""

QUEUES_KBYTES, QUEUE_KBYTES_MIN = 32_768, 512
"""Records that wait to be taken: 32 MiB over all partitions of the topic, and at least 512 KiB of each."""

OUT_OF_RANGE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001 - its public name


class KafkaSource:
    """One member of the consumer group of one topic."""

    def __init__(
        self,
        client: dict[str, Any],
        topic: str,
        group: str,
        *,
        session_timeout_ms: int,
        records_max: int,
        partitions: int,
        on_trouble: Callable[[str], None],
    ) -> None:
        self._topic, self._group, self._records_max = topic, group, records_max
        self._bootstrap = client["bootstrap.servers"]
        self._on_trouble = on_trouble
        admin_properties: dict[str, Any] = {**client, "error_cb": self._note}
        self._admin = AdminClient(admin_properties)
        self._consumer = Consumer(
            {
                **CONSUMER_PROPERTIES,
                **client,
                # The client's bound holds for each partition, so all of them share ours
                "queued.max.messages.kbytes": max(QUEUE_KBYTES_MIN, QUEUES_KBYTES // max(1, partitions)),
                "group.id": group,
                "session.timeout.ms": session_timeout_ms,
                "heartbeat.interval.ms": max(100, session_timeout_ms // 10),
                "error_cb": self._note,
                "on_commit": self._committed,
            }
        )
        self._revoked: list[int] = []
        self._assigned: list[int] = []
        self._expected: dict[int, int] = {}  # the next offset of each partition that was sought
        self._to_seek: dict[int, int] = {}
        self._stranded: set[int] = set()  # out of the log: the client fetches and seeks no more
        self._ends: dict[TopicPartition, Future[Any]] | None = None
        self.commits_failed = 0
        self._consumer.subscribe(
            [topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
        )

    def poll(self, timeout_s: float) -> Poll:
        """Take the next records of partitions that are not paused. Raises Unavailable on a fatal error."""
        self._seek_pending()
        messages: list[Any] = self._consumer.consume(self._records_max, timeout_s)
        taken: dict[int, tuple[list[int], list[int], list[bytes | None]]] = {}
        ends: dict[int, int] = {}
        out_of_range: list[int] = []
        for message in messages:
            error = message.error()
            if error is not None:
                self._take_error(message, error, ends, out_of_range)
                continue
            partition: int = message.partition()
            columns = taken.get(partition)
            if columns is None:
                columns = taken[partition] = ([], [], [])
            columns[0].append(message.offset())
            columns[1].append(message.timestamp()[1])
            columns[2].append(message.value())
            if ends:
                ends.pop(partition, None)  # the end was seen before this record
        revoked, self._revoked, assigned, self._assigned = self._revoked, [], self._assigned, []
        self._stranded.update(out_of_range)
        records = {partition: self._expected_of(partition, columns) for partition, columns in taken.items()}
        return Poll(
            revoked,
            assigned,
            {partition: found for partition, found in records.items() if found.offsets},
            {partition: end for partition, end in ends.items() if self._reads(partition, end)},
            [partition for partition in out_of_range if self._reads(partition)],
        )

    def _reads(self, partition: int, offset: int | None = None) -> bool:
        """Whether the partition is read from where it was sought, and `offset` does not lie before that."""
        expected = None if partition in self._to_seek else self._expected.get(partition)
        return expected is not None and (offset is None or offset >= expected)

    def _expected_of(
        self, partition: int, columns: tuple[list[int], list[int], list[bytes | None]]
    ) -> Records:
        """Return the records that rise from the expected offset; seek there again if there are others."""
        if not self._reads(partition):
            return Records([], [], [])  # fetched before a seek, which is still to be made
        offsets = columns[0]
        good = rising_from(offsets, self._expected[partition])
        if good:
            self._expected[partition] = offsets[good - 1] + 1
        if good == len(offsets):
            return Records(*columns)
        expected = self._to_seek[partition] = self._expected[partition]
        brought = f"the client brought offset {offsets[good]} instead of {expected}"
        self._on_trouble(f"partition {partition}: {brought}; it is sought again")
        return Records(offsets[:good], columns[1][:good], columns[2][:good])

    def position(self, partition: int) -> LogPosition:
        """Ask the broker where the log begins and ends, and what is committed. Raises Unavailable."""
        at = TopicPartition(self._topic, partition)
        group = ConsumerGroupTopicPartitions(self._group, [at])
        first = self._admin.list_offsets({at: OffsetSpec.earliest()}, request_timeout=ANSWER_TIMEOUT_S)
        last = self._admin.list_offsets({at: OffsetSpec.latest()}, request_timeout=ANSWER_TIMEOUT_S)
        committed = self._admin.list_consumer_group_offsets([group], request_timeout=ANSWER_TIMEOUT_S)
        log_start, log_end = self._answer(first[at]).offset, self._answer(last[at]).offset
        known = self._answer(committed[self._group]).topic_partitions
        return LogPosition(log_start, log_end, max(known[0].offset, -1) if known else -1)

    def starts(self, policy: Literal["earliest", "latest"]) -> list[int]:
        """Ask for the first, or the next, offset of every partition. Raises Unavailable."""
        spec = OffsetSpec.earliest() if policy == "earliest" else OffsetSpec.latest()
        specs = {TopicPartition(self._topic, p): spec for p in range(self.topic().partitions)}
        answers = self._admin.list_offsets(specs, request_timeout=ANSWER_TIMEOUT_S)
        return [self._answer(answers[at]).offset for at in specs]

    def topic(self) -> TopicFacts:
        """Ask which incarnation the topic is, and how many partitions it has. Raises Unavailable."""
        topic = describe(self._admin, self._topic, self._bootstrap)
        return TopicFacts(topic.incarnation, topic.partitions)

    def joined(self) -> bool:
        """Whether this process is a member of its group."""
        return bool(self._consumer.memberid())

    def seek(self, partition: int, offset: int) -> None:
        """Read on from `offset`, and resume."""
        self._to_seek[partition] = self._expected[partition] = offset
        self._seek_pending()

    def pause(self, partition: int) -> None:
        """Bring no more records of this partition until it is resumed."""
        self._consumer.pause([TopicPartition(self._topic, partition)])

    def resume(self, partition: int) -> None:
        """Go on behind the last record handed over."""
        self._consumer.resume([TopicPartition(self._topic, partition)])

    def log_end(self, partition: int) -> int:
        """Return the newest end of the log that a fetch reported; 0 before the first."""
        _, end = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        return max(0, end)

    def ask_ends(self, partitions: Sequence[int]) -> None:
        """Ask for the ends of these partitions without waiting."""
        if not partitions:
            return
        specs = {TopicPartition(self._topic, partition): OffsetSpec.latest() for partition in partitions}
        self._ends = self._admin.list_offsets(specs, request_timeout=ANSWER_TIMEOUT_S)

    def answered_ends(self) -> dict[int, int] | None:
        """Return the answer to the last question, once; None while it is under way, empty if it failed."""
        ends = self._ends
        if ends is None:
            return {}
        if not all(future.done() for future in ends.values()):
            return None
        self._ends = None
        if any(future.exception() for future in ends.values()):
            return {}
        return {at.partition: future.result().offset for at, future in ends.items()}

    def commit(self, partition: int, offset: int) -> None:
        """Tell Kafka where the archive is, without waiting."""
        self._consumer.commit(offsets=[TopicPartition(self._topic, partition, offset)], asynchronous=True)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for at in partitions:
            at.offset = 0  # never read: paused until we seek. It may be out of the log: see `_reads`
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)
        self._assigned += [at.partition for at in partitions]

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_unassign(partitions)
        for at in partitions:
            self._to_seek.pop(at.partition, None)
            self._expected.pop(at.partition, None)
            self._stranded.discard(at.partition)
            if at.partition in self._assigned:
                self._assigned.remove(at.partition)
            else:
                self._revoked.append(at.partition)

    def _seek_pending(self) -> None:
        for partition, offset in list(self._to_seek.items()):
            at = TopicPartition(self._topic, partition, offset)
            try:
                if partition in self._stranded:
                    self._consumer.incremental_unassign([at])
                    self._consumer.incremental_assign([at])
                    self._stranded.remove(partition)
                else:
                    self._consumer.seek(at)
                self._consumer.resume([at])
            except KafkaException as failure:
                if failure.args[0].code() != KafkaError._STATE:  # noqa: SLF001 - its public name
                    raise self._unavailable(failure) from None
                continue  # the fetcher has not started yet: sought again at the next poll
            del self._to_seek[partition]

    def _take_error(
        self, message: Any, error: KafkaError, ends: dict[int, int], out_of_range: list[int]
    ) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
            ends[message.partition()] = message.offset()
        elif error.code() in OUT_OF_RANGE:
            out_of_range.append(message.partition())
        elif error.fatal():
            raise Unavailable(f"Kafka at {self._bootstrap} (kafka.bootstrap_servers): {error.str()}")
        else:
            self._note(error)

    def _committed(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is not None or any(at.error for at in partitions):
            self.commits_failed += 1  # a hint: the next one carries more

    def _note(self, error: KafkaError) -> None:
        self._on_trouble(f"Kafka at {self._bootstrap} (kafka.bootstrap_servers): {error.str()}")

    def _answer(self, future: Future[Any]) -> Any:
        try:
            return future.result(ANSWER_TIMEOUT_S + 1)
        except KafkaException as failure:
            raise self._unavailable(failure) from None
        except TimeoutError:
            raise Unavailable(
                f"Kafka at {self._bootstrap} (kafka.bootstrap_servers): no answer in {ANSWER_TIMEOUT_S:.0f} s"
            ) from None

    def _unavailable(self, failure: KafkaException) -> Unavailable:
        error: KafkaError = failure.args[0]
        return Unavailable(f"Kafka at {self._bootstrap} (kafka.bootstrap_servers): {error.str()}")
