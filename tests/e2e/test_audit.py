"""The audit on real servers: clean after a run, and every fault told by name."""

import hashlib
import io
import json
import os
import re
import secrets
import time
from contextlib import contextmanager
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from typer.testing import CliRunner

from stream_worker.cli.app import app
from stream_worker.errors import StreamWorkerError
from tests.e2e.log_dump import dump
from tests.e2e.oracle import HOUR_MS, MINUTE_MS
from tests.e2e.publishing import publish
from tests.e2e.scene import Scene, minute_after
from tests.e2e.traffic import Phase, traffic
from tests.e2e.workers import settings, staff, wait_until

SEED, COUNT = 11, 1_500

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("audit")]  # `system` is made once


class System:
    """A topic that one worker has worked off, and the ways to change it by hand and back."""

    def __init__(self, environment, scene, folder):
        self.environment, self.scene, self.folder = environment, scene, folder
        self.redis, self.prefix, self.log = scene.client, scene.prefix, scene.log

    def audit(self, *arguments, **environment):
        """Run `stream-worker audit`; the exit code, the report, and what stderr said."""
        done = self.invoke("--json", "--wait", "1s", *arguments, **environment)
        if isinstance(done.exception, StreamWorkerError):
            return done.exception.exit_code, {}, str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, json.loads(done.stdout), done.stderr

    def invoke(self, *arguments, **environment):
        kept = {name: it for name, it in os.environ.items() if not name.startswith("STREAM_WORKER_")}
        with patch.dict(os.environ, {**kept, **self.environment, **environment}, clear=True):
            return CliRunner().invoke(app, ["audit", *arguments])

    def files(self, pattern):
        return sorted(it for it in self.folder.glob(pattern) if it.is_file())

    @contextmanager
    def file_changed(self, path, change):
        """`change` gets the bytes and gives others, or None for no file at all."""
        before = path.read_bytes()
        after = change(before)
        path.unlink()  # never write into what may be linked
        if after is not None:
            path.write_bytes(after)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            path.write_bytes(before)

    @contextmanager
    def field_changed(self, key, field, change, missing=None):
        """`change` gets the text, `missing` where there is none, and gives another."""
        before = self.redis.hget(key, field)
        self.redis.hset(key, field, change(missing if before is None else before.decode()))
        try:
            yield
        finally:
            self.redis.hdel(key, field) if before is None else self.redis.hset(key, field, before)

    def minute_field(self):
        """The field `n` of some brand, in some minute hash."""
        for key in sorted(self.redis.scan_iter(f"{self.prefix}:m:*")):
            for field in sorted(self.redis.hkeys(key)):
                if field.startswith(b"n:"):
                    return key, field
        raise AssertionError("no minute")

    def history_field(self, kind, unit_ms):
        """The newest value of history that is whole, and not all zeros."""
        closed_ms = int(self.redis.hget(f"{self.prefix}:shard:0", "closed"))
        found = [
            (int(start), key)
            for key in self.redis.scan_iter(f"{self.prefix}:{kind}:*")
            for start, value in self.redis.hgetall(key).items()
            if not value.startswith(b"0,") and int(start) + unit_ms <= closed_ms
        ]
        start, key = max(found)
        return key, str(start)


@pytest.fixture(scope="module")
def system(kafka, redis_server, tmp_path_factory):
    """1,500 hostile records of twenty minutes, worked off by one worker that has stopped since."""
    topic, folder = kafka.new_topic(partitions=2), tmp_path_factory.mktemp("archive")
    prefix, logs = f"{{a{secrets.token_hex(6)}}}", tmp_path_factory.mktemp("logs")
    client = redis_server.client()
    archive = {"archive__url": folder.as_uri(), "archive__rows_max": "300"}
    scene = Scene(kafka, topic, client, prefix, fs.LocalFileSystem(), str(folder))
    end_ms = minute_after(int(time.time() * 1000)) - MINUTE_MS
    phases = (Phase(COUNT, end_ms - 20 * MINUTE_MS, end_ms - 1_000, ancient=True),)
    publish(kafka.bootstrap, topic, traffic(SEED, phases, partitions=2, dedup_window_offsets=300))
    ends = dump(kafka.bootstrap, topic)[1]
    tree = settings(kafka, topic, redis_server, prefix, archive, kafka__batch_records_max="200")
    with staff(tree, logs) as start:
        worker = start("only")
        wait_until(lambda: scene.is_done(ends, end_ms), "all counted, archived and closed", 60, [worker])
        worker.stop()
    yield System(tree, scene, folder)
    for key in client.scan_iter(f"{prefix}*", count=1_000):
        client.delete(key)
    client.close()


