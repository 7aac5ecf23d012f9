"""Produce planned records with their own record times: all at once, or each when its time has come."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from confluent_kafka import Producer


def publish(bootstrap, topic, planned, *, compression="none"):
    """Send the records in order; returns when the broker has them all."""
    with closing(_producer(bootstrap, {"compression.type": compression})) as producer:
        _send(producer, topic, planned)


@contextmanager
def publishing_live(bootstrap, topic, planned, *, behind_ms=0):
    """Send each record when its time has come, or `behind_ms` later; a future of the end."""
    given_up = threading.Event()

    def in_time():
        for it in planned:
            if given_up.wait(max(0.0, (it.record_time_ms + behind_ms) / 1000 - time.time())):
                return
            yield it

    def send():
        with closing(_producer(bootstrap, {"compression.type": "zstd"})) as producer:
            _send(producer, topic, in_time())

    with ThreadPoolExecutor(1) as beside:
        try:
            yield beside.submit(send)
        finally:
            given_up.set()


def publish_in_transactions(bootstrap, topic, planned):
    """Half of the records in a transaction that is aborted, then all of them in one that is committed.

    Both leave offsets that no reader ever sees: the aborted records, and a mark at each end.
    """
    with closing(_producer(bootstrap, {"transactional.id": f"{topic}.transactions"})) as producer:
        producer.init_transactions(30)
        producer.begin_transaction()
        _send(producer, topic, planned[: len(planned) // 2])
        producer.abort_transaction(30)
        producer.begin_transaction()
        _send(producer, topic, planned)
        producer.commit_transaction(30)


def _producer(bootstrap, more):
    plain = {"bootstrap.servers": bootstrap, "linger.ms": 20, "message.max.bytes": 8_000_000, "log_level": 3}
    return Producer(plain | more)


def _send(producer, topic, planned):
    failed = []

    def delivered(error, _message):
        if error is not None:
            failed.append(error)

    for it in planned:
        while True:
            try:
                producer.produce(
                    topic, it.value, it.key, it.partition, timestamp=it.record_time_ms, on_delivery=delivered
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    left = producer.flush(60)
    assert (left, failed[:3]) == (0, []), f"{left} records are not delivered; first errors: {failed[:3]}"
