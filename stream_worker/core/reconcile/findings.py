"""Differences: one thing each that is not as it must be, in words for whoever is woken by it."""

from collections.abc import Iterable
from typing import Final, NamedTuple

LISTED_MAX: Final = 50
"""So many are kept and shown; all are counted."""


class Difference(NamedTuple):
    """`check` names the rule, `where` the minute and brand or the object (docs/operations.md)."""

    check: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.check}: {self.where}: expected {self.expected}, found {self.found}"


class Findings:
    """The first differences, the number of all, and what is not as usual but explained."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.count = 0
        self.notes: list[str] = []

    def add(self, differences: Iterable[Difference]) -> None:
        """Count differences, and keep the first."""
        for difference in differences:
            self.count += 1
            if len(self.differences) < LISTED_MAX:
                self.differences.append(difference)

    def differ(self, check: str, where: str, expected: object, found: object) -> None:
        """Count one difference."""
        self.add([Difference(check, where, str(expected), str(found))])

    def note(self, line: str) -> None:
        """Keep an explanation, once; past the limit the rest is only hinted at."""
        if line not in self.notes and len(self.notes) < LISTED_MAX:
            self.notes.append(line)
