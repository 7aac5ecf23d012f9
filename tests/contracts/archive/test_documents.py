"""The contract of `ports.Archive`: documents that cannot be read."""

import msgspec
import pytest

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import open_store
from stream_worker.core.archive.layout import LogOrigin, manifest_name, origin_name, plan_name
from stream_worker.errors import Unreadable
from tests.contracts.archive.objects import put
from tests.contracts.rows import LOG, plan

pytestmark = pytest.mark.timeout(90)
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "object"),
        (msgspec.json.encode(plan(11, 20)), "starts at 11"),
        (msgspec.json.encode(plan(10, 10)), "not after its start"),
        (msgspec.json.encode(plan(10, 20)).replace(b'"v":1', b'"v":2'), "format version 2"),
        (msgspec.json.encode(plan(10, 20)).replace(b"data", b"maybe"), "maybe"),
        (msgspec.json.encode(plan(10, 20)).replace(b'"end"', b'"End"'), "end"),
    ],
)
def test_a_plan_that_cannot_be_read_says_which_why_and_what_to_do(body, why):
    # Given
    store = open_store("memory:///")
    archive = ObjectArchive(store, LOG)
    name = plan_name(LOG, 0, 10)
    put(store, name, body)

    # When it is met by each of the ways
    for meet in (
        lambda: archive.find_plan_log(0, -1),
        lambda: archive.create_plan(0, plan(10, 30)),
        lambda: archive.plans(0),
    ):
        with pytest.raises(Unreadable) as caught:
            meet()

        # Then
        assert name in str(caught.value)
        assert why in str(caught.value)
        assert "restore it" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_head_or_a_manifest_that_cannot_be_read_stops_too():
    store = open_store("memory:///")
    archive = ObjectArchive(store, LOG)
    made = archive.create_plan(0, plan(0, 5))
    put(store, manifest_name(LOG, 0, made), b"{}")
    with pytest.raises(Unreadable, match=r"_manifests/.*missing required field"):
        archive.find_plan_log(0, -1)

    put(store, origin_name(LOG), b"null")
    with pytest.raises(Unreadable, match=r"head\.json"):
        archive.create_log_origin(LogOrigin(policy="earliest", starts=[0]))
    with pytest.raises(Unreadable, match=r"head\.json"):
        archive.find_plan_log(1, -1)


def test_fields_of_a_later_release_are_no_error():
    store = open_store("memory:///")
    put(store, plan_name(LOG, 0, 0), msgspec.json.encode(plan(0, 5))[:-1] + b',"later":[1]}')

    assert ObjectArchive(store, LOG).find_plan_log(0, -1).last == plan(0, 5)


def test_an_empty_plan_is_never_written(store, archive):
    with pytest.raises(ValueError, match="must cover offsets"):
        archive.create_plan(0, plan(5, 5))

    assert archive.plans(0) == []
