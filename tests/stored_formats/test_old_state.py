"""State of an older release works as it is: nobody has to convert, empty or restart anything by hand."""

import json

import pytest

from stream_worker.core.time import MINUTE_MS
from tests.stored_formats import dumps, golden, old_state, scenario, script, surfaces

OF_A_SEAL = ("mark", "sealed_ms_at", "version")
"""Which seal it was, and when: a worker that was away seals later."""
SAME_FILES = ("redis.json", "archive.json", "api.json", "live.json")
"""What a system has that went on with the old state; dead letters and webhooks of before are elsewhere."""


@pytest.fixture(scope="module")
def continued(redis_server, tmp_path_factory):
    """A system of today that found the state of the old release, and went on to the end of the log."""
    folder = tmp_path_factory.mktemp("continued")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        scenario.system(redis_server.url, folder / "archive", monkeypatch) as system,
    ):
        old_state.load(system)
        for minute in range(script.STOPS_AFTER + 1):
            system.send(minute)
        system.clock.now_ms += (script.STOPS_AFTER + 1) * MINUTE_MS
        scenario.play_on(system)
        yield system, golden.collect(system, folder / "out", monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(redis_server, tmp_path_factory):
    """A system that lived through the whole log without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        scenario.system(redis_server.url, folder / "archive", monkeypatch) as system,
    ):
        scenario.play(system)
        yield system


def test_the_old_release_was_killed_amid_its_chunks():
    # Given what it left behind
    names = list(dumps.dump_archive(old_state.ARCHIVE))
    rows = {name.rpartition("/")[2].split("+", 1)[1] for name in names if name.endswith(".parquet")}
    done = {_place(name) for name in names if name.startswith("_manifests/")}
    planned = {_place(name) for name in names if name.startswith("_plans/") and "head" not in name}

    # Then two chunks are planned and not done, of one of them rows are there,
    unfinished = sorted(planned - done)
    assert [partition for partition, _ in unfinished] == [scenario.WITHOUT_ROWS, scenario.WITHOUT_MANIFEST]
    begun = [partition for partition, at in unfinished if any(f"{partition}+{at:020d}" in of for of in rows)]
    assert begun == [scenario.WITHOUT_MANIFEST]
    # and of each partition more is counted than planned
    cursors = _stored()[f"cursors:{scenario.LOG.name}"]["value"]
    for partition in range(script.PARTITIONS):
        assert int(cursors[f"next:{partition}"]) > max(at for of, at in planned if of == partition)


def test_the_old_release_was_killed_amid_an_episode():
    # Given what it left behind
    stored = _stored()
    names = list(dumps.dump_archive(old_state.ARCHIVE))

    # Then an episode is open,
    shards = [of["value"] for key, of in stored.items() if key.startswith("shard:")]
    assert [name for of in shards for name in of if "episode" in name] == [f"episode:{script.CRISIS_BRAND}"]
    # its opening was told and has no link yet, and its escalation was not told at all
    assert {name.rpartition(".")[2] for name in stored["outbox"]["value"]} == {"opened", "escalated"}
    assert {name.rpartition(".")[2] for name in stored["fixed"]["value"]} == {"opened"}
    assert [fields["id"].rpartition(".")[2] for fields in stored["alerts"]["value"].values()] == ["opened"]
    assert not any(name.startswith("_alerts/") for name in names)


def test_a_worker_and_a_notifier_go_on_with_it_as_if_it_were_their_own(continued):
    # Given the old state, When today's processes have gone on, Then what they have stored and answer by now
    # is what it was when the old release itself went on
    _, found = continued
    for name in SAME_FILES:
        expected = (golden.GOLDEN / name).read_text(encoding="utf-8")
        if told := golden.difference(name, golden.render(found[name]), expected):
            pytest.fail(told, pytrace=False)
    expected = json.loads((golden.GOLDEN / "batch.json").read_text(encoding="utf-8"))
    assert found["batch.json"]["daily"] == expected["daily"]


def test_every_mention_is_counted_and_archived_once_and_everything_told(continued, undisturbed):
    # Given a system that was never disturbed, When another one was killed and went on with another release
    system, _ = continued

    # Then counts, detector and cursors are the same,
    assert _lasting(system) == _lasting(undisturbed)
    # so are the rows, however they were cut into objects,
    assert _rows(system) == _rows(undisturbed)
    # and people were told the same, each message with link and receipt
    assert _told(system) == _told(undisturbed)
    kinds = [json.loads(message)["kind"] for message in _told(system)]
    assert kinds == ["opened", "escalated", "resolved"]


def test_a_configuration_file_with_every_setting_of_the_old_release_loads_as_it_did():
    # When
    shown = {row["setting"]: row for row in surfaces.shown_settings("--config", str(old_state.CONFIG))}

    # Then each setting is there, is read from the file, and means what it meant
    expected = json.loads(old_state.CONFIG_SHOWN.read_text(encoding="utf-8"))
    assert {name: shown[name]["value"] for name in expected} == expected
    assert {shown[name]["from"] for name in expected} == {f"file {old_state.CONFIG}"}


def test_the_old_configuration_file_has_every_setting_of_its_release():
    # A release that adds a setting leaves the old file as it is, and takes its name out here.
    added_since = set()
    expected = json.loads(old_state.CONFIG_SHOWN.read_text(encoding="utf-8"))

    assert {row["setting"] for row in surfaces.shown_settings()} - added_since == set(expected)


def _stored():
    return json.loads(old_state.REDIS.read_text(encoding="utf-8"))


def _place(name):
    """Partition and first offset of the chunk whose plan or manifest has this name."""
    *_, partition, file = name.split("/")
    return int(partition), int(file[:20])


def _lasting(system):
    """What Redis holds of the log for ever: the counts of minutes, history, detector, episodes, cursors."""
    stored = dumps.without_last_digits(dumps.dump_redis(system.redis.client, system.redis.prefix))
    kinds = ("m:", "hm:", "hd:", "shard:", "brands", "networks", "models", "minutes")
    lasting = {
        key: {name: it for name, it in of["value"].items() if name not in OF_A_SEAL}
        for key, of in stored.items()
        if key.startswith(kinds)
    }
    cursors = stored[f"cursors:{scenario.LOG.name}"]["value"]
    return lasting | {name: it for name, it in cursors.items() if name.startswith(("next:", "wm:"))}


def _rows(system):
    objects = dumps.dump_archive(system.folder)
    return sorted(
        (row for name, of in objects.items() if name.endswith(".parquet") for row in of["rows"]),
        key=lambda row: row[1:3],  # partition, offset
    )


def _told(system):
    """The bodies of all messages that have a link and a receipt, in order."""
    objects = dumps.dump_archive(system.folder)
    links = [name for name in objects if name.startswith("_alerts/")]
    assert all(name.replace("_alerts/", "_receipts/") in objects for name in links)
    return [json.loads(objects[name])["body"] for name in links]
