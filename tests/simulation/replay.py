"""Record histories and replay them against real servers: `python -m tests.simulation.replay`.

Without options a hundred histories are replayed on a Redis, a folder and an S3 server. `--record` writes down
what the servers of one history saw, `--replay` plays such a file. Exit code 1: a server did something else
than the simulated one; 2: no such history or server.
"""

import argparse
import secrets
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import redis

from stream_worker.adapters.object_store.objects import open_store
from stream_worker.adapters.redis.connection import address_of
from stream_worker.errors import StreamWorkerError
from tests.servers import redis as redis_places
from tests.servers import s3 as s3_places
from tests.servers.choice import Absent
from tests.simulation.histories import NoHistory, profile_of
from tests.simulation.replaying import Difference, RedisReplay, StoreReplay
from tests.simulation.world.faults import Violation
from tests.simulation.world.recording import read, record, write

SAY_EACH = 10


def short(seed):
    """A profile like that of the seed, but for its length; Redis goes back and is emptied more often."""
    profile = profile_of(seed)
    events = profile.events | {"snapshot": 5, "roll_back": 3, "empty_redis": 0.7, "deliver": 8}
    return replace(
        profile, steps=50, past_hours=0, quiet_minutes=0, request=max(0.03, profile.request), events=events
    )


class Servers:
    """What is replayed on: a Redis, a folder and, where there is one, an S3 server."""

    def __init__(self, stack, redis_url=None):
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.redis_url = redis_url
        if redis_url is None:
            server = self._found("Redis", redis_places.private())
            stack.callback(server.close)
            self.redis_url = server.url
        else:
            _check_redis(redis_url)
        self._s3 = self._found("S3", s3_places.SHARED, may_be_absent=True)
        if self._s3 is not None:
            stack.callback(self._s3.close)
            self._bucket = self._s3.new_bucket()

    def _found(self, what, places, *, may_be_absent=False):
        reasons = []
        for place in places:
            try:
                server = place.find()
            except Absent as reason:
                reasons.append(f"{place.name}: {reason}")
            else:
                print(f"replay: {what} = {server}", file=sys.stderr)
                return server
        message = f"no {what} server: {'; '.join(reasons)}"
        if not may_be_absent:
            raise NoHistory(message)
        print(f"replay: {message}", file=sys.stderr)
        return None

    def play(self, recording):
        """Replay a recording on all of them. Raises Difference."""
        replay = RedisReplay(self.redis_url, recording)
        try:
            replay.run()
        finally:
            replay.close()
        place = secrets.token_hex(6)
        StoreReplay(open_store((self._folder / place).as_uri()), recording).run()
        if self._s3 is not None:
            StoreReplay(open_bucket(self._s3, self._bucket, place), recording).run()


def _check_redis(url):
    try:
        with redis.Redis.from_url(url) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise NoHistory(f"no Redis at {address_of(url)}: {error}; is it redis://host:port?") from None


def open_bucket(s3, bucket, place):
    """Open a place in a bucket of a test server."""
    return open_store(
        f"s3://{bucket}/{place}",
        endpoint=s3.endpoint,
        allow_http=True,
        region=s3.region,
        access_key_id=s3.access_key,
        secret_access_key=s3.secret_key,
    )


def main(arguments=None) -> int:
    """Record or replay what was asked for. Returns the exit code."""
    told = _parser().parse_args(arguments)
    try:
        if told.record is not None:
            return _record(told.seed or 0, told.record)
        if told.replay is not None:
            return _replay(told, [lambda: read(told.replay)])
        seeds = [told.seed] if told.seed is not None else range(told.histories)
        return _replay(told, [lambda seed=seed: record(seed, profile_of(seed)) for seed in seeds])
    except (NoHistory, StreamWorkerError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except Violation as violation:
        print(f"replay: already the simulated history is wrong: {violation}", file=sys.stderr)
        return 1


def _record(seed, path):
    recording = record(seed, profile_of(seed))
    try:
        write(path, recording)
    except OSError as error:
        raise NoHistory(f"cannot write {path}: {error.strerror}") from None
    print(f"seed {seed}: {len(recording.steps)} steps in {path}")
    return 0


def _replay(told, sources):
    steps, different, begun_s = Counter(), 0, time.monotonic()
    first = [sources[0]()]  # before any server is started: it may be no history
    with ExitStack() as stack:
        servers = Servers(stack, told.redis)
        for number, source in enumerate(sources, 1):
            recording = first.pop() if first else source()
            steps.update(step.name for step in recording.steps)
            try:
                servers.play(recording)
            except Difference as difference:
                different += 1
                print(f"seed {recording.header.seed}: {difference}"[:1_000], file=sys.stderr)
            if number % SAY_EACH == 0:
                print(f"replay: {number} of {len(sources)}, {different} different", file=sys.stderr)
    for name, times in sorted(steps.items()):
        print(f"{times:9d}  {name}")
    took_s = time.monotonic() - begun_s
    print(f"{len(sources)} histories, {steps.total()} steps, {different} different, in {took_s:.0f} s")
    return 1 if different else 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.replay", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("--histories", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, help="this one history only")
    parser.add_argument("--record", metavar="FILE", help="write down what its servers saw, replay nothing")
    parser.add_argument("--replay", metavar="FILE", help="replay a recording")
    parser.add_argument("--redis", metavar="URL", help="on this Redis, below prefixes of its own")
    return parser


if __name__ == "__main__":
    sys.exit(main())
