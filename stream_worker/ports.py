"""The outside world, as the worker sees it: one Protocol per role, and the values that cross it.

Rules:
1. Every method is safe to repeat, to lose the answer of and to arrive late (docs/design.md#r1).
2. `Unavailable` means *unknown* (docs/design.md#r5): ask the same again. Nothing here swallows an error.
3. All times are ms UTC. `now_ms` in an answer is Redis TIME and only ever used as docs/design.md#r2 allows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.alerting.inputs import OutboxSnapshot
from stream_worker.core.alerting.notification_log import Message, NotificationEntry, OutboxEntry, Receipt
from stream_worker.core.alerting.retry_queue import SendOutcome
from stream_worker.core.archive.layout import LogOrigin, Manifest, Plan, StoredObject
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Applied, Cursor, LogPosition, PlanLog
from stream_worker.core.reconcile.redis_position import RedisPosition
from stream_worker.core.records.batch import PackedBatch, Rejected, ScoredBatch
from stream_worker.core.records.poll import Poll, TopicFacts

# Source


class Source(Protocol):
    """Where the worker gets records. A partition is paused from its assignment until `seek`."""

    def poll(self, timeout_s: float) -> Poll: ...
    def position(self, partition: int) -> LogPosition: ...
    def starts(self, policy: Literal["earliest", "latest"]) -> list[int]: ...
    def topic(self) -> TopicFacts:
        """Ask which incarnation the topic is, and how many partitions it has."""

    def joined(self) -> bool:
        """Whether this process is a member of its group."""

    def seek(self, partition: int, offset: int) -> None:
        """Read on from `offset`, and resume."""

    def pause(self, partition: int) -> None: ...
    def resume(self, partition: int) -> None: ...
    def log_end(self, partition: int) -> int:
        """Newest known end of the log, from the last fetch; for people, not for proofs."""

    def ask_ends(self, partitions: Sequence[int]) -> None:
        """Ask the broker, without waiting, for the ends of these partitions; see `answered_ends`."""

    def answered_ends(self) -> dict[int, int] | None:
        """The answer to the last `ask_ends`, once; None while it is under way, empty if there is none."""

    def commit(self, partition: int, offset: int) -> None:
        """Tell Kafka, without waiting, where the archive is; a hint for tools and for `find_plan_log`."""

    def close(self) -> None: ...


# The rolling picture: Redis


class Aggregates(Protocol):
    """The rolling picture and its cursors (docs/design.md#redis). All methods raise Unavailable."""

    def create_cursor(self, partition: int, start: int, watermark_ms: int, complete_from_ms: int) -> Cursor:
        """Create the cursor if there is none; return what is stored."""

    def cursor(self, partition: int) -> Cursor | None: ...
    def advance_cursor(
        self, partition: int, expected: int, to: int, watermark_ms: int, complete_from_ms: int
    ) -> Cursor | None:
        """Compare-and-set the cursor over records that are gone, raise the floor; return what is stored."""

    def apply(self, calls: Sequence[Apply]) -> list[Applied]:
        """Apply in order, in one round trip."""

    def seal(
        self, partition_count: int, lateness_ms: int, max_hold_ms: int, older_log: str = ""
    ) -> SealResult:
        """Seal what may be sealed; `older_log`: one that is known to be older; the group is taken from it."""

    def brands(self) -> Mapping[str, int | None]:
        """Admitted brands and the start of their first on-time minute, ms; None: only late ones so far."""

    def shard(self, number: int) -> Shard: ...
    def next_sealed(self, after_ms: int) -> SealedMinute | None:
        """The first sealed minute that starts at or after `after_ms`, with its frozen fields."""

    def close(self, *calls: Close) -> set[int]:
        """Write judged shards of a minute in one round trip; returns the numbers of those that were written.

        One that is missing was written by somebody else, or its minute was sealed again: read it again.
        """

    def history(self, brand: str, hours_ms: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Closed minutes of these hours: start -> ten sums, on-time and late together."""

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease: so that one worker seals, judges and draws; truth never needs it."""

    def publish_change(self, kind: str, minutes_ms: Sequence[int], brands: Sequence[str]) -> None:
        """Append one change notice; at most 100 brands are named, more are `*`."""

    def refresh_view(self, brands: Sequence[str] | None) -> None:
        """Overwrite the rolling hash `now:<brand>` of these brands (None: all): a view, never judged."""

    def ping(self) -> str:
        """Name and version of the server, for `check`."""


class SnapshotReader(Protocol):
    """Redis as the audit and the daily batch read it: each part with the position of its very instant.

    Nothing is written, not even that a script ran. Every method raises Unavailable, and Unreadable for values
    that are not ours; each may be repeated, and then reads a later instant.
    """

    def position(self) -> RedisPosition:
        """Return how far everything is, with the minutes that have a hash."""

    def minute(self, start_ms: int) -> tuple[RedisPosition, dict[str, str]]:
        """Read the hash of a minute; empty if there is none."""

    def history_of_minutes(
        self, hour_ms: int, brands: Sequence[str]
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        """Read the closed minutes of an hour, start -> ten sums, for each of at most 200 brands."""

    def history_of_hours(
        self, day_ms: int, brands: Sequence[str]
    ) -> tuple[RedisPosition, list[dict[str, str]]]:
        """Read the hours of a day, start -> ten sums, for each of at most 200 brands."""

    def admitted_brands(self) -> list[str]:
        """Return the admitted brands, in no order."""

    def admitted_networks(self) -> list[str]:
        """Return the admitted networks, in no order."""

    def close(self) -> None:
        """Close the connection; the reader cannot be used again."""


# Archive


class Archive(Protocol):
    """Create-only objects; the archive's cursor is its chain of plans. All methods raise Unavailable."""

    def find_plan_log(self, partition: int, committed: int) -> PlanLog: ...
    def create_log_origin(self, head: LogOrigin) -> LogOrigin:
        """Create the head, or return the one that is there."""

    def create_plan(self, partition: int, plan: Plan) -> Plan:
        """Create the plan, or return the one that is there with the same start. Raises Unreadable."""

    def plans(self, partition: int) -> list[Plan]:
        """The whole chain, oldest first: for a lost Redis, `skip` and `audit`."""

    def write_rows(
        self, partition: int, plan: Plan, batches: Sequence[ScoredBatch[PackedBatch]]
    ) -> list[StoredObject]:
        """Write one object per event hour; what is there already is read and described instead."""

    def create_manifest(self, partition: int, plan: Plan, manifest: Manifest) -> None: ...
    def keep_dead_value(self, partition: int, offset: int, value: bytes) -> str:
        """Keep a value that the broker refuses as a dead letter; returns its name."""

    def probe(self) -> str:
        """Check that a create-only write is refused the second time; describe the store, for `check`."""


# Dead letters


class DeadLetters(Protocol):
    """The topic of dead letters. Raises Unavailable."""

    def send(self, partition: int, rejected: Sequence[Rejected]) -> None:
        """Produce and flush; when it returns every letter is stored. Identity is the coordinates."""


# Alerts


class Outbox(Protocol):
    """Changes of episodes that workers left in Redis. All methods raise Unavailable; all may be repeated."""

    def read(self, brands: Sequence[str]) -> OutboxSnapshot:
        """Read the outbox, and the state of these brands and of those in the outbox, by one script."""

    def freeze(self, entry: OutboxEntry, message: Message) -> Message | None:
        """Freeze a message for an entry that is as it was read, unless one is frozen.

        Returns the frozen one; None: the entry is not as it was read. Raises Unreadable.
        """

    def remove(self, entry: OutboxEntry, episode_record: str | None) -> None:
        """Remove an entry that is as it was read, while its brand's episode record is, too."""

    def publish(self, message: Message) -> None:
        """Show a message to people: a view, nothing depends on it. A repetition shows it twice."""

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease; False: somebody else has it."""


class NotificationLogs(Protocol):
    """The notification logs in the store, create-only. All methods raise Unavailable; all may be repeated."""

    def list_logs(self) -> tuple[Mapping[str, int], Collection[str]]:
        """The number of the last notification of every log, and the keys of logs that miss a receipt."""

    def read(self, key: str, after: int) -> tuple[Sequence[NotificationEntry], Collection[int]]:
        """The newest notifications behind `after`, and the numbers of those with receipts.

        Raises Unreadable.
        """

    def create(self, key: str, notification: NotificationEntry) -> bool:
        """Create a notification; False: its number is taken, perhaps by an earlier try of ours."""

    def write_receipt(self, key: str, n: int, receipt: Receipt) -> None:
        """Create the receipt of a notification, unless there is one."""


class Channel(Protocol):
    """A way to people."""

    name: str

    def send(self, message: Message) -> SendOutcome:
        """Send once; never raises for what a receiver may do."""


# The background thread


class TopicDescribed(NamedTuple):
    """What the broker says of the topic; `newer_than` is the log that was named before it was asked."""

    facts: TopicFacts
    newer_than: str


T = TypeVar("T")


class Completion(NamedTuple, Generic[T]):
    """What became of a job: what its call returned, or the error that ended its epoch."""

    partition: int
    epoch: int
    name: str  # of the job, for people
    outcome: T | BaseException


class Background(Protocol[T]):
    """Does slow work beside the loop; a job that is Unavailable runs again until there is a reply."""

    def submit(
        self, partition: int, epoch: int, name: str, call: Callable[[], T], *, lookup: bool = False
    ) -> None:
        """Queue a job behind those of its partition; never blocks. `name` is for the log alone.

        A `lookup` may run beside jobs of other partitions. Raises queue.Full past the limit of jobs.
        """

    def completions(self) -> Sequence[Completion[T]]:
        """Take what was completed since the last call; never blocks."""

    def cancel(self, partition: int, epoch: int) -> None:
        """Drop the jobs of an epoch; after this there are no completions of it."""

    def busy(self) -> int:
        """How many jobs are queued, running or waiting to run again."""

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no job is outstanding; False: some still are."""

    def close(self, timeout_s: float) -> bool:
        """Drop all jobs and end the threads; False: a call hangs."""
