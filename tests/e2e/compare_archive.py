"""Compare the archive and the dead letters with what the log says."""

import hashlib
import json
import re
from collections import Counter
from datetime import UTC, datetime

from tests.e2e.expectation import UNSCORED, Difference
from tests.e2e.oracle import HOUR_MS
from tests.e2e.stored_archive import COLUMNS, rows_of

_NAME = re.compile(r"dt=(\d{4}-\d\d-\d\d)/hour=(\d\d)/(.+)\+(\d+)\+(\d{20})-(\d{20})\.parquet")
_HOURS_A_CHUNK = 64
_SPAN = 100_000
OUTCOMES = ("counted", "duplicate", "rejected", "absent", "lost")


def compare_archive(expected, stored):
    """All differences of plans, manifests, objects and rows; and the rows by (partition, offset)."""
    differences = [*_chains(expected, stored), *_manifests(expected, stored)]
    rows, of_objects = _read_rows(expected, stored)
    return differences + of_objects + [*_rows(expected, rows), *_one_score_a_text(rows)], rows


def _chains(expected, stored):
    starts = dict.fromkeys(expected.verdicts, 0)
    if stored.head is None or stored.head["starts"] != list(starts.values()):
        yield Difference("head", expected.log, list(starts.values()), stored.head)
    for partition, verdicts in expected.verdicts.items():
        at = 0
        for (_, start), plan in sorted(it for it in stored.plans.items() if it[0][0] == partition):
            yield from _plan(expected, stored, partition, start, plan)
            if (start, plan["start"]) != (at, at):
                yield Difference("plans chain", f"partition {partition}, plan {start}", at, plan["start"])
            at = plan["end"]
        last = verdicts[-1].record.offset + 1 if verdicts else 0
        if not last <= at <= expected.ends[partition]:
            yield Difference("plans reach the end", f"partition {partition}", expected.ends[partition], at)


def _plan(expected, stored, partition, start, plan):
    where = f"partition {partition}, plan {start}"
    if plan["kind"] != "data" or not start < plan["end"] <= start + _SPAN:
        yield Difference("plans", where, "data over a span", plan)
    for which in ("start", "end"):
        watermark_ms = expected.watermark_ms(partition, plan[which])
        if plan[f"watermark_{which}"] != watermark_ms:
            yield Difference(f"plans' watermark_{which}", where, watermark_ms, plan[f"watermark_{which}"])
    if (partition, start, plan["end"]) not in stored.manifests:
        yield Difference("plans without a manifest", where, "a manifest", None)


