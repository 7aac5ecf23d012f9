"""How fast an archive is audited, and in how much memory.

    nice python -m bench.audit --mentions 10000000

Writes an archive of chunks of 50,000 rows (4 partitions, 1,000 brands of very different size, 3
networks) into a temporary folder, what Redis holds of it into a Redis of its own, and lets `stream-worker
audit` compare the two. The broker only says which topic it is: no record is in it.

The archive is built by a process of its own: Linux lets the highest RSS of a new process begin at that of
the one which started it, so a builder's memory would be told as the audit's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import redis as redis_clients

from stream_worker.adapters.object_store.parquet import SCHEMA, encode
from stream_worker.adapters.redis.keys import (
    FORMAT_VERSION,
    ControlField,
    CursorField,
    KeptMs,
    Keys,
    MinuteField,
    ShardField,
    cell_field,
)
from stream_worker.core.aggregates.encoding import SHARDS, encode_sums
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.layout import (
    Log,
    LogOrigin,
    Manifest,
    Outcomes,
    Plan,
    StoredObject,
    manifest_name,
    origin_name,
    plan_name,
    rows_name,
)
from stream_worker.core.reconcile.cells import Recount, RecountRows, row_sums, unpack
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.e2e.log_dump import log_name
from tests.servers import kafka as kafka_servers
from tests.servers import redis as redis_servers
from tests.servers.choice import choose

PARTITIONS, BRANDS, NETWORKS, CHUNK = 4, 1_000, 3, 50_000
WORDS = ["support", "phone", "battery", "great", "bad", "awful", "love", "hate", "service", "again", "queue"]
Recounts = dict[int, Recount]  # by hour


def write_archive(
    folder: Path, log: Log, mentions: int, hours: int, end_ms: int
) -> tuple[Recounts, dict[int, int]]:
    """Write plans, rows and manifests; returns the cells by hour, and the end of each partition."""
    chance = np.random.default_rng(7)
    texts = pa.array([" ".join(chance.choice(WORDS, 12)) + f" {i}" for i in range(5_000)])
    recounts: Recounts = {}
    ends = {}
    put(folder, origin_name(log), msgspec.json.encode(LogOrigin(policy="earliest", starts=[0] * PARTITIONS)))
    each = mentions // PARTITIONS
    for partition in range(PARTITIONS):
        watermark_ms = 0
        for start in range(0, each, CHUNK):
            end = min(start + CHUNK, each)
            times = end_ms - hours * HOUR_MS + np.arange(start, end) * (hours * HOUR_MS) // each
            plan = Plan(
                start=start,
                end=end,
                limits=Limits(),
                watermark_start=watermark_ms,
                watermark_end=int(times[-1]) - 30_000,
            )
            watermark_ms = plan.watermark_end
            objects = [
                write_rows(folder, log, partition, plan, times, hour, texts, chance, recounts)
                for hour in np.unique(times // HOUR_MS).tolist()
            ]
            manifest = Manifest(
                objects=objects, outcomes=Outcomes(counted=end - start), late=0, partial=False
            )
            put(folder, plan_name(log, partition, start), msgspec.json.encode(plan))
            put(folder, manifest_name(log, partition, plan), msgspec.json.encode(manifest))
        ends[partition] = each
    return recounts, ends


def write_rows(
    folder: Path,
    log: Log,
    partition: int,
    plan: Plan,
    times: Any,
    hour: int,
    texts: Any,
    chance: Any,
    recounts: Recounts,
) -> StoredObject:
    at = np.flatnonzero(times // HOUR_MS == hour)
    n, offsets, event_ms = len(at), plan.start + at, times[at]
    brands = np.minimum(chance.zipf(1.3, n), BRANDS)
    networks, label = chance.integers(1, NETWORKS + 1, n), chance.integers(0, 5, n)
    micro, repeat, voice = (
        np.where(label == 4, 0, 1_000 * label),
        chance.random(n) < 0.1,
        chance.random(n) < 0.8,
    )
    none, strings = pa.nulls(n, pa.string()), pa.array([f"n{i}" for i in range(4)])
    columns = {
        "topic": pa.repeat(pa.scalar(log.topic), n),
        "partition": np.full(n, partition, np.int32),
        "offset": offsets,
        "record_time": event_ms,
        "event_time": event_ms,
        "id": pa.array(offsets).cast(pa.string()),
        "brand": pa.array([f"brand {i}" for i in range(BRANDS + 1)]).take(pa.array(brands)),
        "network": strings.take(pa.array(networks)),
        "author": none,
        "text": texts.take(pa.array(chance.integers(0, len(texts), n))),
        "url": none,
        "lang": none,
        "reach": pa.nulls(n, pa.int64()),
        "reply_to": none,
        "extra": none,
        "duplicate": np.zeros(n, bool),
        "repeat": repeat,
        "voice": voice,
        "late": np.zeros(n, bool),
        "label": label.astype(np.int8),
        **dict.fromkeys(("p_neg", "p_neu", "p_pos"), pa.nulls(n, pa.float32())),
        "sentiment_micro": micro.astype(np.int32),
        "model": pa.repeat(pa.scalar("m1"), n),
        "schema": np.ones(n, np.int16),
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in SCHEMA]
    body = encode(pa.Table.from_arrays(arrays, schema=SCHEMA))
    name = rows_name(log, partition, plan, hour * HOUR_MS)
    put(folder, name, body)
    recount = recounts.setdefault(hour * HOUR_MS, Recount(by_minute=True, by_network=True))
    sums = row_sums(label, micro, repeat, voice)
    minutes = event_ms % HOUR_MS // MINUTE_MS
    recount.add(RecountRows(offsets, minutes, networks, brands, np.zeros(n, bool), sums), np.ones(n, bool))
    return StoredObject(name=name, rows=n, bytes=len(body), sha256=sha256(body).hexdigest(), model="m1")


def put(folder: Path, name: str, body: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def fill_redis(client: Any, log: Log, recounts: Recounts, ends: dict[int, int], end_ms: int) -> None:
    """Write what Redis holds when all is closed: minutes of two hours, and history."""
    keep_ms, at = end_ms - KeptMs.MINUTE, Keys("{sw}")
    client.hset(at.cursors(log.name), mapping={CursorField.NEXT.of(p): end for p, end in ends.items()})
    control = {
        ControlField.FORMAT_VERSION: FORMAT_VERSION,
        ControlField.SEALED: end_ms,
        ControlField.COMPLETE_FROM: 0,
        ControlField.TRIMMED: keep_ms,
        ControlField.LOG: log.name,
    }
    client.hset(at.control, mapping=control)
    client.hset(at.brands, mapping={f"brand {i}": "" for i in range(1, BRANDS + 1)})
    client.hset(at.networks, mapping={f"n{i}": "" for i in range(1, NETWORKS + 1)})
    for number in range(SHARDS):
        client.hset(at.shard(number), ShardField.CLOSED, end_ms)
    for hour_ms, recount in recounts.items():
        cells = recount.cells()
        history: dict[tuple[int, int], Any] = {}
        pipe = client.pipeline(transaction=False)
        for key, sums in zip(cells.keys.tolist(), cells.sums, strict=True):
            minute, network, brand = unpack(key)
            start_ms = hour_ms + minute * MINUTE_MS
            history[brand, start_ms] = history.get((brand, start_ms), 0) + sums
            if start_ms >= keep_ms:
                named = zip(MEASURES, sums.tolist(), strict=True)
                cell = {
                    cell_field(name, f"n{network}", f"brand {brand}"): value for name, value in named if value
                }
                pipe.hset(at.minute(start_ms), mapping=cell)
                pipe.hincrby(at.minute(start_ms), MinuteField.MENTIONS, int(sums[0]))
                pipe.hincrby(at.minute(start_ms), f"{MinuteField.MODEL}m1", int(sums[0]))
                pipe.hset(at.minute(start_ms), MinuteField.MODELS, "m1")
                pipe.zadd(at.minutes, {str(start_ms): start_ms})
        hours: dict[int, Any] = {}
        for (brand, start_ms), sums in history.items():
            hours[brand] = hours.get(brand, 0) + sums
            of_hour = at.history_of_minutes(hour_ms, f"brand {brand}")
            pipe.hset(of_hour, str(start_ms), encode_sums(sums.tolist()))
        for brand, sums in hours.items():
            of_day = at.history_of_hours(hour_ms - hour_ms % DAY_MS, f"brand {brand}")
            pipe.hset(of_day, str(hour_ms), encode_sums(sums.tolist()))
        pipe.execute()


def build(folder: Path, log: Log, mentions: int, hours: int, redis_url: str) -> int:
    """Write archive and Redis; returns the bytes of the archive."""
    end_ms = int(time.time() * 1000) // HOUR_MS * HOUR_MS
    recounts, ends = write_archive(folder, log, mentions, hours, end_ms)
    with redis_clients.Redis.from_url(redis_url) as client:
        fill_redis(client, log, recounts, ends, end_ms)
    return sum(it.stat().st_size for it in folder.rglob("*.*"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mentions", type=int, default=10_000_000)
    parser.add_argument("--hours", type=int, default=24, help="of event time; fewer make the hours fuller")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as folder:
        kafka, redis = choose("kafka", kafka_servers.SHARED), choose("redis", redis_servers.private())
        topic = kafka.new_topic(partitions=PARTITIONS)
        log = Log(topic, log_name(kafka.bootstrap, topic).rpartition(".")[2])
        begun_s = time.monotonic()
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as builder:
            asked_of = (Path(folder), log, asked.mentions, asked.hours, redis.url)
            written = builder.submit(build, *asked_of).result()
        print(f"built: {written / 1e6:,.0f} MB in {time.monotonic() - begun_s:.0f} s", flush=True)
        settings = {
            "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap,
            "KAFKA__TOPIC": topic,
            "KAFKA__DEAD_LETTER_TOPIC": f"{topic}.dead",
            "REDIS__URL": redis.url,
            "ARCHIVE__URL": Path(folder).as_uri(),
        }
        begun_s = time.monotonic()
        environment = os.environ | {f"STREAM_WORKER_{name}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "stream_worker", "audit", "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as audit:
            assert audit.stdout is not None
            report = json.loads(audit.stdout.read())
            _, status, used = os.wait4(audit.pid, 0)
            audit.returncode = os.waitstatus_to_exitcode(status)
        took_s, cpu_s, rows = time.monotonic() - begun_s, used.ru_utime + used.ru_stime, report["rows"]
        print(
            f"exit code {audit.returncode}, {report['unexplained']} unexplained, {report['differences'][:3]}"
        )
        print(
            f"{rows:,} rows: {rows / took_s:,.0f} a second ({took_s:.1f} s), {rows / cpu_s:,.0f} a CPU-second"
        )
        print(f"highest RSS {used.ru_maxrss / 1024:,.0f} MB")
        for server in (kafka, redis):
            server.close()


if __name__ == "__main__":
    main()
