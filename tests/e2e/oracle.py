"""The oracle: what the log says, recounted with plain Python from the text of the contract alone.

It shares no code with the worker. Its rules, all about one partition and smaller offsets only:

1. *Verdict*: a record is a mention, or it is rejected.
2. *Earlier* means an earlier mention, whatever its own flags, at most `dedup_window_offsets` offsets and
   at most `dedup_window_ms` of record time back.
3. *Duplicate*: an earlier mention has the same network, id and brand.
4. *Repeat*: an earlier mention has the same text key. *Voice*: no repeat, and fewer than three earlier
   mentions of the same author and brand; without an author a mention is a voice of its own.
5. *Watermark* before a record: the greatest min(event time, record time) of all mentions before it, less the
   allowed lateness; none before the first mention. *Late*: the watermark has reached the window's end.
"""

import datetime as dt
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
YEAR_2000_MS = 946_684_800_000
FUTURE_MS = 5 * MINUTE_MS
VOICES = 3
LONGEST = {"id": 512, "brand": 1024, "text": 1_000_000, "author": 512}  # characters, docs/schema/mention.json

_REQUIRED = ("id", "brand", "network", "text", "event_time")
_TEXTS = ("author", "url", "lang", "reply_to")
_FIELDS = {*_REQUIRED, *_TEXTS, "reach"}
_NETWORK = re.compile(r"[a-z0-9_.-]{1,32}")
_RFC_3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Record:
    """What Kafka holds. Headers are kept as they came: a list of (name, bytes)."""

    partition: int
    offset: int
    record_time_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that decide verdicts and flags."""

    dedup_window_offsets: int = 50_000
    dedup_window_ms: int = 60 * MINUTE_MS
    lateness_ms: int = 30_000
    value_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Mention:
    id: str
    brand: str
    network: str
    text: str
    event_time_ms: int
    author: str | None = None
    url: str | None = None
    lang: str | None = None
    reply_to: str | None = None
    reach: int | None = None
    extra: dict | None = None

    @property
    def minute_ms(self):
        return self.event_time_ms - self.event_time_ms % MINUTE_MS


@dataclass(slots=True)
class Verdict:
    """One record with its verdict; `why` is set and `mention` is None when it is rejected.

    `watermark_ms` is the one before this record; None before the first mention.
    """

    record: Record
    mention: Mention | None
    watermark_ms: int | None
    why: str = ""
    duplicate: bool = False
    repeat: bool = False
    voice: bool = False
    late: bool = False


class Refused(Exception):
    """The record cannot be used; the message says why."""


def judge(records, limits):
    """Verdicts of the records of ONE partition, given in the order of their offsets, and its watermark."""
    memory = _Memory(limits)
    watermark_ms = None
    verdicts = []
    for record in records:
        try:
            mention = decode(record, limits)
        except Refused as reason:
            verdicts.append(Verdict(record, None, watermark_ms, why=str(reason)))
            continue
        verdict = Verdict(record, mention, watermark_ms)
        memory.flag(verdict)
        if watermark_ms is not None:
            verdict.late = watermark_ms >= mention.minute_ms + MINUTE_MS
        moved_ms = min(mention.event_time_ms, record.record_time_ms) - limits.lateness_ms
        watermark_ms = moved_ms if watermark_ms is None else max(watermark_ms, moved_ms)
        verdicts.append(verdict)
    return verdicts, watermark_ms


@dataclass(slots=True)
class _Memory:
    """Where each identity, text key and author was seen: key -> [(offset, record time)]."""

    limits: Limits
    seen: dict = field(default_factory=lambda: defaultdict(list))

    def flag(self, verdict):
        record, mention = verdict.record, verdict.mention
        same_id = ("id", mention.network, mention.id, mention.brand)
        same_text = ("text", text_key(mention.brand, mention.text))
        same_author = ("author", mention.author, mention.brand)
        verdict.duplicate = self._earlier(same_id, record) > 0
        verdict.repeat = self._earlier(same_text, record) > 0
        spoke = 0 if mention.author is None else self._earlier(same_author, record)
        verdict.voice = not verdict.repeat and spoke < VOICES
        for key in (same_id, same_text, same_author):
            self.seen[key].append((record.offset, record.record_time_ms))

    def _earlier(self, key, record):
        near = [at for at in self.seen[key] if record.offset - at[0] <= self.limits.dedup_window_offsets]
        self.seen[key] = near  # offsets only grow: what is too far now stays too far
        return sum(record.record_time_ms - time_ms <= self.limits.dedup_window_ms for _, time_ms in near)


def text_key(brand, text):
    """The text key before it is hashed: equal strings and equal hashes are the same thing here."""
    words = [word for word in text.lower().split() if not word.startswith(("http", "@")) and word != "rt"]
    return brand + "\0" + " ".join(words)


def decode(record, limits):
    """The mention in a record; raises Refused."""
    value = record.value
    if value is None:
        raise Refused("tombstone")
    if len(value) > limits.value_bytes:
        raise Refused("too large")
    try:
        known = json.loads(value.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("not JSON") from None
    if not isinstance(known, dict):
        raise Refused("not an object")
    _refuse_strange(known)
    return _typed(known, record.record_time_ms)


def _typed(known, record_time_ms):
    _refuse_wrong_types(known)
    _refuse_wrong_lengths(known)
    if not _NETWORK.fullmatch(known["network"]):
        raise Refused("network")
    event_time_ms = _event_time(known["event_time"])
    if event_time_ms < YEAR_2000_MS or event_time_ms > record_time_ms + FUTURE_MS:
        raise Refused("event time")
    extra = {name: value for name, value in known.items() if name not in _FIELDS}
    plain = {name: known.get(name) for name in _FIELDS - {"event_time"}}
    return Mention(event_time_ms=event_time_ms, extra=extra or None, **plain)


def _refuse_wrong_types(known):
    for name in _REQUIRED:
        if name not in known:
            raise Refused(f"no {name}")
    for name in ("id", "brand", "network", "text"):
        if not isinstance(known[name], str):
            raise Refused(f"{name} is no text")
    for name in _TEXTS:
        if not isinstance(known.get(name), str | None):
            raise Refused(f"{name} is no text")
    reach = known.get("reach")
    if reach is not None and (type(reach) is not int or not 0 <= reach < 1 << 63):
        raise Refused("reach is no integer")


def _refuse_wrong_lengths(known):
    if not known["id"] or not known["brand"].strip() or not known["text"].strip():
        raise Refused("empty id, brand or text")
    for name, longest in LONGEST.items():
        if len(known.get(name) or "") > longest:
            raise Refused(f"{name} is too long")


def _event_time(given):
    """Milliseconds since 1970 of an RFC 3339 time or of integer milliseconds."""
    if type(given) is int:
        return given
    found = _RFC_3339.fullmatch(given) if isinstance(given, str) else None
    if not found:
        raise Refused("event time")
    *date, fraction, sign, hours, minutes = found.groups()
    try:
        moment = dt.datetime(*map(int, date), tzinfo=dt.UTC)
    except ValueError:
        raise Refused("event time") from None
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    shift_s = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1) if sign else 0
    whole_s = since.days * 86_400 + since.seconds - shift_s
    return whole_s * 1000 + int(((fraction or "") + "000")[:3])


def _refuse_strange(value):
    """Lone surrogates and infinities are JSON to Python, and cannot be stored as UTF-8 or JSON."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Refused("surrogate") from None
        elif isinstance(value, float) and not math.isfinite(value):
            raise Refused("huge number")
        elif isinstance(value, dict):
            todo.extend(value)
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")
