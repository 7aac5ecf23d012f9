"""Probes: how long a mention takes from its producer until anybody can read it in Redis.

Rules:
1. Open loop: a probe is due at a fixed time, whatever became of those before it, and its wait counts from
   there. A probe that is only sent when the last one was seen would not notice a stall.
2. A reader of its own: it reads the hash of the minute, as docs/redis.md documents it, and nothing else.
3. Probes are ordinary mentions of one brand on a network of their own, so they are recognised by counting:
   they share a partition, and the first k of a minute are visible when its field holds k.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Self

import redis
from confluent_kafka import Producer

from stream_worker.adapters.redis.keys import Keys, cell_field
from stream_worker.core.time import rfc3339
from stream_worker.demo.text_redis import connect

NETWORK: Final = "probe"
EVERY_S: Final = 0.5
READ_EVERY_S: Final = 0.02
FOLLOWED_MAX: Final = 10_000


class VisibleLatency(NamedTuple):
    """Milliseconds from due to visible, over the probes that were seen."""

    seen: int
    p50_ms: float
    p99_ms: float


class Probes:
    """A thread that publishes probes and watches for them; a context manager."""

    def __init__(
        self,
        client: Mapping[str, str | int | float | bool],
        topic: str,
        brand: str,
        redis_url: str,
        prefix: str,
    ) -> None:
        self.published = 0  # confirmed by the broker
        self.unknown = 0  # not known to be on the topic
        self._producer = Producer({**client, "linger.ms": 0})
        self._redis = connect(redis_url)
        self._topic, self._brand, self._keys = topic, brand, Keys(prefix)
        self._waited: dict[int, deque[float]] = {}  # minute -> due times of its probes not yet seen
        self._seen: dict[int, int] = {}  # minute -> probes of it that were seen
        self._took_ms: deque[float] = deque(maxlen=FOLLOWED_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def __enter__(self) -> Self:
        return self

    def begin(self) -> None:
        """Begin to publish. Safe to repeat."""
        if not self._thread.ident:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Publish no more, and wait until the broker has confirmed those that are on their way."""
        if not self._stop.is_set():
            self._stop.set()
            if self._thread.ident:
                self._thread.join()
            self.unknown += self._producer.flush(5.0)

    @property
    def visible(self) -> VisibleLatency:
        """How long probes took so far."""
        took_ms = sorted(self._took_ms)
        if not took_ms:
            return VisibleLatency(0, 0.0, 0.0)
        return VisibleLatency(len(took_ms), _percentile(took_ms, 0.50), _percentile(took_ms, 0.99))

    def _run(self) -> None:
        due_s = time.time()
        while not self._stop.is_set():
            if time.time() >= due_s:
                self._publish(due_s)
                due_s += EVERY_S
            self._producer.poll(0)
            with suppress(redis.RedisError):  # not visible while it does not answer: the wait goes on
                self._read_counts()
            self._stop.wait(READ_EVERY_S)

    def _publish(self, due_s: float) -> None:
        at_ms = int(due_s * 1000)
        probe = {
            "id": f"probe-{at_ms}",
            "brand": self._brand,
            "network": NETWORK,
            "text": f"Probe {at_ms}: how long until this is seen?",
            "event_time": rfc3339(at_ms),
        }
        self._producer.produce(
            self._topic, json.dumps(probe).encode(), self._brand.encode(), on_delivery=self._delivered
        )
        self._waited.setdefault(at_ms - at_ms % 60_000, deque()).append(due_s)

    def _delivered(self, error: object, _message: object) -> None:
        if error is None:
            self.published += 1
        else:
            self.unknown += 1

    def _read_counts(self) -> None:
        for minute_ms, waited in list(self._waited.items()):
            fields = [cell_field("n", NETWORK, self._brand, late=late) for late in (False, True)]
            counted = self._redis.hmget(self._keys.minute(minute_ms), fields)
            now_s = time.time()
            for _ in range(sum(map(int, filter(None, counted))) - self._seen.get(minute_ms, 0)):
                if waited:
                    self._took_ms.append((now_s - waited.popleft()) * 1000)
                    self._seen[minute_ms] = self._seen.get(minute_ms, 0) + 1
            if not waited and minute_ms + 60_000 < now_s * 1000:
                del self._waited[minute_ms]


def _percentile(rising: list[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return rising[min(len(rising) - 1, max(0, -(-int(share * 10_000) * len(rising) // 10_000) - 1))]
