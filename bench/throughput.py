"""How fast one worker is, end to end, beside a raw read of the same topic in the same run.

    make bench                    # or: python -m bench.throughput --mentions 500000 --scorer none model

Fills a topic on the best Kafka that is here with mentions of about 400 bytes (4 partitions, 200 brands, 30
minutes of event time), lets one worker read it until Redis and the archive are complete, and reads it raw
(consume + typed decode) before and after that. Figures are per CPU-second of the measured process: broker and
Redis run on the same cores. The raw figure holds no start-up; the worker's is told with and without its own.
"""

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import redis
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.report import show
from bench.stages import measure, scorer_named
from stream_worker.adapters.redis.keys import ControlField, CursorField, Keys
from stream_worker.core.records.batch import Records
from stream_worker.core.records.decode import decode
from stream_worker.core.records.limits import Limits
from stream_worker.core.time import rfc3339
from tests.servers import kafka as kafka_servers
from tests.servers import redis as redis_servers
from tests.servers.choice import Absent

PARTITIONS, BRANDS, EVENT_MINUTES = 4, 200, 30
WORDS = (
    "support phone battery great bad awful love hate service again today never waiting queue app update",
    "crash price coffee bank flight delay refund team works broken nice best worst help please thanks slow",
)
VOCABULARY = [word for line in WORDS for word in line.split()]
TIMEOUT_S = 540
ALONE = 100_000  # mentions that are taken through the stages one by one


def first_there(*places: Callable[[], Any]) -> Any:
    for place in places:
        try:
            return place()
        except Absent:
            continue
    raise SystemExit("no server is here: see CONTRIBUTING.md")


def fill(bootstrap: str, topic: str, mentions: int) -> None:
    chance, begin_ms = random.Random(7), int(time.time() * 1000) - 2 * 3_600_000
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "compression.type": "lz4",
            "linger.ms": 50,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
    )
    for number in range(mentions):
        event_ms = begin_ms + number * EVENT_MINUTES * 60_000 // mentions
        brand = f"brand {chance.randrange(BRANDS)}"
        value = json.dumps(
            {
                "id": f"post-{number}",
                "brand": brand,
                "network": chance.choice(["x", "reddit", "bluesky"]),
                "author": f"author {chance.randrange(50_000)}",
                "text": " ".join(chance.choices(VOCABULARY, k=18)),
                "event_time": rfc3339(event_ms, fraction="always"),
                "url": f"https://example.org/posts/{number}",
                "lang": "en",
                "reach": chance.randrange(10_000),
            }
        ).encode()
        while True:
            try:
                producer.produce(topic, value, brand.encode(), timestamp=event_ms + 300)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1000 == 0:
            producer.poll(0)
    producer.flush()


def open_consumer(bootstrap: str, topic: str) -> Consumer:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"raw-{topic}",
            "fetch.queue.backoff.ms": 5,
            "enable.auto.commit": False,
            "queued.min.messages": 50_000,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    return consumer


def read_raw(bootstrap: str, topic: str, mentions: int) -> float:
    """Consume and decode the whole topic; returns mentions per CPU-second."""
    consumer = open_consumer(bootstrap, topic)
    begun_s, read = time.process_time(), 0
    while read < mentions:
        messages = consumer.consume(20_000, 0.2)
        records = Records(
            [message.offset() for message in messages],
            [message.timestamp()[1] for message in messages],
            [message.value() for message in messages],
        )
        read += len(decode(records, Limits())[0])
    spent_s = time.process_time() - begun_s
    consumer.close()
    return mentions / spent_s


def read_batches(bootstrap: str, topic: str, mentions: int, batch: int) -> list[tuple[int, Records]]:
    """Read the first mentions as the worker does: polls of `batch` records, taken apart by partition."""
    consumer, batches, read = open_consumer(bootstrap, topic), [], 0
    while read < mentions:
        of_partition: dict[int, tuple[list[int], list[int], list[bytes]]] = {}
        for message in consumer.consume(batch, 0.2):
            columns = of_partition.setdefault(message.partition(), ([], [], []))
            fields = (message.offset(), message.timestamp()[1], message.value())
            for column, field in zip(columns, fields, strict=True):
                column.append(field)
            read += 1
        batches += [(partition, Records(*columns)) for partition, columns in of_partition.items()]
    consumer.close()
    return batches


