"""Settings: where values come from, and what is said to somebody who wrote a wrong one."""

import datetime as dt
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_worker.errors import Misconfigured
from stream_worker.settings import units
from stream_worker.settings.kafka import PROTOCOL_PROPERTIES, client_properties
from stream_worker.settings.loader import LEAVES, load
from stream_worker.settings.schema import Settings

SECRET = "hunter2-planted"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("STREAM_WORKER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(tmp_path):
    def write(text):
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(file=None):
    with pytest.raises(Misconfigured) as refused:
        load(file)
    message = str(refused.value)
    assert "\n" not in message
    assert SECRET not in message
    assert refused.value.exit_code == 78
    return message


def test_the_defaults_run_against_localhost_without_any_file(tmp_path):
    settings, origins = load()

    assert settings.kafka.bootstrap_servers == "localhost:9092"
    assert settings.redis.url.get_secret_value() == "redis://localhost:6379/0"
    assert settings.archive.url == (tmp_path / "data/archive").as_uri()
    assert settings.windows.lateness == dt.timedelta(seconds=30)
    assert settings.archive.bytes_max == 16 * 1024 * 1024
    assert origins == {}


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(config, monkeypatch):
    # Given a key in the file only, one in both, one in the environment only, and an empty variable
    file = config('[kafka]\ntopic = "a"\ngroup = "b"\n[http]\nport = 1\n')
    monkeypatch.setenv("STREAM_WORKER_KAFKA__GROUP", "c")
    monkeypatch.setenv("STREAM_WORKER_LOG__LEVEL", "debug")
    monkeypatch.setenv("STREAM_WORKER_HTTP__PORT", "")

    # When they are read
    settings, origins = load(file)

    # Then each comes from where it should, and says so
    assert (settings.kafka.topic, settings.kafka.group) == ("a", "c")
    assert (settings.http.port, settings.log.level) == (1, "debug")
    assert origins == {
        "kafka.topic": f"file {file}",
        "kafka.group": "environment STREAM_WORKER_KAFKA__GROUP",
        "http.port": f"file {file}",
        "log.level": "environment STREAM_WORKER_LOG__LEVEL",
    }


def test_a_setting_with_two_names_may_have_either(config, monkeypatch):
    # Given its other name in a file
    file = config('[windows]\nidleness_timeout = "3m"\n')

    # Then the setting is known by its first name, and says which was used
    settings, origins = load(file)
    assert settings.windows.max_hold == dt.timedelta(minutes=3)
    assert origins == {"windows.max_hold": f"file {file}, as windows.idleness_timeout"}

    # And a variable wins over the file, whichever name each has
    monkeypatch.setenv("STREAM_WORKER_WINDOWS__MAX_HOLD", "4m")
    assert load(file).settings.windows.max_hold == dt.timedelta(minutes=4)
    monkeypatch.setenv("STREAM_WORKER_WINDOWS__MAX_HOLD", "")
    monkeypatch.setenv("STREAM_WORKER_WINDOWS__IDLENESS_TIMEOUT", "5m")
    settings, origins = load(config('[windows]\nmax_hold = "3m"\n'))
    assert settings.windows.max_hold == dt.timedelta(minutes=5)
    assert origins == {"windows.max_hold": "environment STREAM_WORKER_WINDOWS__IDLENESS_TIMEOUT"}


def test_both_names_of_a_setting_in_one_place_are_refused(config, monkeypatch):
    file = config('[windows]\nmax_hold = "3m"\nidleness_timeout = "3m"\n')
    two_names = "windows.max_hold and windows.idleness_timeout are two names of one setting"

    assert refusal(file) == f"{two_names} (file {file}): keep one of them"

    monkeypatch.setenv("STREAM_WORKER_WINDOWS__MAX_HOLD", "3m")
    monkeypatch.setenv("STREAM_WORKER_WINDOWS__IDLENESS_TIMEOUT", "3m")
    refused = refusal()
    assert refused.startswith(two_names)
    assert refused.endswith(": unset one of them")


def test_a_wrong_value_under_the_other_name_is_refused_with_that_name(config):
    file = config('[windows]\nidleness_timeout = "1s"\n')

    assert f"windows.max_hold (file {file}, as windows.idleness_timeout): should be" in refusal(file)
    assert "did you mean windows.idleness_timeout?" in refusal(config('[windows]\nidleness_timout = "3m"'))


def test_an_editor_knows_both_names_of_a_setting():
    windows = Settings.model_json_schema()["$defs"]["WindowSettings"]["properties"]

    assert windows["idleness_timeout"] == windows["max_hold"]


def test_the_file_may_be_named_by_the_environment(config, monkeypatch):
    monkeypatch.setenv("STREAM_WORKER_CONFIG", str(config('[kafka]\ntopic = "a"\n')))

    assert load().settings.kafka.topic == "a"


def test_the_tree_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        load().settings.kafka.topic = "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[kafka]\ntopics = "x"', "kafka.topics (file {}): no such setting; did you mean kafka.topic?"),
        ('[kafak]\ntopic = "x"', "kafak.topic (file {}): no such setting; did you mean kafka.topic?"),
        ('topic = "x"', "topic (file {}): no such setting; did you mean kafka.topic?"),
        ("[http]\nport = 70000", "http.port (file {}): '70000' should be less than or equal to 65535"),
        ('[windows]\nlateness = "30"', "windows.lateness (file {}): '30' is no duration"),
        ("[windows]\nlateness = 30", "windows.lateness (file {}): '30' is no duration"),
        ('[windows]\nlateness = "2h"', "windows.lateness (file {}): should be less than or equal to 1 hour"),
        ('[archive]\nbytes_max = "16 MB"', "archive.bytes_max (file {}): '16 MB' is no size: write it with"),
        ('[archive]\nurl = "ftp://x"', "archive.url (file {}): 'ftp://x' is no address of a store"),
        ('[archive]\naccess_key_id = "x"', "archive: access_key_id and secret_access_key go together"),
        ('[kafka]\nsecurity_protocol = "sasl_ssl"', "kafka: security_protocol sasl_ssl needs sasl_mechanism"),
        ('[redis]\nprefix = "sw"', "redis.prefix (file {}): 'sw' should match pattern"),
        ('[kafka]\ntopic = ""\ngroup = ""', "(and 1 more)"),
        ("[kafka", "config file {} is no TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_key_the_place_and_the_way_out(config, text, said):
    file = config(text)

    assert said.format(file) in refusal(file)


def test_a_missing_file_is_named(tmp_path):
    assert "No such file" in refusal(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STREAM_WORKER_KAFKA__TOPICS", "x", "did you mean STREAM_WORKER_KAFKA__TOPIC?"),
        ("STREAM_WORKER_KAFKA_TOPIC", "x", "did you mean STREAM_WORKER_KAFKA__TOPIC?"),
        ("STREAM_WORKER_KAFKA", '{"topic": "x"}', "no such setting"),
        ("STREAM_WORKER_KAFKA__TOPIC_FILE", "/dev/null", "no such setting"),
        ("STREAM_WORKER_KAFKA__EXTRA__ACKS", "1", "no such setting"),
        ("STREAM_WORKER_KAFKA__EXTRA", "{", "is no JSON"),
        ("STREAM_WORKER_HTTP__PORT", "http", "(environment STREAM_WORKER_HTTP__PORT): 'http' should be"),
    ],
)
def test_a_wrong_variable_is_refused_with_the_nearest_right_name(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)

    assert said in refusal()


def test_variables_for_tests_and_of_others_are_left_alone(monkeypatch):
    monkeypatch.setenv("STREAM_WORKER_TEST_KAFKA", "localhost:1")
    monkeypatch.setenv("STREAMING", "x")

    assert load().origins == {}


@pytest.mark.parametrize("key", sorted(PROTOCOL_PROPERTIES))
def test_properties_the_guarantee_rests_on_are_refused(config, key):
    assert f"must not have {key}" in refusal(config(f'[kafka.extra]\n"{key}" = "x"\n'))


def test_a_property_that_has_a_setting_of_its_own_is_sent_there(config):
    said = refusal(config('[kafka.extra]\n"sasl.password" = "hunter2-planted"\n'))

    assert "set kafka.sasl_password instead" in said


def test_a_secret_comes_from_a_file_without_its_line_end(monkeypatch, tmp_path):
    # Given a file as orchestrators mount it, and an address in the configuration that it replaces
    (tmp_path / "secret").write_text(f"{SECRET}\n", encoding="utf-8")
    monkeypatch.setenv("STREAM_WORKER_KAFKA__SSL_KEY_PASSWORD_FILE", str(tmp_path / "secret"))

    # When the settings are read
    settings, origins = load()

    # Then the client gets it, and nothing prints it
    assert client_properties(settings.kafka)["ssl.key.password"] == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in settings.model_dump_json()
    assert origins["kafka.ssl_key_password"] == "environment STREAM_WORKER_KAFKA__SSL_KEY_PASSWORD_FILE"


def test_a_secret_given_twice_or_in_no_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAM_WORKER_REDIS__URL_FILE", str(tmp_path / "absent"))
    assert "No such file" in refusal()

    monkeypatch.setenv("STREAM_WORKER_REDIS__URL", f"redis://:{SECRET}@localhost")
    assert "unset one" in refusal()


def test_a_wrong_secret_is_never_repeated(config):
    assert refusal(config(f'[redis]\nurl = ["{SECRET}"]\n'))
    assert refusal(config(f'[kafka.extra]\n"oauth" = ["{SECRET}"]\n'))


def test_properties_of_clients_hold_brokers_security_and_the_extra_ones(config):
    file = config('[kafka]\nbootstrap_servers = "k:1"\n[kafka.extra]\n"client.id" = "me"\n')

    assert client_properties(load(file).settings.kafka) == {
        "bootstrap.servers": "k:1",
        "security.protocol": "plaintext",
        "client.id": "me",
        "log_level": "0",
    }


def test_every_setting_has_a_meaning():
    assert [key for key, leaf in LEAVES.items() if not leaf.field.description] == []


@given(st.integers(0, 10**9))
def test_durations_survive_being_written(ms):
    duration = dt.timedelta(milliseconds=ms)

    assert units.in_ms(units.parse_duration(units.format_duration(duration))) == ms


@given(st.integers(0, 2**50))
def test_sizes_survive_being_written(size_bytes):
    assert units.parse_size(units.format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "5 minutes", "5M", "1e3s", "9999999999999999d", None, 5]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "MiB", "-5B", "5MB", "5 MiB", "1,5MiB", None, True, 1.5])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError):
        units.parse_size(text)
