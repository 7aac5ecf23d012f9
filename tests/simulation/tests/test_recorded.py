"""Tied to reality: what simulated servers saw, seen by real ones. `make replay` does more of it."""

import secrets
from collections import Counter
from functools import cache

import obstore
import pytest

from stream_worker.adapters.object_store.objects import Objects, open_store
from tests.simulation.histories import NoHistory
from tests.simulation.replay import main, open_bucket, short
from tests.simulation.replaying import Difference, RedisReplay, StoreReplay
from tests.simulation.world.recording import read, record, write

HISTORIES = 12  # on Redis, where a step takes two round trips
ON_A_STORE = {"folder": 6, "s3": 3}
MUST_BE_IN = ("apply", "create_cursor", "seal", "close", "restore", "empty", "create", "list", "read")


@cache
def recorded(seed):
    return record(seed, short(seed))


def replay_on_redis(url, recording):
    replay = RedisReplay(url, recording)
    try:
        replay.run()
    finally:
        replay.close()


def test_a_real_redis_answers_and_holds_what_the_simulated_one_did(redis_server):
    # Given what the scripts were asked in hostile histories
    for seed in range(HISTORIES):
        # When a real server is asked the same
        # Then every answer, every changed key, and all keys at the end are the same
        replay_on_redis(redis_server.url, recorded(seed))


@pytest.mark.parametrize("kind", ON_A_STORE)
def test_a_real_store_answers_and_holds_what_the_simulated_one_did(kind, tmp_path, request):
    if kind == "s3":
        s3 = request.getfixturevalue("s3")
        bucket = s3.new_bucket()
    for seed in range(ON_A_STORE[kind]):
        place = secrets.token_hex(6)
        store = open_bucket(s3, bucket, place) if kind == "s3" else open_store((tmp_path / place).as_uri())
        StoreReplay(store, recorded(seed)).run()


def test_the_recorded_histories_hold_what_matters():
    steps, bites = Counter(), Counter()
    for seed in range(HISTORIES):
        steps.update(step.name for step in recorded(seed).steps)
        bites += recorded(seed).bites
    assert [name for name in MUST_BE_IN if not steps[name]] == []
    assert bites["late request arrived"] > 0
    assert bites["CAS miss"] > 0
    assert bites["object was there"] > 0


def test_a_server_that_does_something_else_is_told_by_step_and_key(redis_server):
    # Given a recording with another count in one key
    recording = recorded(0)
    steps = list(recording.steps)
    at, step = next((n, it) for n, it in enumerate(steps) if any(key.startswith("m:") for key in it.keys))
    key = next(key for key in step.keys if key.startswith("m:"))
    steps[at] = type(step)(**{name: getattr(step, name) for name in step.__struct_fields__})
    steps[at].keys = step.keys | {key: step.keys[key] | {"mentions": "99"}}

    # When it is replayed
    # Then the difference names them
    with pytest.raises(Difference, match=f"step {at}, .*{key} holds"):
        replay_on_redis(redis_server.url, recording._replace(steps=steps))


def test_a_store_that_overwrites_is_told(tmp_path, monkeypatch):
    # Given a store that creates whatever is there
    recording = next(it for it in map(recorded, range(HISTORIES)) if it.bites["object was there"])
    monkeypatch.setattr(
        Objects, "create", lambda self, name, body: bool(obstore.put(self._store, name, body))
    )

    # When a history is replayed in which objects are refused
    # Then the difference says so
    with pytest.raises(Difference, match=r"creating .* is True, not False"):
        StoreReplay(open_store("memory:///"), recording).run()


def test_a_recording_survives_its_file(tmp_path):
    path = tmp_path / "history"
    write(path, recorded(1))
    assert read(path).steps == recorded(1).steps


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot read"),
        (b"", "is no recording"),
        (b'{"v": 1, "seed": 1}\n', "is no recording"),
        (b'{"what": "recorded history", "v": 2, "seed": 1, "max_brands": 1}\n', "version 2"),
        (b'{"what": "recorded history", "v": 1, "seed": 1, "max_brands": 1}\n', "no step"),
        (b'{"what": "recorded history", "v": 1, "seed": 1, "max_brands": 1}\n{"na', "line 2"),
        (b'{"what": "recorded history", "v": 1, "seed": 1, "max_brands": 1}\n{"name": "fly"}', "'fly'"),
    ],
)
def test_a_file_that_is_no_recording_is_a_clear_error(content, told, tmp_path, capsys):
    path = tmp_path / "history"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(NoHistory, match=told):
        read(path)

    assert main(["--replay", str(path)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1", "nonsense"])
def test_a_redis_that_is_not_there_is_a_clear_error(url, tmp_path, capsys):
    write(tmp_path / "history", recorded(1))

    assert main(["--replay", str(tmp_path / "history"), "--redis", url]) == 2
    assert "no Redis at" in capsys.readouterr().err
