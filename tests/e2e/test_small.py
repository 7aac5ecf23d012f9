"""The same proof in small: 2,000 records, one worker, the embedded servers and a folder."""

import time
from contextlib import ExitStack, closing

import duckdb
import pytest
from pyarrow import fs

from tests.e2e.log_dump import dump
from tests.e2e.oracle import MINUTE_MS
from tests.e2e.publishing import publish
from tests.e2e.scene import Scene, minute_after
from tests.e2e.traffic import Phase, traffic
from tests.e2e.workers import settings, staff, wait_until
from tests.servers.choice import Absent
from tests.servers.kafka import embedded as embedded_kafka
from tests.servers.redis import embedded as embedded_redis

SEED, COUNT = 7, 2_000


@pytest.fixture
def embedded_servers():
    """Tansu and Valkey from their wheels, whatever else there is."""
    with ExitStack() as started:
        try:
            kafka = started.enter_context(closing(embedded_kafka()))
            redis_server = started.enter_context(closing(embedded_redis()))
        except Absent as reason:
            pytest.skip(f"an embedded server is not there: {reason}")
        yield kafka, redis_server


@pytest.mark.timeout(120)
def test_two_thousand_hostile_mentions_on_the_embedded_servers(embedded_servers, tmp_path):
    # Given a log of 2,000 records of the last twenty minutes
    kafka, redis_server = embedded_servers
    print(f"servers: {kafka} · {redis_server} · folder")
    topic, prefix, folder = kafka.new_topic(partitions=4), "{small}", tmp_path / "archive"
    archive = {"archive__url": folder.as_uri()}
    scene = Scene(kafka, topic, redis_server.client(), prefix, fs.LocalFileSystem(), str(folder))
    end_ms = minute_after(int(time.time() * 1000)) - MINUTE_MS
    phases = (Phase(COUNT, end_ms - 20 * MINUTE_MS, end_ms - 1_000),)
    planned = traffic(SEED, phases, dedup_window_offsets=300)
    publish(kafka.bootstrap, topic, planned, compression="lz4")
    records, ends = dump(kafka.bootstrap, topic)

    # When one worker works it off and has nothing more to do
    with staff(settings(kafka, topic, redis_server, prefix, archive), tmp_path) as start:
        worker = start("only")
        waited_s = wait_until(
            lambda: scene.is_done(ends, end_ms), "all counted, archived and closed", 60, [worker]
        )
        time.sleep(2.5)  # the rolling windows are at most 2 s old
        scene.say(f"done after {waited_s:.1f} s, stopped in {worker.stop():.1f} s")

    # Then the recount agrees, and DuckDB reads the folder with no option
    told = scene.judge(records, ends, quiet=True)
    scene.say("compared:\n  " + "\n  ".join(told))
    ((read,),) = duckdb.sql(f"SELECT count(*) FROM '{folder}/dt=*/hour=*/*.parquet'").fetchall()
    assert f"{read} rows" in told[1]
