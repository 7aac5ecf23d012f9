"""The account of a demo: what was published, and in which one place each record ended.

Rules:
1. The broker confirms what was published. `stream-worker audit` finds where it went, in a process of its own,
   beside the worker: it counts the archive again, and compares it with Redis and the dead letters.
2. The account is taken when Redis has read all; a difference is reported, never smoothed.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from stream_worker.adapters.redis.keys import CursorField
from stream_worker.demo.brand_table import KEYS
from stream_worker.demo.text_redis import TextRedis
from stream_worker.devservers.child_process import leashed
from stream_worker.errors import Unavailable
from stream_worker.quantity import quantity

WAIT_S: Final = 30
"""How long the audit waits for the archive, which ends a chunk every five seconds."""

BEHIND_MS: Final = 20_000

_COMMAND_S: Final = 120.0
_CODE = Path(__file__).parents[2]
T = TypeVar("T")


class AuditDifference(msgspec.Struct):
    """A difference, as `stream-worker audit --json` reports it."""

    check: str
    where: str
    expected: object
    found: object


class AuditOutcome(msgspec.Struct):
    """What the account takes from the report of the audit."""

    counted: int
    late: int
    duplicates: int
    rejected: int
    rows: int
    differences: list[AuditDifference]


class RecordAccount(NamedTuple):
    """Records by where they ended."""

    published: int  # confirmed by the broker
    not_delivered: int  # not known to be on the topic
    counted: int  # in Redis and in the archive
    late: int  # rows that were late
    duplicates: int
    rejected: int
    archived: int  # rows
    dead_letters: int
    differences: list[str]  # found by the audit, in words

    @property
    def unexplained(self) -> int:
        """Published records that are in no place or in several, and what the audit cannot explain."""
        return abs(self.published - self.counted - self.duplicates - self.rejected) + len(self.differences)

    @property
    def agrees(self) -> bool:
        """Whether every record is in one place."""
        return self.unexplained == 0

    def as_object(self) -> dict[str, object]:
        """Return the account as JSON has it."""
        return {**self._asdict(), "unexplained": self.unexplained}

    def lines(self) -> list[str]:
        """Return the account as lines for people."""
        rows = [
            ("published", self.published, "confirmed by the broker"),
            ("counted", self.counted, "in Redis and, counted again, in the archive"),
            ("duplicates", self.duplicates, "the same mention again: only archived"),
            ("rejected", self.rejected, f"cannot be used: {quantity(self.dead_letters, 'dead letter')}"),
            ("unexplained", self.unexplained, "missing above, or different to the audit"),
            ("archived rows", self.archived, f"counted and duplicates; {self.late:,} came late"),
        ]
        if self.not_delivered:
            rows.insert(1, ("not delivered", self.not_delivered, "not confirmed: on the topic or not"))
        lines = [f"{what:<14} {number:>9,}   {meaning}" for what, number, meaning in rows]
        return [*lines, *(f"DIFFERENCE  {line}" for line in self.differences)]


def passed(client: TextRedis) -> int:
    """Return how many offsets Redis has passed, over all partitions: the sum of its cursors."""
    total = 0
    for key in client.scan_iter(KEYS.cursors("*")):
        fields = client.hgetall(key)
        total += sum(int(v) for name, v in fields.items() if name.startswith(CursorField.NEXT))
    return total


def caught_up(client: TextRedis) -> bool:
    """Tell whether the past is counted: no partition that has mentions is far behind the clock."""
    now_ms = time.time() * 1000
    fields = [client.hgetall(key) for key in client.scan_iter(KEYS.cursors("*"))]
    watermarks = [ms for one in fields for name, ms in one.items() if name.startswith(CursorField.WATERMARK)]
    reached = [int(ms) for ms in watermarks if int(ms)]
    return bool(reached) and min(reached) > now_ms - BEHIND_MS


def run_command(answer: type[T], settings: Mapping[str, str], command: str, *options: str) -> T:
    """Run a command of ours with these settings; returns its JSON as an `answer`.

    Raises Unavailable when the command does not end in time or prints no such JSON.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_WORKER_")}
    try:
        done = subprocess.run(  # noqa: S603  our own program
            leashed([sys.executable, "-m", "stream_worker", command, "--json", *options]),
            env={**others, "PYTHONPATH": str(_CODE), **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_S,
            start_new_session=True,  # Ctrl-C reaches us only
        )
        return msgspec.json.decode(done.stdout, type=answer)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the demo's {command} did not end within {_COMMAND_S:.0f} s") from None
    except msgspec.DecodeError:
        line = done.stderr.strip().rpartition("\n")[2]
        raise Unavailable(f"the demo's {command} failed: {line}") from None


def account_of(audit: AuditOutcome, published: int, not_delivered: int, dead_letters: int) -> RecordAccount:
    """Put the account together."""
    differences = [
        f"{one.check}: {one.where}: expected {one.expected}, found {one.found}" for one in audit.differences
    ]
    return RecordAccount(
        published=published,
        not_delivered=not_delivered,
        counted=audit.counted,
        late=audit.late,
        duplicates=audit.duplicates,
        rejected=audit.rejected,
        archived=audit.rows,
        dead_letters=dead_letters,
        differences=differences,
    )