def test_it_is_clean_after_a_run_and_says_where_every_offset_went(system):
    # When it is audited
    code, report, said = system.audit()

    # Then nothing differs, and the outcomes are all offsets
    assert (code, report["differences"]) == (0, []), said
    places = ("counted", "duplicates", "rejected", "absent", "lost")
    assert sum(report[place] for place in places) == report["offsets"] == COUNT
    assert report["rows"] == report["counted"] + report["duplicates"]
    assert min(report[name] for name in ("duplicates", "rejected", "late")) > 0
    assert report["unexplained"] == 0


def test_for_people_it_is_a_table_and_one_last_word(system):
    code, _, _ = system.audit()
    done = system.invoke("--wait", "1s")

    lines = done.stdout.splitlines()
    assert code == 0
    assert lines[0].split()[:4] == ["PARTITION", "OFFSETS", "COUNTED", "DUPLICATES"]
    assert lines[3].split()[:2] == ["all", f"{COUNT}"]
    assert re.fullmatch(r"clean: every offset is in its one place \([\d,]+ rows, \d+s\)", lines[-1])


# ---------------------------------------------------------------- changed by hand


def json_with(**changes):
    """Change fields of a document; a function gets the old value."""

    def change(body):
        document = json.loads(body)
        for path, value in changes.items():
            *above, last = path.split("__")
            inner = document
            for name in above:
                inner = inner[name]
            inner[last] = value(inner[last]) if callable(value) else value
        return json.dumps(document).encode()

    return change


def rows_with(change):
    """Change the rows of an object, as a list of dicts."""

    def rewrite(body):
        table = pq.read_table(io.BytesIO(body))
        rows = table.to_pylist()
        change(rows)
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), out)
        return out.getvalue()

    return rewrite


def louder(rows):
    next(row for row in rows if not row["duplicate"])["brand"] = "Acme, louder"


def plus(number):
    return lambda value: type(value)(int(value) + number)


def plan(system, at=0):
    return system.files(f"_plans/{system.log}/0/*.json")[at]


def manifest(system, at=0):
    return system.files(f"_manifests/{system.log}/0/*.json")[at]


def rows(system):
    """The largest object: it holds counted rows."""
    return max(system.files("dt=*/hour=*/*.parquet"), key=lambda path: path.stat().st_size)


def name_of(path):
    return "/".join(path.parts[-3:])


def first_plus_one(value):
    first, _, rest = value.partition(",")
    return f"{int(first) + 1},{rest}"


def brand(system):
    return repr(system.minute_field()[1].decode().split(":", 2)[2])


@contextmanager
def foreign(path, name):
    """A copy of an object under a name that no manifest knows."""
    copy = path.with_name(name)
    copy.write_bytes(path.read_bytes())
    try:
        yield
    finally:
        copy.unlink()


@contextmanager
def row_and_manifest(system):
    """A row changed by somebody who also knew to change the sha256 in its manifest."""
    path = rows(system)
    owner = next(
        it for it in system.files(f"_manifests/{system.log}/*/*.json") if name_of(path) in it.read_text()
    )
    with system.file_changed(path, rows_with(louder)):
        body = path.read_bytes()

        def rewritten(objects):
            own = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            return [it | own if it["name"] == name_of(path) else it for it in objects]

        with system.file_changed(owner, json_with(objects=rewritten)):
            yield


