"""The report of an audit, and its options."""

from typing import Any, Final, NamedTuple

from stream_worker.core.reconcile.findings import Findings
from stream_worker.core.reconcile.plan_log import OffsetAccount

SUMS: Final = ("offsets", "counted", "duplicates", "rejected", "absent", "lost", "expired", "late", "rows")


class AuditOptions(NamedTuple):
    """What to audit: all, or one partition, or the chunks of it that hold the offsets [start, end)."""

    partition: int | None = None
    start: int | None = None
    end: int | None = None
    wait_s: float = 120.0

    @property
    def whole(self) -> bool:
        """Whether plan logs are read from their very start."""
        return self.start is None and self.end is None


class AuditReport(NamedTuple):
    """What was found."""

    log: str
    accounts: list[OffsetAccount]
    findings: Findings
    redis_as_of_ms: int | None  # None: Redis was not compared
    waited_s: float
    took_s: float

    @property
    def clean(self) -> bool:
        """Whether everything adds up."""
        return self.findings.count == 0

    def totals(self) -> dict[str, int]:
        """Sums over all partitions."""
        return {name: sum(getattr(account, name) for account in self.accounts) for name in SUMS}

    def as_object(self) -> dict[str, Any]:
        """The report for JSON (docs/operations.md)."""
        return {
            "log": self.log,
            **self.totals(),
            "unexplained": self.findings.count,
            "differences": [difference._asdict() for difference in self.findings.differences],
            "notes": self.findings.notes,
            "redis_as_of_ms": self.redis_as_of_ms,
            "waited_s": round(self.waited_s, 1),
            "took_s": round(self.took_s, 1),
            "partitions": [account._asdict() for account in self.accounts],
        }
