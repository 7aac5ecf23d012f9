"""The proof: hostile traffic over real servers, workers killed and frozen, everything recounted.

record time   T-38 min ................ T         T+15 s, T+25 s ..... a minute's end
traffic       the backlog, all at once            live, each record at its time
harm          A · B joins · kill -9 A · C ·       freeze Redis · kill -9 C · D
              freeze B, it wakes a zombie
"""

import time
from dataclasses import dataclass

import pytest

from tests.e2e.log_dump import dump
from tests.e2e.oracle import MINUTE_MS
from tests.e2e.publishing import publish, publish_in_transactions, publishing_live
from tests.e2e.scene import Scene, minute_after
from tests.e2e.traffic import Phase, traffic
from tests.e2e.workers import audited, settings, staff, wait_until

SEED = 20_261_122
IN_TRANSACTIONS = 400  # of the backlog
FROZEN_S = 7  # more than twice the session's time-out
REDIS_FROZEN_S = 3.5  # past the workers' time-out for Redis, more than once


@dataclass(frozen=True)
class Size:
    """How much traffic there is, and for how long."""

    backlog: int
    live: int
    batch: int  # records that a worker reads at once: small enough for harm to come in the middle
    pause_ms: int  # from the start to the live traffic
    live_ms: int  # at least: it goes on to the end of a minute
    is_behind: bool = False  # record times are that far behind the clock that a minute ends with `live_ms`

    def __str__(self):
        return f"{self.backlog + self.live} mentions"


SMALL = Size(backlog=4_000, live=2_000, batch=40, pause_ms=15_000, live_ms=20_000, is_behind=True)
LARGE = Size(backlog=30_000, live=20_000, batch=1_000, pause_ms=25_000, live_ms=25_000)


def bucket_of(s3):
    bucket = s3.new_bucket()
    archive = {
        "archive__url": f"s3://{bucket}/mentions",
        "archive__endpoint": s3.endpoint,
        "archive__access_key_id": s3.access_key,
        "archive__secret_access_key": s3.secret_key,
        "archive__region": s3.region,
        "archive__allow_http": "true",
    }
    return f"{bucket}/mentions", archive


@pytest.mark.timeout(300)
@pytest.mark.parametrize("size", [SMALL, pytest.param(LARGE, marks=pytest.mark.long)], ids=str)
def test_every_hostile_mention_ends_in_exactly_one_place(size, kafka, private_redis, s3, tmp_path):
    # Given a topic with a backlog, and traffic that goes on live until a minute ends
    redis_server, prefix = private_redis(), "{hostile}"  # of its own: it is frozen
    print(f"servers: {kafka} · {redis_server} · {s3} · seed {SEED}")
    topic = kafka.new_topic(partitions=4, max_message_bytes=6_000_000)
    root, archive = bucket_of(s3)
    scene = Scene(kafka, topic, redis_server.client(), prefix, s3.filesystem(), root)
    clock_ms = int(time.time() * 1000)
    behind_ms = (clock_ms + size.pause_ms + size.live_ms) % MINUTE_MS if size.is_behind else 0
    now_ms = clock_ms - behind_ms
    live_ms = now_ms + size.pause_ms
    end_ms = minute_after(live_ms + size.live_ms - 1)
    phases = (
        Phase(size.backlog, now_ms - 38 * MINUTE_MS, now_ms, ahead=True, ancient=True),
        Phase(size.live, live_ms, end_ms - 400),
    )
    planned = traffic(SEED, phases, lateness_ms=5_000, dedup_window_offsets=2_000, enormous=True)
    backlog, live = planned[: size.backlog], planned[size.backlog :]
    publish(kafka.bootstrap, topic, backlog[:-IN_TRANSACTIONS], compression="lz4")
    sent = publish_in_transactions if kafka.is_real else publish  # Tansu shows what was aborted
    sent(kafka.bootstrap, topic, backlog[-IN_TRANSACTIONS:])
    scene.say(f"{size.backlog} records are there")

    small = {"kafka__batch_records_max": f"{size.batch}", "redis__socket_timeout": "1s"}
    tree = settings(kafka, topic, redis_server, prefix, archive, **small)
    traffic_goes_on = publishing_live(kafka.bootstrap, topic, live, behind_ms=behind_ms)
    with traffic_goes_on as live, staff(tree, tmp_path) as start:
        # When workers come, die and freeze while the traffic goes on
        workers = _harm(scene, size, start, redis_server, live)
        live.result(120)
        scene.say("traffic has ended")
        records, ends = dump(kafka.bootstrap, topic)

        # Then all is counted, archived and closed without further input
        def is_done():
            scene.remember_frozen()
            return scene.is_done(ends, end_ms)

        waited_s = wait_until(is_done, "all counted, archived and closed", 120, workers)
        scene.say(f"all minutes are closed, {waited_s:.1f} s after the traffic")
        stops = [f"{it.name} {it.stop():.1f} s" for it in workers]
        scene.say(f"stopped: {', '.join(stops)}")

    # And the recount of the log finds every window, row and dead letter as it must be
    told = scene.judge(records, ends)
    scene.say("compared:\n  " + "\n  ".join(told))

    # And the audit, which knows neither the oracle nor what was harmed, finds all of it clean
    code, report, said = audited(tree)
    assert (code, report.get("differences")) == (0, []), said
    assert report["offsets"] == sum(ends.values())
    assert report["rows"] == report["counted"] + report["duplicates"]
    scene.say(f"audited: {report['rows']} rows in {report['took_s']} s, notes: {report['notes']}")


def _harm(scene, size, start, redis_server, live):
    """Kill and freeze by progress; returns the workers that are left."""
    a = start("A")
    wait_until(lambda: scene.applied() > 0, "A counts", 60, [a])
    scene.say("A counts; B joins")
    b = start("B")
    wait_until(lambda: scene.applied() > size.backlog // 4, "a quarter of the backlog is counted", 60, [a, b])
    a.kill()
    scene.say(f"kill -9 A at {scene.applied()} of {size.backlog}; C comes")
    c = start("C")
    wait_until(lambda: scene.applied() > size.backlog // 2, "half of the backlog is counted", 60, [b, c])
    b.freeze()  # in the middle of its work: what it has read it will count once more when it wakes
    scene.say(f"B frozen at {scene.applied()}")
    time.sleep(FROZEN_S)
    b.thaw()
    scene.say(f"B wakes, a zombie, at {scene.applied()}")
    wait_until(
        lambda: scene.applied() > size.backlog + size.live // 10, "live traffic is counted", 90, [b, c]
    )
    scene.remember_frozen()
    _freeze(scene, redis_server)
    wait_until(lambda: scene.applied() > size.backlog + size.live // 2, "half of it is counted", 90, [b, c])
    scene.remember_frozen()
    c.kill()
    d = start("D")
    scene.say(f"kill -9 C at {scene.applied()}; D comes; traffic goes on: {live.running()}")
    return [b, d]


def _freeze(scene, redis_server):
    """Let calls of the workers time out that are done all the same once Redis wakes."""
    redis_server.child.freeze()
    time.sleep(REDIS_FROZEN_S)
    redis_server.child.thaw()
    scene.say(f"Redis was frozen for {REDIS_FROZEN_S} s")
