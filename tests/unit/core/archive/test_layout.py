"""Names and documents of the archive, letter by letter: they cannot be changed later.

See docs/design.md#the-archive.
"""

import datetime as dt
import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.archive import layout
from stream_worker.core.archive.layout import (
    ChunkCoordinates,
    DeadValueCoordinates,
    Log,
    LogOrigin,
    Manifest,
    NotificationCoordinates,
    Outcomes,
    Plan,
    PlanCoordinates,
    RowsCoordinates,
    StoredObject,
    dead_value_name,
    manifest_name,
    origin_name,
    parse_hour,
    parse_plan_name,
    parse_rows_name,
    plan_name,
    plans_prefix,
    rows_name,
)
from stream_worker.core.records.limits import Limits
from tests.builders import LOG, NOON_MS
from tests.checkout import CHECKOUT

PLAN = Plan(start=7, end=1_234_567, watermark_start=1, watermark_end=2, limits=Limits())


def written(document):
    return json.loads(msgspec.json.encode(document))


def test_names_are_those_of_the_contract():
    assert origin_name(LOG) == "_plans/mentions.0a1b2c3d/head.json"
    assert plans_prefix(LOG, 3) == "_plans/mentions.0a1b2c3d/3/"
    assert plan_name(LOG, 3, 7) == "_plans/mentions.0a1b2c3d/3/00000000000000000007.json"
    assert manifest_name(LOG, 3, PLAN) == (
        "_manifests/mentions.0a1b2c3d/3/00000000000000000007-00000000000001234567.json"
    )
    assert rows_name(LOG, 3, PLAN, NOON_MS) == (
        "dt=2026-09-22/hour=12/mentions.0a1b2c3d+3+00000000000000000007-00000000000001234567.parquet"
    )
    assert dead_value_name(LOG, 3, 9) == "_dead/mentions.0a1b2c3d/3/00000000000000000009"


@pytest.mark.parametrize(
    ("hour_ms", "folder"),
    [
        (946_684_800_000, "dt=2000-01-01/hour=00/"),
        (NOON_MS + 11 * 3_600_000, "dt=2026-09-22/hour=23/"),
        (253_402_297_200_000, "dt=9999-12-31/hour=23/"),
    ],
)
def test_rows_lie_under_their_event_hour_in_utc(hour_ms, folder):
    assert rows_name(LOG, 0, PLAN, hour_ms).startswith(folder)


def test_only_rows_have_names_that_do_not_begin_with_an_underscore():
    names = [
        origin_name(LOG),
        plan_name(LOG, 0, 0),
        manifest_name(LOG, 0, PLAN),
        dead_value_name(LOG, 0, 0),
    ]

    assert all(name.startswith("_") for name in names)
    assert not rows_name(LOG, 0, PLAN, NOON_MS).startswith("_")


@given(st.lists(st.integers(0, 2**63 - 1), max_size=20), st.integers(0, 10_000))
def test_names_of_plans_sort_as_their_starts_do(starts, partition):
    names = sorted(plan_name(LOG, partition, start) for start in starts)

    assert [parse_plan_name(name).start for name in names] == sorted(starts)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_plans_of_one_partition_are_never_listed_with_another_s(one, other):
    name = plan_name(LOG, one, 5)

    assert name.startswith(plans_prefix(LOG, other)) == (one == other)


LOGS = st.builds(
    Log,
    st.from_regex(r"[a-zA-Z0-9._-]{1,249}", fullmatch=True),
    st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
)
PARTITIONS = st.integers(0, 100_000)
OFFSETS = st.integers(0, 2**63 - 2)
RANGES = st.tuples(OFFSETS, OFFSETS).map(sorted)
CHUNKS = st.builds(lambda log, p, r: ChunkCoordinates(log, p, *r), LOGS, PARTITIONS, RANGES)
HOURS = st.integers(0, 2_932_896).map(lambda hour: hour * 3_600_000)  # up to the year 2304
DATES = st.dates(dt.date(1970, 1, 1))
NOTIFICATIONS = st.builds(
    NotificationCoordinates, st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.integers(1, 10**9)
)


@given(
    log=LOGS,
    partition=PARTITIONS,
    start=OFFSETS,
    chunk=CHUNKS,
    hour_ms=HOURS,
    date=DATES,
    notification=NOTIFICATIONS,
)
def test_every_name_that_was_built_is_parsed_into_what_it_was_built_from(
    log, partition, start, chunk, hour_ms, date, notification
):
    rows = layout.rows_name(chunk.log, chunk.partition, chunk, hour_ms)
    dead = layout.dead_value_name(log, partition, start)

    assert layout.parse_origin_name(layout.origin_name(log)) == log
    assert layout.parse_log_folder(layout.log_folder(log)) == log
    assert layout.parse_plans_prefix(layout.plans_prefix(log, partition)) == (log, partition)
    assert parse_plan_name(plan_name(log, partition, start)) == PlanCoordinates(log, partition, start)
    assert layout.parse_manifest_name(manifest_name(chunk.log, chunk.partition, chunk)) == chunk
    assert parse_rows_name(rows) == RowsCoordinates(chunk, hour_ms)
    assert parse_hour(rows) == hour_ms
    assert layout.parse_dead_value_name(dead) == DeadValueCoordinates(log, partition, start)
    assert layout.parse_day_folder(layout.day_folder(date)) == date
    assert layout.parse_marker_name(layout.marker_name(date)) == date
    assert layout.parse_profiles_name(layout.profiles_name(date)) == date
    assert layout.parse_notification_name(layout.notification_name(*notification)) == notification
    assert layout.parse_receipt_name(layout.receipt_name(*notification)) == notification


