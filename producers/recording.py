"""Opens a recording, and describes it before the first mention is sent."""

import math
import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from producers.errors import Unusable
from producers.feeds.columns import find_columns
from producers.feeds.files import open_rows
from producers.feeds.replay import AHEAD_MS_MAX, BACK_MS_MAX, Pace, Recording, between, outlook, record
from producers.feeds.row_mapping import SHOWN_MAX, RowMapper
from producers.feeds.scheduled import instant
from stream_worker.quantity import quantity

LONG_MS = 24 * 3_600_000
"""A longer replay gets a hint how to make it shorter."""


class RecordedFile(NamedTuple):
    """A file, and the roles of its columns."""

    file: Path
    file_format: str | None
    named: Mapping[str, str]
    """Role → column, as named on the command line."""
    fixed: Mapping[str, str]
    """Role → one value for all rows."""
    id_prefix: str
    id_rows: bool
    time_format: str | None


class PlayedRange(NamedTuple):
    """The part of a file that is played."""

    since_ms: int | None
    until_ms: int | None
    limit: int | None


class OpenedRecording(NamedTuple):
    """A file that can be played."""

    reader: RowMapper
    recording: Recording
    columns: Mapping[str, str]


def open_recording(source: RecordedFile, played: PlayedRange) -> OpenedRecording:
    """Read a file, whole if it fits; raise `Unusable` when it holds nothing to play."""
    rows = open_rows(source.file, source.file_format)
    without = frozenset(source.fixed) | ({"id"} if source.id_rows else set())
    columns = find_columns(str(source.file), rows.columns, source.named, without)
    stem = source.file.name.partition(".")[0]
    reader = RowMapper(
        roles=list(columns),
        fixed=source.fixed,
        id_prefix=source.id_prefix,
        id_of_row=(lambda number: f"{stem}-{number}") if source.id_rows else None,
        time_format=source.time_format,
    )
    mentions = reader.mentions(rows.read(list(columns.values())))
    recording = record(between(mentions, played.since_ms, played.until_ms), played.limit)
    if recording is None:
        within = (
            " between --since and --until"
            if played.since_ms is not None or played.until_ms is not None
            else ""
        )
        why = "".join(f"\n{line}" for line in reader.skipped.lines())
        raise Unusable(f"{source.file}: holds no usable mention{within}{why}")
    return OpenedRecording(reader, recording, columns)


def brief(opened: OpenedRecording, pace: Pace, start_ms: int) -> list[str]:
    """Describe a replay before it begins: columns, length, and warnings."""
    reader, recording, columns = opened
    fixed = [f"{role}={value!r}" for role, value in reader.fixed.items()]
    found = [f"{role}={column}" for role, column in columns.items()]
    lines = [f"columns: {', '.join(found + fixed)}"]
    if reader.renamed:
        renamed = [f"{old!r} to {new!r}" for old, new in islice(reader.renamed.items(), SHOWN_MAX)]
        more = len(reader.renamed) - len(renamed)
        lines.append(f"networks renamed to fit: {', '.join(renamed)}{f' and {more} more' if more else ''}")
    if reader.no_offset:
        lines.append("the times carry no offset: they are read as UTC")
    if recording.last_ms is None:
        return [*lines, "the file is too long to be held: it is played in its own order, not in that of time"]
    if recording.reordered:
        lines.append("the file was not in order of time: it is played in order")
    return [*lines, *reader.skipped.lines(), *_prospect(recording, pace, start_ms)]


def _prospect(recording: Recording, pace: Pace, start_ms: int) -> list[str]:
    ahead = outlook(recording, start_ms, pace)
    assert recording.last_ms is not None
    assert recording.total is not None
    at_speed = "without waiting" if math.isinf(pace.speed) else f"at {pace.speed:g}x: {span(ahead.takes_ms)}"
    first, last = _moment(recording.first_ms), _moment(recording.last_ms)
    lines = [f"{quantity(recording.total, 'mention')} from {first} to {last} UTC, {at_speed}"]
    if ahead.takes_ms > LONG_MS:
        lines.append("that is long: --speed 60x, --gap-max 5s or --since TIME make it shorter")
    if pace.rebase is not None:
        lines.append(f"their times become {_moment(ahead.first_ms)} to {_moment(ahead.last_ms)} UTC")
    if ahead.ahead:
        lines.append(
            f"WARNING: {quantity(ahead.ahead, 'mention')} will lie more than {span(AHEAD_MS_MAX)} ahead of"
            " the clock: the worker rejects them; --rebase now gives each the time at which it is sent"
        )
    if ahead.last_ms < start_ms - BACK_MS_MAX:
        lines.append(
            f"WARNING: these mentions lie {span(start_ms - ahead.last_ms)} back: the worker counts them"
            " in their own minutes, or archives them only where those have passed already, and pages nobody;"
            " add --rebase now to see them live"
        )
    return lines


def span(ms: float) -> str:
    """Return a length of time for people, in its two largest units."""
    seconds = round(ms / 1_000)
    if seconds < 60:
        return f"{ms / 1_000:.3g} s"
    parts = []
    for unit, size in (("y", 31_557_600), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count:,} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _moment(ms: int) -> str:
    return re.sub(r"\.\d+|\+00:00$", "", instant(ms).isoformat(" "))
