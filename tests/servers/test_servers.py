import pytest


def test_kafka_makes_a_topic(kafka):
    name = kafka.new_topic(partitions=3)
    meta = kafka.admin().list_topics(name, timeout=10)
    assert len(meta.topics[name].partitions) == 3


def test_redis_x(redis_server, redis_prefix):
    with redis_server.client() as client:
        client.set(redis_prefix + ":a", 1)
        assert client.get(redis_prefix + ":a") == b"1"


def test_s3_x(s3):
    import obstore

    bucket = s3.new_bucket()
    store = obstore.store.from_url(f"s3://{bucket}/p", **s3.store_options())
    obstore.put(store, "a", b"1", mode="create")
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "a", b"1", mode="create")
