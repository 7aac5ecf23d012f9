"""The account of a demo: what was published, and in which one place each record ended.

Rules:
1. What was published is the broker's word. Where it went is what `stream-worker audit` finds, in a process of
   its own, beside the worker that still runs: the archive counted again and compared with Redis and letters.
2. It is taken when Redis has read all; what does not add up is told, never smoothed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from stream_worker.demo.brand_table import PREFIX
from stream_worker.devservers.child_process import leashed
from stream_worker.errors import Unavailable
from stream_worker.quantity import quantity

WAIT_S: Final = 30
"""So long the audit waits for the archive; it cuts a chunk every five seconds."""

BEHIND_MS: Final = 20_000

_COMMAND_S: Final = 120.0
_CODE = Path(__file__).parents[2]


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
    differences: list[str]  # what the audit found, in words

    @property
    def unexplained(self) -> int:
        """Published records that are in no place or in several, and what the audit cannot explain."""
        return abs(self.published - self.counted - self.duplicates - self.rejected) + len(self.differences)

    @property
    def agrees(self) -> bool:
        """Whether every record is in one place."""
        return self.unexplained == 0

    def as_object(self) -> dict[str, Any]:
        """The same for JSON."""
        return {**self._asdict(), "unexplained": self.unexplained}

    def lines(self) -> list[str]:
        """The same for people."""
        found = [
            ("published", self.published, "confirmed by the broker"),
            ("counted", self.counted, "in Redis and, counted again, in the archive"),
            ("duplicates", self.duplicates, "the same mention again: only archived"),
            ("rejected", self.rejected, f"cannot be used: {quantity(self.dead_letters, 'dead letter')}"),
            ("unexplained", self.unexplained, "missing above, or different to the audit"),
            ("archived rows", self.archived, f"counted and duplicates; {self.late:,} came late"),
        ]
        if self.not_delivered:
            found.insert(1, ("not delivered", self.not_delivered, "not confirmed: on the topic or not"))
        said = [f"{what:<14} {number:>9,}   {meaning}" for what, number, meaning in found]
        return [*said, *(f"DIFFERENCE  {line}" for line in self.differences)]


def passed(client: Any) -> int:
    """How many offsets Redis has passed, over all partitions: the sum of its cursors."""
    total = 0
    for key in client.scan_iter(f"{PREFIX}:cursors:*"):
        total += sum(int(v) for name, v in client.hgetall(key).items() if name.startswith("next:"))
    return total


def caught_up(client: Any) -> bool:
    """Whether the past is counted: every partition that has mentions is not far behind the clock."""
    now_ms = time.time() * 1000
    fields = [client.hgetall(key) for key in client.scan_iter(f"{PREFIX}:cursors:*")]
    reached = [int(ms) for one in fields for name, ms in one.items() if name.startswith("wm:") and int(ms)]
    return bool(reached) and min(reached) > now_ms - BEHIND_MS


def ask(settings: Mapping[str, str], command: str, *options: str) -> dict[str, Any]:
    """Run a command of ours with these settings; returns its JSON. Raises Unavailable without one."""
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
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        raise Unavailable(f"the demo's {command} did not end within {_COMMAND_S:.0f} s") from None
    except ValueError:
        line = done.stderr.strip().rpartition("\n")[2]
        raise Unavailable(f"the demo's {command} failed: {line}") from None


def account_of(
    found: Mapping[str, Any], published: int, not_delivered: int, dead_letters: int
) -> RecordAccount:
    """Put the account together; `found` is the report of the audit."""
    differences = [
        f"{it['check']}: {it['where']}: expected {it['expected']}, found {it['found']}"
        for it in found["differences"]
    ]
    return RecordAccount(
        published=published,
        not_delivered=not_delivered,
        counted=found["counted"],
        late=found["late"],
        duplicates=found["duplicates"],
        rejected=found["rejected"],
        archived=found["rows"],
        dead_letters=dead_letters,
        differences=differences,
    )
