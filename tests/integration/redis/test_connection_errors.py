"""A Redis that is away, frozen, full, read-only or refuses us: what the caller hears."""

import socket
import subprocess
import sys
import time

import pytest

from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.core.aggregates.encoding import shard_of
from stream_worker.core.partition.effects import Apply
from stream_worker.core.partition.inputs import Cursor
from stream_worker.errors import Misconfigured, StreamWorkerError, Unavailable
from tests.checkout import CHECKOUT
from tests.contracts.aggregates.worlds import LOG, NOON, cells, close_call

DOCS = CHECKOUT / "docs" / "redis.md"
CALL = Apply(0, 0, 1, 0, 1, cells((NOON, "acme", 1)))


def counted(server):
    with server.client(decode_responses=True) as client:
        return client.hget(f"{{sw}}:m:{NOON}", "n:x:acme")


def test_a_server_that_is_not_there_is_unavailable_at_its_address_without_the_password():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can answer here
        port = taken.getsockname()[1]
        aggregates = RedisAggregates(f"redis://me:hunter2@127.0.0.1:{port}/3", LOG)

        for ask in (
            aggregates.ping,
            aggregates.brands,
            lambda: aggregates.cursor(0),
            lambda: aggregates.apply([CALL]),
        ):
            with pytest.raises(Unavailable) as caught:
                ask()
            said = str(caught.value)
            assert f"redis://127.0.0.1:{port}/3" in said
            assert "redis.url" in said
            assert "hunter2" not in said


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:6379", "redis://127.0.0.1:port"])
def test_an_address_that_cannot_be_read_is_a_wrong_setting(url):
    with pytest.raises(Misconfigured, match=r"redis\.url"):
        RedisAggregates(url, LOG)


def test_a_frozen_server_is_unavailable_in_time_and_the_repeat_counts_once(private_redis):
    # Given a server that takes a call and does not answer
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG, socket_timeout_s=0.3)
    aggregates.create_cursor(0, 0, 0, NOON)
    server.child.freeze()

    # When the worker asks, and asks again when it is back
    began = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer"):
        aggregates.apply([CALL])
    took = time.monotonic() - began
    server.child.thaw()
    answers = [aggregates.apply([CALL])[0] for _ in range(3)]

    # Then it waited once, no client tried ten times, and the mention is there once
    assert took < 1.5
    assert {a.cursor for a in answers} == {Cursor(1, 0)}
    assert counted(server) == "1"


def test_a_server_that_was_killed_is_found_again_when_it_is_back(private_redis):
    # Given a server that keeps what it is told
    server = private_redis(keep=True)
    aggregates = RedisAggregates(server.url, LOG, socket_timeout_s=1.0)
    aggregates.create_cursor(0, 0, 0, NOON)
    aggregates.apply([CALL])

    # When it is killed and started again
    server.child.kill()
    with pytest.raises(Unavailable):
        aggregates.apply([CALL])
    server.child.start()

    # Then the next call is answered, its scripts loaded anew
    assert aggregates.apply([CALL])[0].cursor == Cursor(1, 0)
    assert counted(server) == "1"


def test_a_full_server_is_unavailable_and_writes_nothing(private_redis):
    # Given a server at its limit
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG)
    aggregates.create_cursor(0, 0, 0, NOON)
    with server.client() as client:
        client.config_set("maxmemory", "1mb")

        # When a delta comes, then it is refused whole
        with pytest.raises(Unavailable, match="memory"):
            aggregates.apply([CALL])
        assert counted(server) is None

        # And applied when there is room
        client.config_set("maxmemory", "0")
        assert aggregates.apply([CALL])[0].applied


def test_a_replica_is_unavailable(private_redis):
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG)
    aggregates.create_cursor(0, 0, 0, NOON)
    with server.client() as client:
        client.replicaof("127.0.0.1", 1)

        with pytest.raises(Unavailable, match="cannot do it now"):
            aggregates.apply([CALL])
        client.replicaof("NO", "ONE")

    assert aggregates.apply([CALL])[0].applied


