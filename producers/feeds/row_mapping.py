"""A row of a file becomes a mention, or is skipped and counted with its reason.

Rules:
1. Nothing is dropped in silence: each row is a mention or stands in `Skipped`.
2. A skipped row is reported by number and reason, never with its text.
3. Networks are made to fit the contract: lower case, any other character becomes `_`.
"""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from producers.feeds.files import FileRow
from producers.feeds.times import has_no_offset, read_time
from stream_worker.core.records.mention import (
    AUTHOR_CHARS_MAX,
    BRAND_CHARS_MAX,
    ID_CHARS_MAX,
    INT64_MAX,
    NETWORK_PATTERN,
    TEXT_CHARS_MAX,
    Mention,
)
from stream_worker.quantity import quantity

SHOWN_MAX = 5
"""So many skipped rows, and so many renamed networks, are listed one by one."""
RENAMED_MAX = 1_000
"""So many renamed networks are remembered. The worker admits 64."""
_NOT_IN_NETWORK = re.compile(r"[^a-z0-9_.-]+")
_NETWORK = re.compile(NETWORK_PATTERN)
_NETWORK_CHARS_MAX = 32


class _SkippedError(ValueError):
    """A row that is no mention; the message is the reason."""


@dataclass
class Skipped:
    """The rows that are no mentions: how many for each reason, and the first few by number."""

    reasons: Counter[str] = field(default_factory=Counter)
    first: list[tuple[int, str]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows were skipped."""
        return self.reasons.total()

    def add(self, number: int, reason: str) -> None:
        """Count one row."""
        self.reasons[reason] += 1
        if len(self.first) < SHOWN_MAX:
            self.first.append((number, reason))

    def lines(self) -> list[str]:
        """Return a report for people; empty when nothing was skipped."""
        if not self.reasons:
            return []
        by_reason = ", ".join(f"{reason}: {rows:,}" for reason, rows in self.reasons.most_common(SHOWN_MAX))
        shown = [f"  row {number:,}: {reason}" for number, reason in self.first]
        more = [f"  … and {self.rows - len(shown):,} more"] if self.rows > len(shown) else []
        return [f"skipped {quantity(self.rows, 'unusable row')} ({by_reason})", *shown, *more]


@dataclass
class RowMapper:
    """Turns rows into mentions, and remembers which networks it renamed."""

    roles: list[str]
    """The role of each value in a row."""
    fixed: Mapping[str, str]
    """Values that are the same for all rows, by role."""
    id_prefix: str = ""
    id_of_row: Callable[[int], str] | None = None
    time_format: str | None = None
    skipped: Skipped = field(default_factory=Skipped)
    renamed: dict[str, str] = field(default_factory=dict)
    no_offset: bool = False

    def mentions(self, rows: Iterable[FileRow]) -> Iterator[Mention]:
        """Yield the usable rows in the file's order; `event_time` is in milliseconds."""
        for row in rows:
            if row.problem:
                self.skipped.add(row.number, row.problem)
                continue
            try:
                yield self._mention(row)
            except _SkippedError as reason:
                self.skipped.add(row.number, str(reason))

    def _mention(self, row: FileRow) -> Mention:
        values: dict[str, object] = dict(zip(self.roles, row.values, strict=True))
        values.update(self.fixed)
        post = self.id_of_row(row.number) if self.id_of_row else _needed(values, "id", None)
        return Mention(
            id=_short("id", self.id_prefix + post, ID_CHARS_MAX),
            # A brand is in memory once, however many rows name it.
            brand=sys.intern(_needed(values, "brand", BRAND_CHARS_MAX)),
            network=self._network(_needed(values, "network", None)),
            text=_needed(values, "text", TEXT_CHARS_MAX, strip=False),
            event_time=self._time(values.get("time")),
            author=_optional(values, "author", AUTHOR_CHARS_MAX),
            url=_optional(values, "url", None),
            lang=_optional(values, "lang", None),
            reach=_reach(values.get("reach")),
            reply_to=_optional(values, "reply_to", None),
        )

    def _time(self, value: object) -> int:
        try:
            ms = read_time(value, self.time_format)
        except (ValueError, OverflowError) as error:
            raise _SkippedError("no readable time") from error
        # The first row is enough: a column is written in one way.
        if not self.no_offset and has_no_offset(value):
            self.no_offset = True
        return ms

    def _network(self, name: str) -> str:
        if _NETWORK.fullmatch(name):
            return sys.intern(name)
        if name not in self.renamed:
            fitting = _NOT_IN_NETWORK.sub("_", name.lower())[:_NETWORK_CHARS_MAX].strip("_")
            if not fitting:
                raise _SkippedError("network has no letter or digit")
            if len(self.renamed) >= RENAMED_MAX:
                return fitting
            self.renamed[name] = fitting
        return self.renamed[name]


def _needed(values: Mapping[str, object], role: str, chars_max: int | None, *, strip: bool = True) -> str:
    text = _text(role, values.get(role))
    if not text.strip():
        raise _SkippedError(f"no {role}")
    return _short(role, text.strip() if strip else text, chars_max)


def _optional(values: Mapping[str, object], role: str, chars_max: int | None) -> str | None:
    value = values.get(role)
    return None if value is None else _short(role, _text(role, value).strip(), chars_max) or None


def _short(role: str, text: str, chars_max: int | None) -> str:
    if chars_max is not None and len(text) > chars_max:
        raise _SkippedError(f"{role} longer than {chars_max:,} characters")
    return text


def _text(role: str, value: object) -> str:
    """Return a cell as text; absent (None, NaN) is the empty text."""
    if isinstance(value, str) and value.isascii():
        return value  # nearly every cell; what follows is for the others
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # an id column with gaps becomes 42.0 in many tools
    if isinstance(value, dict | list | bool):
        raise _SkippedError(f"{role} is not a text")
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _SkippedError(f"{role} is not UTF-8") from error
    return text


def _reach(value: object) -> int | None:
    text = "" if value is None else _text("reach", value).strip().removesuffix(".0")
    if not text:
        return None
    if not text.isdecimal() or len(text) > len(str(INT64_MAX)) or int(text) > INT64_MAX:
        raise _SkippedError("reach is not a whole number")
    return int(text)
