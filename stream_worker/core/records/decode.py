"""Records to columns: the verdict on each record, mention or rejected with its reason.

See docs/design.md#verdicts.

Rules:
1. A verdict depends on the record and the limits alone: its bytes, its record time.
2. A rejected record is a value, not an exception; one bad record never hurts its neighbours.
3. The error of a rejected record names the field and what was expected, never what the author wrote.

Theory: nearly every record is good, so the good path is one C-level loop over the batch. It stops at a bad
record, which is decoded again on its own to find out why, and goes on behind it.
"""

import datetime as dt
import re
from contextlib import suppress
from typing import Any, Final

import msgspec
import numpy as np

from stream_worker.core.records.batch import MentionBatch, Records, Rejected
from stream_worker.core.records.limits import Limits
from stream_worker.core.records.mention import AUTHOR_CHARS_MAX, NETWORK_PATTERN, Mention

REASONS: Final = {
    "tombstone": "a record without a value",
    "too_large": "a value larger than the limit",
    "not_json": "not JSON, or not UTF-8",
    "too_deep": "JSON nested too deeply",
    "missing_field": "a required field is absent",
    "empty_field": "id, brand or text is empty or only white space",
    "too_long": "a field longer than its limit",
    "wrong_type": "a field of the wrong type",
    "bad_network": "a network that is not 1 to 32 of a-z 0-9 _ . -",
    "bad_time": "an event time that is not RFC 3339 with an offset",
    "time_unit": "an event time that cannot be milliseconds since 1970",
    "time_future": "an event time too far after its record time",
}
"""Every reason a record can be rejected for, and what it means."""

DEPTH_MAX: Final = 64
"""Levels of arrays and objects inside the record's own object; a number of ours, since the stack's limit is
another one in every process."""

EVENT_TIME_MS_MIN: Final = 946_684_800_000  # the year 2000; a time in seconds lies far below
EVENT_TIME_MS_MAX: Final = 253_402_300_799_999  # the year 9999; a time in micro- or nanoseconds lies above

_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
_MS = dt.timedelta(milliseconds=1)
_NETWORK = re.compile(NETWORK_PATTERN)
_FIELD = re.compile(r"`\$\.([a-z_]+)`$")
_MISSING = re.compile(r"missing required field `([a-z_]+)`")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ERROR_CHARS_MAX = 300

_decoder = msgspec.json.Decoder(Mention)
_raw_decoder = msgspec.json.Decoder()
_FIELDS = frozenset(Mention.__struct_fields__)


class _Bad(Exception):
    def __init__(self, reason: str, field: str, error: str) -> None:
        super().__init__(error)
        self.reason, self.field, self.error = reason, field, error


def decode(records: Records, limits: Limits) -> tuple[MentionBatch, list[Rejected]]:
    """Decode records into the columns of their mentions and the list of the rejected, both in log order."""
    mentions, extras, rejected = _decode_values(records, limits.value_bytes_max)
    times_ms = [_event_time_ms(mention.event_time) for mention in mentions]
    bad = _find_unusable(mentions, times_ms)
    if rejected or bad:
        bad_positions = {position for position, _ in rejected}
        kept_positions = [i for i in range(len(records.offsets)) if i not in bad_positions]
        rejected += [(kept_positions[i], verdict) for i, verdict in bad.items()]
        kept = [i for i in range(len(mentions)) if i not in bad]
        positions = [kept_positions[i] for i in kept]
        mentions, times_ms = [mentions[i] for i in kept], [times_ms[i] for i in kept]
        extras = {new: extras[old] for new, old in enumerate(kept) if old in extras}
    else:
        positions = list(range(len(mentions)))
    columns = _columns(records, positions, mentions, times_ms, extras)
    future = columns.event_times_ms > columns.record_times_ms + limits.future_ms
    if future.any():
        late_by = (columns.event_times_ms - columns.record_times_ms)[future].tolist()
        rejected += [
            (positions[i], _Bad("time_future", "event_time", f"{ms} ms after the record time"))
            for i, ms in zip(np.flatnonzero(future).tolist(), late_by, strict=True)
        ]
        columns = take(columns, np.flatnonzero(~future).tolist())
    return columns, _rejected(records, rejected)


def take(columns: MentionBatch, rows: list[int]) -> MentionBatch:
    """Return the columns of the given rows, in the given order."""

    def pick(values: list[Any]) -> list[Any]:
        return [values[i] for i in rows]

    return MentionBatch(
        columns.offsets[rows],
        columns.record_times_ms[rows],
        columns.event_times_ms[rows],
        *(
            pick(values)
            for values in (
                columns.ids,
                columns.brands,
                columns.networks,
                columns.authors,
                columns.texts,
                columns.urls,
                columns.langs,
                columns.reaches,
                columns.reply_tos,
                columns.extras,
            )
        ),
    )


def _decode_values(
    records: Records, value_bytes_max: int
) -> tuple[list[Mention], dict[int, str], list[tuple[int, _Bad]]]:
    """Decode all values; extras by row, the rejected by position in the batch."""
    mentions: list[Mention] = []
    extras: dict[int, str] = {}
    rejected: list[tuple[int, _Bad]] = []
    values = [
        value if value is None or len(value) <= value_bytes_max else b"" for value in records.values
    ]  # an emptied value stops the fast loop; the slow one then sees the real bytes
    source, done = iter(values), 0
    while done < len(values):
        # extend() keeps what was decoded before the record that raises; that one is looked at below
        with suppress(msgspec.MsgspecError, ValueError, TypeError, RecursionError):
            mentions.extend(map(_decoder.decode, source))  # type: ignore[arg-type]
        done = len(mentions) + len(rejected)
        if done == len(values):
            break
        try:
            mention, extra = _decode_one(records.values[done], value_bytes_max)
            if extra is not None:
                extras[len(mentions)] = extra
            mentions.append(mention)
        except _Bad as bad:
            rejected.append((done, bad))
        done += 1
    return mentions, extras, rejected


