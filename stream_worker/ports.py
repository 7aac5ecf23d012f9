"""The outside world, as the loops see it: one Protocol for each role, and the values that cross it.

Rules:
1. Every method may be repeated, may lose its answer and may arrive late (docs/design.md#r1).
2. `Unavailable` means *unknown*, never *failed* (docs/design.md#r5): repeat with the same arguments. No
   adapter swallows an error.
3. All times are ms UTC. `now_ms` in an answer is Redis TIME; use it only as docs/design.md#r2 allows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

from stream_worker.core.aggregates.damage import DamagedField
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
    """Where the worker gets records: one member of a consumer group. Every method may be repeated.

    A partition is paused from its assignment until its first `seek`. `position`, `starts` and `topic` wait
    for the broker and may be called from any thread; all other methods belong to the thread of the loop, and
    of these only `poll` and `close` wait.
    """

    def poll(self, timeout_s: float) -> Poll:
        """Take the next records of partitions that are not paused; wait up to `timeout_s` for the first.

        The reply names lost and new partitions too. It has no record from before a seek that is still to be
        made. Raises Unavailable only for an error after which the client cannot go on.
        """

    def position(self, partition: int) -> LogPosition:
        """Ask the broker where the log begins and ends, and what the group committed. Raises Unavailable."""

    def starts(self, policy: Literal["earliest", "latest"]) -> list[int]:
        """Ask for the first, or the next, offset of every partition, in their order. Raises Unavailable.

        A repetition of `latest` may find higher ones; the log origin in the archive decides once.
        """

    def topic(self) -> TopicFacts:
        """Ask which incarnation the topic is, and how many partitions it has. Raises Unavailable."""

    def joined(self) -> bool:
        """Whether this process is a member of its group."""

    def seek(self, partition: int, offset: int) -> None:
        """Read on from `offset`, and resume. It may take effect only with the next `poll`.

        Raises Unavailable when the client refuses the seek.
        """

    def pause(self, partition: int) -> None:
        """Bring no more records of this partition until it is resumed or sought."""

    def resume(self, partition: int) -> None:
        """Read on behind the last record that was handed over."""

    def log_end(self, partition: int) -> int:
        """Return the end of the log that the last fetch reported, 0 before the first; no proof."""

    def ask_ends(self, partitions: Sequence[int]) -> None:
        """Ask the broker, without waiting, for the ends of these partitions; see `answered_ends`."""

    def answered_ends(self) -> dict[int, int] | None:
        """Return the answer to the last `ask_ends`, once; None: it is under way, empty: there is none."""

    def commit(self, partition: int, offset: int) -> None:
        """Report to Kafka, without waiting, how far the archive is; a hint for tools and `find_plan_log`.

        A failure is only counted: the next commit carries more.
        """

    def close(self) -> None:
        """Leave the group; the source cannot be used again."""


# Counts and views in Redis


class Aggregates(Protocol):
    """Counts, views and cursors of one log (docs/design.md#redis).

    Every method raises Unavailable; then it may have been done, and the caller repeats it with the same
    arguments. Every method raises Misconfigured for rights that are missing or another format version, and
    Unreadable for a control key that is damaged; a script that raises one of these has changed nothing.
    A damaged field that belongs to one brand or minute is left out and reported by the adapter, and all else
    is done.
    """

    def create_cursor(self, partition: int, start: int, watermark_ms: int, complete_from_ms: int) -> Cursor:
        """Create the cursor if there is none; return the stored one. `complete_from_ms` only ever rises."""

    def cursor(self, partition: int) -> Cursor | None:
        """Return the stored cursor; None when there is none, which is not 0.

        As all that return a cursor, raises DamagedField for one that cannot be read.
        """

    def advance_cursor(
        self, partition: int, expected: int, to: int, watermark_ms: int, complete_from_ms: int
    ) -> Cursor | None:
        """Move the cursor over records that are gone, if it is at `expected`, and raise complete_from.

        Returns the cursor that is stored then; None when there is none. A repetition finds the cursor at `to`
        and changes nothing.
        """

    def apply(self, calls: Sequence[Apply]) -> list[Applied | DamagedField]:
        """Count each delta, in order and in one round trip, whose partition's cursor is the expected one.

        A cursor that cannot be read is replied to by its error, and nothing of that call is done.
        A delta and its cursor change together or not at all. A repetition is not applied: the cursor has
        moved, or there was nothing to count.
        """

    def seal(
        self, partition_count: int, lateness_ms: int, max_hold_ms: int, older_log: str = ""
    ) -> SealResult:
        """Seal, in order, the minutes that every partition has passed; trim what was closed long ago.

        `older_log` names a log that is known to be older: the group moves from it to ours. One call seals a
        bounded number of minutes; call again for more.
        """

    def brands(self) -> Mapping[str, int | None]:
        """Return admitted brands and the start of their first on-time minute, ms; None: only late ones."""

    def shard(self, number: int) -> Shard:
        """Read the state of a shard; an empty one when nothing of it was closed. Raises DamagedField."""

    def next_sealed(self, after_ms: int) -> SealedMinute | None:
        """Read the first sealed minute that starts at or after `after_ms`, with its frozen fields."""

    def close(self, *calls: Close) -> set[int]:
        """Write evaluated shards of a minute in one round trip; return the numbers of those written.

        One that is missing was written before, by us or another worker, or its minute was sealed again: read
        shard and minute again. An outbox entry that is there stays as it is.
        """

    def history(self, brand: str, hours_ms: Sequence[int]) -> dict[int, tuple[int, ...]]:
        """Read closed minutes of these hours: start, ms -> ten sums, on-time and late together.

        Raises DamagedField.
        """

    def lease(self, name: str, owner: str, ttl_ms: int) -> bool:
        """Take or renew a lease; False: another owner has it. It saves work, truth never needs it."""

    def publish_change(self, kind: str, minutes_ms: Sequence[int], brands: Sequence[str]) -> None:
        """Append one change notice; at most 100 brands are named, more are `*`.

        A repetition appends another one, which readers take for another change.
        """

    def refresh_view(self, brands: Sequence[str] | None) -> None:
        """Overwrite the rolling view of these brands (None: of all): for readers, never evaluated."""

    def ping(self) -> str:
        """Return name and version of the server, and which of its settings can lose counts, for `check`."""


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
    """Create-only objects of one log; the archive's cursor of a partition is its plan log.

    Every method raises Unavailable; then objects may have been created, and the caller repeats with the same
    arguments. Nothing is ever overwritten. A document that cannot be read is Unreadable: nothing is guessed.
    """

    def find_plan_log(self, partition: int, committed: int) -> PlanLog:
        """Find the log's origin and the newest plan, looking near the committed offset first.

        Raises Unreadable.
        """

    def create_log_origin(self, origin: LogOrigin) -> LogOrigin:
        """Create the log's origin, or return the one that is there. Raises Unreadable."""

    def create_plan(self, partition: int, plan: Plan) -> Plan:
        """Create the plan, or return the one that is there with the same start. Raises Unreadable."""

    def plans(self, partition: int) -> list[Plan]:
        """Read all plans of a partition, oldest first: for a lost Redis and for `skip`. Raises Unreadable."""

    def write_rows(
        self, partition: int, plan: Plan, batches: Sequence[ScoredBatch[PackedBatch]]
    ) -> list[StoredObject]:
        """Write one object for each event hour, oldest first, and describe them.

        One that is there already stays, and is described. Raises Unreadable when that one is damaged.
        """

    def create_manifest(self, partition: int, plan: Plan, manifest: Manifest) -> None:
        """Declare the chunk done; a manifest that is there stays. Call it when every object is written."""

    def keep_dead_value(self, partition: int, offset: int, value: bytes) -> str:
        """Keep a value that the broker refuses as a dead letter; return its name."""

    def probe(self) -> str:
        """Check the rights, and that a second create is refused; describe the store, for `check`.

        Raises Misconfigured for a store that overwrites.
        """


# Dead letters


class DeadLetters(Protocol):
    """The topic of dead letters."""

    def send(self, partition: int, rejected: Sequence[Rejected]) -> None:
        """Send one dead letter for each record, and wait until the broker has confirmed all of them.

        Raises Unavailable; then some may be stored, and a repetition sends all again: a dead letter is
        identified by its coordinates, so twice is once.
        """


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
    """What the broker says of the topic; `newer_than` is the log that was named before the question."""

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
