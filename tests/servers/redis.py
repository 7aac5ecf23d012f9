"""Redis for tests: an address given, a local install, or the embedded Valkey."""

import os
from dataclasses import dataclass

from stream_worker.devservers.child_process import Child
from stream_worker.devservers.redis import find_redis, start_redis, wheel_redis
from stream_worker.errors import Misconfigured
from tests.servers.choice import Absent, Place


@dataclass
class RedisServer:
    """A server: `url` for clients; `child` is set when we may stop, kill, freeze and start it."""

    url: str
    kind: str  # "Redis" or "Valkey"
    version: str
    origin: str
    child: Child | None = None

    def __str__(self):
        return f"{self.kind} {self.version} ({self.origin})"

    def client(self, **options):
        import redis

        return redis.Redis.from_url(self.url, **options)

    def close(self):
        if self.child is not None:
            self.child.close(grace_s=0)  # nothing in it is worth the wait


def from_environment():
    url = os.environ.get("STREAM_WORKER_TEST_REDIS")
    if not url:
        raise Absent("STREAM_WORKER_TEST_REDIS is not set")
    server = RedisServer(url, "Redis", "of unknown version", "STREAM_WORKER_TEST_REDIS")
    with server.client() as client:
        said = client.info("server")
    server.kind = "Valkey" if said.get("server_name") == "valkey" else "Redis"
    server.version = said.get("valkey_version") or said["redis_version"]
    return server


def from_path(**options):
    program = _found(find_redis)
    if program.origin != "local install":
        raise Absent("neither redis-server nor valkey-server is on PATH")
    return _start(program, **options)


def embedded(**options):
    return _start(_found(wheel_redis), **options)


SHARED = (
    Place("environment", from_environment),
    Place("local install", from_path),
    Place("embedded", embedded, real=False),
)


def private(**options):
    """The places of a server of one's own, started with the options of `start_redis`."""
    return (
        Place("local install", lambda: from_path(**options)),
        Place("embedded", lambda: embedded(**options), real=False),
    )


def _found(finder):
    try:
        return finder()
    except Misconfigured as error:
        raise Absent(str(error)) from None


def _start(program, **options):
    child = start_redis(program=program, **options)
    return RedisServer(child.address, program.kind, program.version, program.origin, child)
