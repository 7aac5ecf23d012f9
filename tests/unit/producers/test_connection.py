"""The producer's settings: what may be given, from where, and what wins."""

import pytest

from producers.connection import BOOTSTRAP_DEFAULT, producer_settings
from producers.errors import Unusable


def test_by_default_it_is_the_broker_on_this_machine_idempotent_and_acknowledged():
    settings = producer_settings(None, [], None)
    assert settings["bootstrap.servers"] == BOOTSTRAP_DEFAULT
    assert settings["enable.idempotence"] == "true"
    assert settings["acks"] == "all"


def test_the_flag_wins_over_set_which_wins_over_the_file(tmp_path):
    # Given
    file = tmp_path / "kafka.properties"
    file.write_text(
        "# ours\nbootstrap.servers = file:1\nlinger.ms=7\nsasl.password=a=b\n\n! theirs\nclient.id=file\n"
    )

    # When
    by_file = producer_settings(None, [], file)
    by_set = producer_settings(None, ["bootstrap.servers=set:1", "client.id=set"], file)
    by_flag = producer_settings("flag:1", ["bootstrap.servers=set:1"], file)

    # Then
    assert [one["bootstrap.servers"] for one in (by_file, by_set, by_flag)] == ["file:1", "set:1", "flag:1"]
    assert (by_set["client.id"], by_set["linger.ms"]) == ("set", "7")
    assert by_file["sasl.password"] == "a=b"


@pytest.mark.parametrize(
    "pair", ["acks=1", "enable.idempotence=false", "request.required.acks=1", "transactional.id=mine"]
)
def test_what_delivery_rests_on_cannot_be_changed(pair, tmp_path):
    (tmp_path / "kafka.properties").write_text(pair)
    with pytest.raises(Unusable, match="is fixed"):
        producer_settings(None, [pair], None)
    with pytest.raises(Unusable, match="is fixed"):
        producer_settings(None, [], tmp_path / "kafka.properties")


@pytest.mark.parametrize(
    "key", ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret", "ssl.key.pem"]
)
def test_a_secret_in_a_flag_is_refused_without_being_shown(key):
    with pytest.raises(Unusable, match="--properties") as error:
        producer_settings(None, [f"{key}=hunter2"], None)
    assert "hunter2" not in str(error.value)


def test_a_line_that_is_no_property_is_refused_without_being_shown(tmp_path):
    (tmp_path / "kafka.properties").write_text("hunter2\n")
    with pytest.raises(Unusable, match="key=value") as error:
        producer_settings(None, [], tmp_path / "kafka.properties")
    assert "hunter2" not in str(error.value)


def test_a_properties_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(Unusable, match="nowhere"):
        producer_settings(None, [], tmp_path / "nowhere.properties")


@pytest.mark.parametrize("pair", ["message.timeout.ms=0", "delivery.timeout.ms=0", "message.timeout.ms=soon"])
def test_nothing_may_wait_for_ever(pair):
    with pytest.raises(Unusable, match=r"message\.timeout\.ms"):
        producer_settings(None, [pair], None)


def test_both_names_of_the_time_limit_are_one_setting():
    assert producer_settings(None, ["delivery.timeout.ms=5000"], None)["message.timeout.ms"] == "5000"
