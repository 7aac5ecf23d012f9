"""Names and documents of the archive, letter by letter: they cannot be changed later.

See docs/design.md#the-archive.
"""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.core.archive.layout import (
    Log,
    LogOrigin,
    Manifest,
    Outcomes,
    Plan,
    StoredObject,
    dead_value_name,
    head_name,
    manifest_name,
    plan_name,
    plan_start,
    plans_prefix,
    rows_name,
)
from stream_worker.core.records.limits import Limits
from tests.builders import LOG, NOON_MS

PLAN = Plan(start=7, end=1_234_567, watermark_start=1, watermark_end=2, limits=Limits())


def written(document):
    return json.loads(msgspec.json.encode(document))


def test_names_are_those_of_the_contract():
    assert head_name(LOG) == "_plans/mentions.0a1b2c3d/head.json"
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
        head_name(LOG),
        plan_name(LOG, 0, 0),
        manifest_name(LOG, 0, PLAN),
        dead_value_name(LOG, 0, 0),
    ]

    assert all(name.startswith("_") for name in names)
    assert not rows_name(LOG, 0, PLAN, NOON_MS).startswith("_")


@given(st.lists(st.integers(0, 2**63 - 1), max_size=20), st.integers(0, 10_000))
def test_names_of_plans_sort_as_their_starts_do_and_tell_them(starts, partition):
    names = sorted(plan_name(LOG, partition, start) for start in starts)

    assert [plan_start(name) for name in names] == sorted(starts)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_plans_of_one_partition_are_never_listed_with_another_s(one, other):
    name = plan_name(LOG, one, 5)

    assert name.startswith(plans_prefix(LOG, other)) == (one == other)


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