PARSERS = [parse for name, parse in vars(layout).items() if name.startswith("parse_")]
OURS = [
    origin_name(LOG),
    plan_name(LOG, 3, 7),
    manifest_name(LOG, 3, PLAN),
    rows_name(LOG, 3, PLAN, NOON_MS),
    dead_value_name(LOG, 3, 9),
    layout.log_folder(LOG),
    layout.plans_prefix(LOG, 3),
    layout.day_folder(dt.date(2026, 9, 22)),
    layout.marker_name(dt.date(2026, 9, 22)),
    layout.profiles_name(dt.date(2026, 9, 22)),
    layout.notification_name("0123456789abcdef", 1),
    layout.receipt_name("0123456789abcdef", 1),
]


@pytest.mark.parametrize("name", OURS)
def test_a_name_is_parsed_by_the_parser_of_its_kind_alone(name):
    understood = {parse.__name__ for parse in PARSERS if parse(name) is not None}

    assert len(understood - {"parse_hour"}) == 1
    assert ("parse_hour" in understood) == (understood >= {"parse_rows_name"})


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "README.md",
        "_plans",
        "_plans/.json",
        "_plans/mentions/3/00000000000000000007.json",  # no incarnation
        "_plans/mentions.0a1b2c3d/3/7.json",
        "_plans/mentions.0a1b2c3d/03/00000000000000000007.json",
        "_plans/mentions.0a1b2c3d/3/00000000000000000007.json.tmp",
        "_plans/mentions.0a1b2c3d/3/0000000000000000000\N{ARABIC-INDIC DIGIT SEVEN}.json",
        "_manifests/mentions.0a1b2c3d/3/00000000000000000007.json",
        "dt=2026-02-30",
        "dt=2026-02-30/hour=12/mentions.0a1b2c3d+3+00000000000000000007-00000000000000000009.parquet",
        "dt=2026-09-22/hour=24/mentions.0a1b2c3d+3+00000000000000000007-00000000000000000009.parquet",
        "old/dt=2026-09-22/hour=12/mentions.0a1b2c3d+3+00000000000000000007-00000000000000000009.parquet",
        "dt=2026-09-22/hour=12",
        "_days/yesterday.json",
        "_profiles/2026-13-01.json",
        "_alerts/0123456789abcdef/1.json",
        "_alerts/00000001.json",
        "_receipts/0123456789abcdef/00000001.json\n",
        "_dead/mentions.0a1b2c3d/3/00000000000000000009.json",
    ],
)
def test_a_foreign_name_is_none_of_ours(parse, name):
    assert parse(name) is None


@given(st.text())
def test_no_text_breaks_a_parser(text):
    for parse in PARSERS:
        for name in (text, *(f"{ours}{text}" for ours in OURS), *(f"{text}{ours}" for ours in OURS)):
            parse(name)  # returns; what it returns is up to the other tests


def test_an_object_in_the_folder_of_an_hour_has_that_hour_whoever_named_it():
    assert parse_hour("dt=2026-09-22/hour=12/compacted.parquet") == NOON_MS
    assert parse_hour("dt=2026-09-22/compacted.parquet") is None


def test_another_incarnation_is_another_log():
    assert Log("mentions", "00000001").name != Log("mentions", "00000002").name


def test_documents_hold_the_fields_of_the_contract_and_no_others():
    limits = {
        "horizon_offsets": 50_000,
        "horizon_ms": 3_600_000,
        "lateness_ms": 30_000,
        "future_ms": 300_000,
        "value_bytes_max": 1_048_576,
    }
    assert written(LogOrigin(policy="latest", starts=[0, 5])) == {
        "v": 1,
        "policy": "latest",
        "starts": [0, 5],
    }
    assert written(PLAN) == {
        "v": 1,
        "kind": "data",
        "start": 7,
        "end": 1_234_567,
        "watermark_start": 1,
        "watermark_end": 2,
        "text_key": 1,
        "limits": limits,
        "why": None,
    }
    stored = StoredObject(name="dt=…", rows=3, bytes=4, sha256="ab", model="m")
    manifest = Manifest(objects=[stored], outcomes=Outcomes(counted=2, lost=1), late=1, partial=True)
    assert written(manifest) == {
        "v": 1,
        "objects": [{"name": "dt=…", "rows": 3, "bytes": 4, "sha256": "ab", "model": "m"}],
        "outcomes": {"counted": 2, "duplicate": 0, "rejected": 0, "absent": 0, "lost": 1},
        "late": 1,
        "partial": True,
    }


@pytest.mark.parametrize(
    "document",
    [
        LogOrigin(policy="earliest", starts=[]),
        PLAN,
        Plan(kind="skipped", start=0, end=9, watermark_start=0, watermark_end=0, limits=Limits(), why="ops"),
        Manifest(objects=[], outcomes=Outcomes(absent=9), late=0, partial=False),
    ],
)
def test_documents_come_back_as_they_were_written(document):
    assert msgspec.json.decode(msgspec.json.encode(document), type=type(document)) == document


def test_a_document_of_a_later_release_with_fields_more_can_still_be_read():
    later = json.dumps({**written(PLAN), "added": [1]}).encode()

    assert msgspec.json.decode(later, type=Plan) == PLAN


def test_no_other_module_spells_a_name_of_the_archive():
    spelling = re.compile(r"""["'](?:_(?:plans|manifests|days|dead|alerts|receipts|profiles|probe)\b|dt=)""")
    modules = sorted((CHECKOUT / "stream_worker").rglob("*.py"))

    assert [path.name for path in modules if spelling.search(path.read_text("utf-8"))] == ["layout.py"]
