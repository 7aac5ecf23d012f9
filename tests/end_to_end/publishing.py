"""Produce planned records with their own record times: all at once, or each when its time has come."""

import time

from confluent_kafka import Producer


def new_producer(bootstrap, **options):
    return Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 20, "message.max.bytes": 8_000_000, "acks": "all"}
        | {name.replace("_", "."): value for name, value in options.items()}
    )


def publish(producer, topic, planned, *, paced=False):
    """Send the records in order; returns when the broker has them all. `paced` waits for each record time."""
    failed = []

    def delivered(error, _message):
        if error is not None:
            failed.append(error)

    for it in planned:
        if paced:
            time.sleep(max(0.0, it.record_time_ms / 1000 - time.time()))
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


def publish_in_transactions(bootstrap, topic, planned):
    """Half of the records in a transaction that is aborted, then all of them in one that is committed.

    Both leave offsets that no reader ever sees: the aborted records, and a mark at each end.
    """
    producer = new_producer(bootstrap, transactional_id=f"{topic}.transactions")
    producer.init_transactions(30)
    producer.begin_transaction()
    publish(producer, topic, planned[: len(planned) // 2])
    producer.abort_transaction(30)
    producer.begin_transaction()
    publish(producer, topic, planned)
    producer.commit_transaction(30)