def _decode_one(value: bytes | None, value_bytes_max: int) -> tuple[Mention, str | None]:
    """Decode one value slowly: with its unknown fields kept, or with the reason why it cannot be used."""
    if value is None:
        raise _Bad("tombstone", "", "the record has no value")
    if len(value) > value_bytes_max:
        raise _Bad("too_large", "", f"{len(value)} bytes, the limit is {value_bytes_max}")
    if _is_too_deep(value):
        raise _Bad("too_deep", "", f"JSON is nested more than {DEPTH_MAX} levels deep")
    try:
        fields = _raw_decoder.decode(value)
    except (msgspec.DecodeError, ValueError) as error:
        raise _Bad("not_json", "", _short(error)) from None
    try:
        if not isinstance(fields, dict):
            return _decoder.decode(value), None  # raises, and says what it is instead
        extra = {name: fields[name] for name in fields if name not in _FIELDS}
        known = {name: fields[name] for name in fields if name in _FIELDS}
        # Typed again from JSON, so that strictness is that of the fast path, not that of Python objects
        mention = _decoder.decode(msgspec.json.encode(known))
        return mention, msgspec.json.encode(extra).decode() if extra else None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise _explain(error) from None


def _is_too_deep(value: bytes) -> bool:
    """Whether brackets outside of strings, or what should be such, open more than `DEPTH_MAX` levels."""
    if value.count(b"[") + value.count(b"{") <= DEPTH_MAX:
        return False
    brackets = np.frombuffer(_STRING.sub(b"", value).translate(None, _NOT_BRACKETS), np.uint8)
    steps = np.where((brackets == ord("[")) | (brackets == ord("{")), 1, -1)
    return int(steps.cumsum().max(initial=0)) > 1 + DEPTH_MAX  # one is the record's own object


def _explain(error: Exception) -> _Bad:
    message = _short(error)
    missing = _MISSING.search(message)
    if missing:
        return _Bad("missing_field", missing[1], message)
    found = _FIELD.search(message)
    field = found[1] if found else ""
    if "length >= 1" in message:
        return _Bad("empty_field", field, message)
    if "length <=" in message:
        return _Bad("too_long", field, message)
    if field == "event_time" and ("RFC3339" in message or "timezone" in message):
        return _Bad("bad_time", field, message)
    return _Bad("wrong_type", field, message)


def _short(error: Exception) -> str:
    return str(error)[:_ERROR_CHARS_MAX]


def _event_time_ms(event_time: dt.datetime | int) -> int:
    """Milliseconds UTC, rounded down."""
    return event_time if event_time.__class__ is int else (event_time - _EPOCH) // _MS  # type: ignore[operator]


def _find_unusable(mentions: list[Mention], times_ms: list[int]) -> dict[int, _Bad]:
    """Find, by row, mentions of the right types whose values make no sense."""
    bad: dict[int, _Bad] = {}
    odd = {
        network for network in {mention.network for mention in mentions} if not _NETWORK.fullmatch(network)
    }
    for row, mention in enumerate(mentions):
        if not EVENT_TIME_MS_MIN <= times_ms[row] <= EVENT_TIME_MS_MAX:
            error = f"{times_ms[row]} is not a time in ms since 1970 between the years 2000 and 9999"
            bad[row] = _Bad("time_unit", "event_time", error[:_ERROR_CHARS_MAX])
        elif mention.network in odd:
            bad[row] = _Bad("bad_network", "network", f"expected `{NETWORK_PATTERN}`")
        elif mention.brand.isspace() or mention.text.isspace() or mention.id.isspace():
            field = "brand" if mention.brand.isspace() else "text" if mention.text.isspace() else "id"
            bad[row] = _Bad("empty_field", field, "expected more than white space")
        elif mention.author is not None and len(mention.author) > AUTHOR_CHARS_MAX:
            bad[row] = _Bad("too_long", "author", f"expected at most {AUTHOR_CHARS_MAX} characters")
    return bad


def _columns(
    records: Records,
    positions: list[int],
    mentions: list[Mention],
    times_ms: list[int],
    extras: dict[int, str],
) -> MentionBatch:
    offsets = np.array(records.offsets, np.int64)
    record_times_ms = np.array(records.record_times_ms, np.int64)
    return MentionBatch(
        offsets=offsets[positions],
        record_times_ms=record_times_ms[positions],
        event_times_ms=np.array(times_ms, np.int64),
        ids=[m.id for m in mentions],
        brands=[m.brand for m in mentions],
        networks=[m.network for m in mentions],
        authors=[m.author for m in mentions],
        texts=[m.text for m in mentions],
        urls=[m.url for m in mentions],
        langs=[m.lang for m in mentions],
        reaches=[m.reach for m in mentions],
        reply_tos=[m.reply_to for m in mentions],
        extras=[extras.get(i) for i in range(len(mentions))] if extras else [None] * len(mentions),
    )


def _rejected(records: Records, bad: list[tuple[int, _Bad]]) -> list[Rejected]:
    return [
        Rejected(
            records.offsets[i],
            records.record_times_ms[i],
            records.values[i],
            verdict.reason,
            verdict.field,
            verdict.error,
        )
        for i, verdict in sorted(bad, key=lambda item: item[0])
    ]