def test_a_wrong_password_and_a_missing_right_are_wrong_settings(private_redis):
    # Given a server with a password, and a user who may only read
    server = private_redis(options=())
    with server.client() as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+r"], keys=["*"], categories=["+@read", "+@connection"]
        )
        client.config_set("requirepass", "right")

        # When somebody comes without, with a wrong one, and as that user
        refused = {}
        for name, who in {"none": "", "wrong": ":hunter2@", "reader": "reader:r@"}.items():
            aggregates = RedisAggregates(server.url.replace("redis://", f"redis://{who}"), LOG)
            with pytest.raises(Misconfigured, match="refused us") as caught:
                aggregates.create_cursor(0, 0, 0, NOON)
            refused[name] = str(caught.value)

    # Then none of them is to be tried again, and no message has the secret
    assert all("redis.url" in said and "hunter2" not in said for said in refused.values())
    right = RedisAggregates(server.url.replace("redis://", "redis://:right@"), LOG)
    assert right.create_cursor(0, 0, 0, NOON) == Cursor(0, 0)


def test_the_rights_in_the_docs_are_enough(private_redis):
    # Given a user with the rights that docs/redis.md names
    line = next(line for line in DOCS.read_text().splitlines() if line.strip().startswith("ACL SETUSER"))
    server = private_redis()
    with server.client() as client:
        client.execute_command(*line.replace(">secret", ">s").split())
    aggregates = RedisAggregates(server.url.replace("redis://", "redis://stream-worker:s@"), LOG)

    # When a worker does all it does, then nobody refuses it
    aggregates.ping()
    aggregates.create_cursor(0, 0, 0, NOON)
    aggregates.apply(
        [Apply(0, 0, 1, NOON + 60_000, 1, cells((NOON, "acme", 1), (NOON, "acme", 1, {"late": True})))]
    )
    aggregates.advance_cursor(0, 1, 2, 0, NOON)
    aggregates.seal(1, 0, 120_000)
    aggregates.brands()
    sealed = aggregates.next_sealed(-1)
    assert aggregates.close(
        close_call(aggregates.shard(shard_of("acme")), sealed, sums={"acme": (1,) * 10}, outbox={"m": "x"})
    )
    aggregates.history("acme", [NOON])
    aggregates.refresh_view(None)
    aggregates.publish_change("counted", [NOON], ["acme"])
    assert aggregates.lease("minutes", "me", 1_000)


def test_ping_says_what_may_lose_counts(private_redis):
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG)
    plain = aggregates.ping()
    with server.client() as client:
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    evicting = aggregates.ping()

    assert server.version in plain
    assert "appendonly" in plain
    assert "noeviction" in evicting
    assert "noeviction" not in plain


def test_all_of_our_errors_are_one_line(private_redis):
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG)
    aggregates.create_cursor(0, 0, 0, NOON)
    with server.client() as client:
        client.set("{sw}:brands", "foreign")
    with pytest.raises(StreamWorkerError) as caught:
        aggregates.apply([CALL])

    assert "\n" not in str(caught.value)
    assert "script: " not in str(caught.value)


def test_the_example_in_the_docs_reads_what_a_worker_wrote(private_redis):
    # Given a picture of one brand
    server = private_redis()
    aggregates = RedisAggregates(server.url, LOG)
    aggregates.create_cursor(0, 0, 0, NOON)
    aggregates.apply([Apply(0, 0, 1, 0, 1, cells((NOON, "acme: inc", 3, {"neg": 1, "unscored": 1})))])
    aggregates.refresh_view(None)

    # When the ten lines of the docs are run
    example = DOCS.read_text().partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", example],
        env={"REDIS_URL": server.url},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    # Then they say what is there
    assert done.stdout.startswith("acme: inc: 3 mentions, 1 negative, scored 2, as of 1")