def _manifests(expected, stored):
    planned = {(partition, start, plan["end"]) for (partition, start), plan in stored.plans.items()}
    for place, manifest in stored.manifests.items():
        partition, start, end = place
        where = f"partition {partition}, manifest {start}-{end}"
        if place not in planned:
            yield Difference("manifests without a plan", where, "a plan", None)
        inside = expected.between(partition, start, end)
        outcomes = Counter(_outcome(it) for it in inside)
        outcomes["absent"] = end - start - len(inside)
        wanted = {name: outcomes[name] for name in OUTCOMES}
        if manifest["outcomes"] != wanted:
            yield Difference("manifests' outcomes", where, wanted, manifest["outcomes"])
        late = sum(it.late for it in inside)
        if manifest["late"] != late:
            yield Difference("manifests' late", where, late, manifest["late"])
        if manifest["partial"]:
            yield Difference("manifests' partial", where, False, manifest["partial"])
        rows = sum(it["rows"] for it in manifest["objects"])
        if rows != outcomes["counted"] + outcomes["duplicate"]:
            yield Difference("manifests' rows", where, outcomes["counted"] + outcomes["duplicate"], rows)
        hours = {it.mention.event_time_ms // HOUR_MS for it in inside if it.mention is not None}
        if len(hours) != len(manifest["objects"]) or len(hours) > _HOURS_A_CHUNK:
            yield Difference("objects a chunk", where, len(hours), len(manifest["objects"]))


def _outcome(verdict):
    if verdict.mention is None:
        return "rejected"
    return "duplicate" if verdict.duplicate else "counted"


def _read_rows(expected, stored):
    """Rows by coordinates, and what is wrong with the objects that hold them."""
    differences, rows = [], {}
    listed = {it["name"]: (place, it) for place, doc in stored.manifests.items() for it in doc["objects"]}
    for name in sorted(listed.keys() | stored.objects.keys()):
        if name not in stored.objects or name not in listed:
            found = "only " + ("in a manifest" if name in listed else "in the store")
            differences.append(Difference("objects", name, "in the store and in a manifest", found))
            continue
        place, told = listed[name]
        body = stored.objects[name]
        types, of_object = rows_of(body)
        wanted_types = {column: it[0] for column, it in COLUMNS.items()}
        checks = (
            ("objects' sha256", told["sha256"], hashlib.sha256(body).hexdigest()),
            ("objects' bytes", told["bytes"], len(body)),
            ("objects' rows", told["rows"], len(of_object)),
            ("objects' model", {told["model"]}, {row["model"] for row in of_object}),
            ("objects' columns", wanted_types, types),
        )
        differences.extend(Difference(check, name, it, found) for check, it, found in checks if it != found)
        for row in of_object:
            differences.extend(_misplaced(expected, name, place, row))
            at = row["partition"], row["offset"]
            if at in rows:
                differences.append(Difference("rows twice", f"{at}", rows[at][0], name))
            rows[at] = name, row
    return {at: row for at, (_, row) in rows.items()}, differences


def _misplaced(expected, name, place, row):
    """A row in an object whose name does not say so."""
    hour = datetime.fromtimestamp(row["event_time"] // 1000, UTC)
    partition, start, end = place
    wanted = f"dt={hour:%Y-%m-%d}/hour={hour:%H}/{expected.log}+{partition}+{start:020d}-{end:020d}.parquet"
    inside = row["partition"] == partition and start <= row["offset"] < end
    if name != wanted or not inside:
        yield Difference("rows' place", f"({row['partition']}, {row['offset']})", wanted, name)


def _rows(expected, rows):
    wanted = {(it.record.partition, it.record.offset): it for it in expected.mentions()}
    for at in sorted(wanted.keys() | rows.keys()):
        if at not in rows or at not in wanted:
            missing = at not in rows
            yield Difference("rows", f"{at}", "a row" if missing else "none", "none" if missing else "a row")
            continue
        row, fields = rows[at], _fields(expected, wanted[at])
        extra = None if row["extra"] is None else json.loads(row["extra"])
        for name, value in fields.items():
            found = extra if name == "extra" else row[name]
            if found != value or type(found) is not type(value):
                yield Difference(f"rows' {name}", f"{at}", value, found)
        yield from _scores(at, row)


def _fields(expected, verdict):
    mention, record = verdict.mention, verdict.record
    texts = ("id", "brand", "network", "author", "text", "url", "lang", "reach", "reply_to", "extra")
    flags = ("duplicate", "repeat", "voice", "late")
    return (
        {"topic": expected.topic, "partition": record.partition, "offset": record.offset, "schema": 1}
        | {"record_time": record.record_time_ms, "event_time": mention.event_time_ms}
        | {name: getattr(mention, name) for name in texts}
        | {name: getattr(verdict, name) for name in flags}
    )


def _scores(at, row):
    """A score is whole or not there; nothing unscored carries a sentiment."""
    numbers = [row[name] for name in ("sentiment_micro", "p_neg", "p_neu", "p_pos")]
    if row["label"] not in range(5):
        yield Difference("rows' label", f"{at}", "0 to 4", row["label"])
    elif (row["label"] == UNSCORED) != all(it is None for it in numbers) or (
        None in numbers and any(numbers)
    ):
        yield Difference("rows' scores", f"{at}", f"fit for label {row['label']}", numbers)
    elif row["label"] != UNSCORED and not (abs(numbers[0]) <= 10**6 and abs(sum(numbers[1:]) - 1) < 1e-3):
        yield Difference("rows' scores", f"{at}", "-1 … 1, and shares that add up to 1", numbers)


def _one_score_a_text(rows):
    """The same text has the same score, in whatever batch and by whichever worker it was scored."""
    first = {}
    for at, row in sorted(rows.items()):
        score = row["label"], row["sentiment_micro"]
        known_at, known = first.setdefault((row["model"], row["lang"], row["text"]), (at, score))
        if score != known:
            yield Difference("one score a text", f"{at} and {known_at}", known, score)


def compare_letters(expected, letters):
    """Dead letters are exactly the rejected records, at least one each, with the value unchanged."""
    rejected = {
        (it.record.partition, it.record.offset): it
        for verdicts in expected.verdicts.values()
        for it in verdicts
        if it.mention is None
    }
    found = set()
    for letter in letters:
        headers = dict(letter.headers)
        at = int(headers["sw-partition"]), int(headers["sw-offset"])
        found.add(at)
        if at not in rejected:
            yield Difference("dead letters", f"{at}", "none", headers)
            continue
        record = rejected[at].record
        if letter.value != record.value:
            yield Difference("dead letters' value", f"{at} ({rejected[at].why})", record.value, letter.value)
        told = headers["sw-topic"].decode(), headers["sw-record-time"].decode(), bool(headers["sw-reason"])
        if told != (expected.topic, str(record.record_time_ms), True):
            yield Difference(
                "dead letters' headers", f"{at}", (expected.topic, record.record_time_ms), headers
            )
    for at in sorted(rejected.keys() - found):
        yield Difference("dead letters", f"{at}", f"a letter ({rejected[at].why})", None)