BY_HAND = {
    "a row and its manifest": (
        row_and_manifest,
        "minute",
        lambda s: "brand '' (all that Redis has not admitted)",
    ),
    "a foreign object": (
        lambda s: foreign(rows(s), re.sub(r"-0(\d+)\.parquet$", r"-\g<1>9.parquet", rows(s).name)),
        "object",
        lambda s: "9.parquet",
    ),
    "a row": (
        lambda s: s.file_changed(rows(s), rows_with(louder)),
        "object's sha256",
        lambda s: name_of(rows(s)),
    ),
    "a row less": (
        lambda s: s.file_changed(rows(s), rows_with(list.pop)),
        "object's rows",
        lambda s: name_of(rows(s)),
    ),
    "a row twice": (
        lambda s: s.file_changed(rows(s), rows_with(lambda it: it.append(it[0]))),
        "rows twice",
        lambda s: "offset",
    ),
    "no Parquet": (
        lambda s: s.file_changed(rows(s), lambda body: body[:-20]),
        "object's rows",
        lambda s: name_of(rows(s)),
    ),
    "an object gone": (
        lambda s: s.file_changed(rows(s), lambda _: None),
        "object",
        lambda s: name_of(rows(s)),
    ),
    "a plan's end": (
        lambda s: s.file_changed(plan(s), json_with(end=plus(1))),
        "plans chain",
        lambda s: "partition 0",
    ),
    "a plan's start": (
        lambda s: s.file_changed(plan(s), json_with(start=plus(1))),
        "plan",
        lambda s: plan(s).name,
    ),
    "a plan's watermark": (
        lambda s: s.file_changed(plan(s, -1), json_with(watermark_end=plus(1))),
        "plan's watermark",
        lambda s: "partition 0",
    ),
    "a plan gone": (
        lambda s: s.file_changed(plan(s), lambda _: None),
        "plans chain",
        lambda s: "partition 0",
    ),
    "the last plan gone": (
        lambda s: s.file_changed(plan(s, -1), lambda _: None),
        "plans chain",
        lambda s: "partition 0",
    ),
    "the last plan's end": (
        lambda s: s.file_changed(plan(s, -1), json_with(end=plus(1))),
        "plans chain",
        lambda s: "partition 0",
    ),
    "a plan of rubbish": (lambda s: s.file_changed(plan(s), lambda _: b"{"), "plan", lambda s: plan(s).name),
    "a manifest's count": (
        lambda s: s.file_changed(manifest(s), json_with(outcomes__counted=plus(1))),
        "manifest's sum",
        lambda s: "partition 0",
    ),
    "a manifest's duplicates": (
        lambda s: s.file_changed(
            manifest(s), json_with(outcomes__counted=plus(1), outcomes__duplicate=plus(-1))
        ),
        "manifest's counts",
        lambda s: "partition 0",
    ),
    "a manifest's rejected": (
        lambda s: s.file_changed(
            manifest(s), json_with(outcomes__rejected=plus(1), outcomes__absent=plus(-1))
        ),
        "dead letters",
        lambda s: "partition 0",
    ),
    "a manifest's late": (
        lambda s: s.file_changed(manifest(s), json_with(late=plus(1))),
        "manifest's late",
        lambda s: "partition 0",
    ),
    "a manifest of rubbish": (
        lambda s: s.file_changed(manifest(s), lambda _: b"null"),
        "manifest",
        lambda s: manifest(s).name,
    ),
    "a count in Redis": (lambda s: s.field_changed(*s.minute_field(), plus(1)), "minute", brand),
    "a minute of history": (
        lambda s: s.field_changed(*s.history_field("hm", MINUTE_MS), first_plus_one),
        "history of minutes",
        lambda s: "minute ",
    ),
    "an hour of history": (
        lambda s: s.field_changed(*s.history_field("hd", HOUR_MS), first_plus_one),
        "history of hours",
        lambda s: "hour ",
    ),
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_changed_by_hand_is_told_by_name(system, what):
    # Given a system in which one thing was changed
    change, check, where = BY_HAND[what]
    named = where(system)
    with change(system):
        # When it is audited
        code, report, said = system.audit()

    # Then the audit fails, and its differences name the rule and the place
    assert code == 1, said
    told = {(it["check"], it["where"]) for it in report["differences"]}
    assert report["unexplained"] > 0
    assert [1 for at, place in told if at == check and named in place], told


def test_counts_moved_from_late_to_on_time_are_told(system):
    """The sum of both is right: only the rows know that these were late."""
    # Given a minute with late mentions
    key, field = next(
        (key, field)
        for key in sorted(system.redis.scan_iter(f"{system.prefix}:m:*"))
        for field in sorted(system.redis.hkeys(key))
        if field.startswith(b"late_n:")
    )
    on_time = field.removeprefix(b"late_")
    before = system.redis.hget(key, on_time)

    # When they are moved
    with (
        system.field_changed(key, field, plus(-1)),
        system.field_changed(key, "late_mentions", plus(-1)),
        system.field_changed(key, "mentions", plus(1), missing="0"),
    ):
        system.redis.hincrby(key, on_time, 1)
        code, report, _ = system.audit()
        system.redis.hdel(key, on_time) if before is None else system.redis.hset(key, on_time, before)

    # Then they are found
    assert code == 1
    assert "minute on time" in {it["check"] for it in report["differences"]}


# ---------------------------------------------------------------- what is asked for


def test_a_range_is_audited_by_itself(system):
    code, report, _ = system.audit("--partition", "0", "--from", "10", "--to", "20")

    (account,) = report["partitions"]
    assert (code, report["differences"], report["redis_as_of_ms"]) == (0, [], None)
    assert account["start"] <= 10
    assert account["end"] >= 20
    assert account["offsets"] == account["end"] - account["start"]
    assert "not compared" in " ".join(report["notes"])


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("--partition", "7"), 78, "there is no partition 7: {topic} has 0 to 1"),
        (("--partition", "0", "--from", "99999"), 78, "there is no range [99999, "),
        (("--partition", "0", "--from", "5", "--to", "99999"), 78, "there is no range [5, 99999)"),
        (("--partition", "0", "--from", "5", "--to", "5"), 78, "there is no range [5, 5)"),
    ],
)
def test_a_range_that_does_not_exist_is_one_clear_line(system, arguments, code, line):
    found, _, said = system.audit(*arguments)

    assert found == code
    assert line.format(topic=system.scene.topic) in said
    assert "\n" not in said