def run_worker(
    bootstrap: str, topic: str, redis_url: str, mentions: int, scorer: str, batch: int
) -> dict[str, Any]:
    """Let one worker read the topic until both sinks are complete."""
    prefix = f"{{bench-{scorer}}}"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive, log = Path(folder, "archive"), Path(folder, "worker.log")
        environment = {
            **os.environ,
            "STREAM_WORKER_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "STREAM_WORKER_KAFKA__TOPIC": topic,
            "STREAM_WORKER_KAFKA__GROUP": f"bench-{scorer}-{topic}",
            "STREAM_WORKER_KAFKA__BATCH_RECORDS_MAX": str(batch),
            "STREAM_WORKER_REDIS__URL": redis_url,
            "STREAM_WORKER_REDIS__PREFIX": prefix,
            "STREAM_WORKER_ARCHIVE__URL": archive.as_uri(),
            "STREAM_WORKER_ARCHIVE__SECONDS_MAX": "2",
            "STREAM_WORKER_MODEL__SCORER": scorer,
            "STREAM_WORKER_HTTP__PORT": "0",
        }
        with log.open("wb") as stderr:
            begun_s = time.monotonic()
            worker = subprocess.Popen(
                [sys.executable, "-m", "stream_worker", "run"], env=environment, stderr=stderr
            )
            try:
                _wait(lambda: "worker joined" in log.read_text(), worker, log, each_s=0.02)
                start_cpu_s, _ = _used(worker.pid)
                counted_s = _wait(lambda: _counted(redis_url, prefix) >= mentions, worker, log) - begun_s
                archived_s = _wait(lambda: _archived(archive) >= mentions, worker, log) - begun_s
                cpu_s, rss_bytes = _used(worker.pid)
                stages = _stages(log)
            finally:
                worker.terminate()
                worker.wait(30)
    other_s = cpu_s - start_cpu_s - sum(stages.values())
    return {
        "counted_s": counted_s,
        "archived_s": archived_s,
        "cpu_s": cpu_s,
        "rss_mb": rss_bytes / 1e6,
        "mentions_per_cpu_s": mentions / cpu_s,
        "mentions_per_s": mentions / archived_s,
        "mentions_per_cpu_s_after_start": mentions / (cpu_s - start_cpu_s),
        "stages_cpu_s": {"start": start_cpu_s, **stages, "other": other_s},
    }


def _stages(log: Path) -> dict[str, float]:
    """CPU seconds of each stage, as the worker's own metric tells them."""
    port = re.search(r'"port": (\d+)', log.read_text())
    assert port is not None, "the worker says where its metrics are"
    with urlopen(f"http://127.0.0.1:{port[1]}/metrics", timeout=10) as answer:
        told = re.findall(r'stage_cpu_seconds_total\{stage="(\w+)"\} (\S+)', answer.read().decode())
    return {stage: float(seconds) for stage, seconds in told}


def _wait(done: Callable[[], bool], worker: subprocess.Popen[bytes], log: Path, each_s: float = 0.2) -> float:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not done():
        if worker.poll() is not None or time.monotonic() > deadline_s:
            raise SystemExit(f"the worker did not finish:\n{log.read_text()[-2000:]}")
        time.sleep(each_s)
    return time.monotonic()


def _counted(redis_url: str, prefix: str) -> int:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    keys = Keys(prefix)
    log_name = client.hget(keys.control, ControlField.LOG)
    cursors = client.hgetall(keys.cursors(log_name)) if log_name else {}
    return sum(int(value) for field, value in cursors.items() if field.startswith(CursorField.NEXT))


def _archived(archive: Path) -> int:
    total = 0
    for manifest in archive.glob("_manifests/*/*/*.json"):
        total += sum(json.loads(manifest.read_bytes())["outcomes"].values())
    return total


def _used(pid: int) -> tuple[float, int]:
    """CPU seconds and largest resident size of a living process (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    peak_kb = int(status.split("VmHWM:")[1].split()[0])
    return ticks / os.sysconf("SC_CLK_TCK"), peak_kb * 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--mentions", type=int, default=500_000)
    arguments.add_argument("--scorer", nargs="+", choices=("none", "model"), default=["none", "model"])
    arguments.add_argument("--batch", type=int, default=5_000, help="kafka.batch_records_max")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args()
    broker = first_there(kafka_servers.from_environment, kafka_servers.from_jars, kafka_servers.embedded)
    store = first_there(redis_servers.from_environment, redis_servers.from_path, redis_servers.embedded)
    try:
        print(f"servers: {broker}; {store}", file=sys.stderr)
        topic = broker.new_topic(partitions=PARTITIONS, prefix="bench")
        fill(broker.bootstrap, topic, asked.mentions)
        measured = {scorer: _one(broker, store, topic, scorer, asked) for scorer in asked.scorer}
    finally:
        broker.close()
        store.close()
    print(json.dumps({"mentions": asked.mentions, "worker": measured}) if asked.json else show(measured))


def _one(broker: Any, store: Any, topic: str, scorer: str, asked: argparse.Namespace) -> dict[str, Any]:
    """One worker, between two raw reads: the machine may be busier at one time than at another."""
    before = read_raw(broker.bootstrap, topic, asked.mentions)
    row = run_worker(broker.bootstrap, topic, store.url, asked.mentions, scorer, asked.batch)
    after = read_raw(broker.bootstrap, topic, asked.mentions)
    batches = read_batches(broker.bootstrap, topic, min(asked.mentions, ALONE), asked.batch)
    alone = measure(batches, scorer_named(scorer))
    return {
        **row,
        "raw_per_cpu_s": [before, after],
        "alone_cpu_s_per_mention": alone,
        "load": os.getloadavg(),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
