"""Read everything the worker keeps in Redis with a plain client, and give the spellings meaning once."""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.e2e.expectation import MEASURES


@dataclass(slots=True)
class Picture:
    """What Redis holds under one prefix. Times are ms; brands and networks are as they are."""

    cells: dict = field(default_factory=dict)  # (minute, network, brand) -> {measure or late_measure: int}
    notes: dict = field(default_factory=dict)  # minute -> {metadata field: text}
    minutes: dict = field(default_factory=dict)  # (hour, brand) -> {minute: ten sums}
    hours: dict = field(default_factory=dict)  # (day, brand) -> {hour: ten sums}
    cursors: dict = field(default_factory=dict)  # partition -> {"next": …, "wm": …}
    brands: set = field(default_factory=set)
    closed_ms: dict = field(default_factory=dict)  # shard -> minutes that start before this are closed
    now: dict = field(default_factory=dict)  # brand -> the fields of its rolling hash
    sealed_ms: int | None = None
    complete_from_ms: int | None = None
    expired: int = 0


def read_picture(client, prefix, log):
    """The whole picture. `client` answers bytes; `log` is `<topic>.<inc>`."""
    picture = Picture()
    for key in client.scan_iter(f"{_escaped(prefix)}:*", count=1000):
        kind, _, rest = key.decode()[len(prefix) + 1 :].partition(":")
        if kind == "m":
            minute_ms = int(rest)
            cells, picture.notes[minute_ms] = split_minute(client.hgetall(key))
            picture.cells |= {(minute_ms, *cell): sums for cell, sums in cells.items()}
        elif kind == "now":
            fields = client.hgetall(key).items()
            picture.now[rest] = {name.decode(): value.decode() for name, value in fields}
    picture.minutes, picture.hours = (read_history(client, prefix, kind) for kind in ("hm", "hd"))
    picture.closed_ms = read_closed(client, prefix)
    picture.cursors = read_cursors(client, prefix, log)
    control = client.hgetall(f"{prefix}:ctl")
    picture.sealed_ms, picture.complete_from_ms = (
        int(control.get(name, -1)) for name in (b"sealed", b"floor")
    )
    picture.expired = int(control.get(b"expired", 0))
    picture.brands = {brand.decode() for brand in client.hkeys(f"{prefix}:brands")}
    return picture


def read_history(client, prefix, kind):
    """The history of minutes (`hm`) or hours (`hd`): (hour or day, brand) -> {minute or hour: ten sums}."""
    history = {}
    for key in client.scan_iter(f"{_escaped(prefix)}:{kind}:*", count=1000):
        start, _, brand = key.decode()[len(f"{prefix}:{kind}:") :].partition(":")
        history[int(start), brand] = {int(at): _ten(sums) for at, sums in client.hgetall(key).items()}
    return history


def read_cursors(client, prefix, log):
    """Partition -> its fields as integers or text."""
    cursors = defaultdict(dict)
    for name, value in client.hgetall(f"{prefix}:cursors:{log}").items():
        what, _, partition = name.decode().partition(":")
        if partition.isdigit():
            cursors[int(partition)][what] = value.decode()
    return dict(cursors)


def split_minute(fields):
    """The cells of a minute hash, and its metadata."""
    cells, notes = defaultdict(dict), {}
    for name, value in fields.items():
        measure, _, rest = name.decode().partition(":")
        if measure.removeprefix("late_") not in MEASURES:
            notes[name.decode()] = value.decode()
            continue
        network, _, brand = rest.partition(":")
        cells[network, brand][measure] = int(value)
    return cells, notes


def _ten(value):
    sums = tuple(int(it) for it in value.decode().split(","))
    assert len(sums) == len(MEASURES), value
    return sums


def _escaped(prefix):
    """A prefix is no pattern."""
    return "".join(f"[{it}]" if it in "*?[" else it for it in prefix)


def read_sealed(client, prefix):
    """Minutes that start before this are sealed; -1 when there is none."""
    return int(client.hget(f"{prefix}:ctl", "sealed") or -1)


def read_closed(client, prefix):
    """Shard -> minutes that start before this are closed."""
    return {number: int(client.hget(f"{prefix}:shard:{number}", "closed") or -1) for number in range(16)}