def test_a_range_needs_its_partition(system):
    done = system.invoke("--from", "3")

    assert done.exit_code == 2
    assert "--partition" in done.stderr


def test_a_topic_that_nobody_started_on_is_one_clear_line(system, kafka):
    topic = kafka.new_topic(partitions=1)

    code, _, said = system.audit(STREAM_WORKER_KAFKA__TOPIC=topic)

    assert code == 78
    assert f"no worker has ever started on {topic}." in said


def test_an_emptied_redis_that_nobody_fills_is_waited_for_and_named(system):
    code, _, said = system.audit(STREAM_WORKER_REDIS__PREFIX="{nothing}")

    assert code == 69
    assert "Redis has no cursor of partitions 0, 1 of " in said
    assert system.redis.keys("{nothing}*") == []  # looking leaves no trace


def test_an_archive_that_is_behind_is_waited_for_and_named(system):
    # Given a Redis that has counted five offsets more than are archived
    cursors = f"{system.prefix}:cursors:{system.log}"
    with system.field_changed(cursors, "next:0", plus(5)):
        code, _, said = system.audit()

    # Then it says so, and what it waited for
    at = system.redis.hget(cursors, "next:0").decode()
    assert code == 69
    assert f"partition 0 is archived up to {at}, Redis has counted up to {int(at) + 5}" in said


def test_minutes_below_the_floor_are_explained(system):
    # Given a Redis that was emptied and claims to hold only what came after
    minutes = sorted(int(it) for it in system.redis.zrange(f"{system.prefix}:minutes", 0, -1))
    with system.field_changed(f"{system.prefix}:ctl", "floor", lambda _: f"{minutes[-3]}"):
        code, report, _ = system.audit()

    # Then what is older is archived, and no difference
    assert (code, report["differences"]) == (0, [])
    assert report["expired"] > COUNT // 2
