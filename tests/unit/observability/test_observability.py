"""Logs, metrics and probes: what they say, and what they never say."""

import io
import json
import logging
import socket
import urllib.error
import urllib.request

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.observability.health import Health, HealthServer
from stream_worker.observability.logs import Repeats, configure
from stream_worker.observability.metrics import PREFIX, Metrics
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.redaction import HIDDEN, is_sensitive, masked

PLANTED = "hunter2-planted"


@pytest.fixture
def lines():
    """Configure logs of a format, and return what was written since."""
    stream = io.StringIO()

    def start(log_format="json", level="info"):
        configure(log_format, level, stream)
        return lambda: stream.getvalue().splitlines()

    return start


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


# Logs


def test_an_event_is_one_json_object_a_line_where_nobody_watches(lines):
    written = lines("auto")  # a buffer is no terminal

    structlog.get_logger().info("partition assigned", partition=3)

    (line,) = written()
    event = json.loads(line)
    assert event["event"] == "partition assigned"
    assert event["partition"] == 3
    assert event["level"] == "info"
    assert event["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_said(lines):
    written = lines("json", "warning")

    structlog.get_logger().info("partition assigned")
    structlog.get_logger().warning("redis lost")

    assert [json.loads(line)["event"] for line in written()] == ["redis lost"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_and_what_people_wrote_never_reach_a_log(lines, log_format):
    # Given somebody who logs what must not be logged, in any depth
    written = lines(log_format)
    log = structlog.get_logger()

    # When it is logged
    log.info("mention seen", text=PLANTED, author=PLANTED, value=PLANTED.encode())
    log.bind(sasl_password=PLANTED, api_key=PLANTED).warning("client made", Authorization=PLANTED)
    log.info("nested", settings={"redis": {"password": PLANTED, "more": [{"token": PLANTED}]}})
    log.error("redis lost", error=f"cannot reach redis://user:{PLANTED}@localhost:6379/0")
    logging.getLogger("library").warning("connecting to %s", f"https://me:{PLANTED}@example.org/")

    # Then none of it is there, and the rest is
    said = "\n".join(written())
    assert len(written()) == 5
    assert PLANTED not in said
    assert HIDDEN in said
    assert "redis://***@localhost:6379/0" in said


def test_libraries_speak_in_the_same_format_and_only_of_warnings(lines):
    written = lines()

    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")

    assert [json.loads(line)["event"] for line in written()] == ["trouble"]


SECRETS = (
    "text",
    "author",
    "sasl_password",
    "ssl.key.password",
    "secret_access_key",
    "Authorization",
    "access_key_id",
    "api-key",
    "sasl.jaas.config",
)


@pytest.mark.parametrize("key", SECRETS)
def test_names_of_secrets_are_known(key):
    assert is_sensitive(key)


@pytest.mark.parametrize(
    "key", ["partition", "context", "authority", "offset", "brand", "monkey", "tokenizer"]
)
def test_harmless_names_are_left_alone(key):
    assert not is_sensitive(key)


def test_a_value_nested_without_end_is_hidden():
    value: dict[str, object] = {}
    value["again"] = value

    assert HIDDEN in str(masked(value))


def test_the_same_trouble_is_told_once_and_then_with_its_repeats():
    # Given somebody who tells trouble every ten seconds, and may tell it every thirty
    clock = Clock()
    repeats = Repeats(30.0, clock)
    told = []

    # When it goes on for a minute and a half
    for second in range(0, 100, 10):
        clock.now_s = float(second)
        told.append(repeats.kept_quiet("redis"))

    # Then three in four are kept quiet, and counted
    assert told == [0, None, None, 2, None, None, 2, None, None, 2]

    # And after it was over, it is news again
    repeats.over("redis")
    assert repeats.kept_quiet("redis") == 0


# Metrics


def test_every_metric_is_described_and_has_a_bounded_set_of_labels():
    catalogue = Metrics().catalogue

    assert len({metric.name for metric in catalogue}) == len(catalogue)
    for metric in catalogue:
        assert metric.name.startswith(PREFIX)
        assert metric.meaning.endswith(".")
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert set(metric.labels) <= {
            "outcome",
            "label",
            "reason",
            "kind",
            "why",
            "stage",
            "name",
            "version",
            "complete",
            "partition",
            "channel",
            "status",
        }


def test_the_series_of_a_lost_partition_vanish():
    metrics = Metrics()
    metrics.consumer_lag_records.labels(3).set(7)
    metrics.consumer_lag_records.labels(4).set(8)

    metrics.forget(3)
    metrics.forget(5)  # never seen

    samples = [
        (sample.labels, sample.value)
        for family in metrics.registry.collect()
        if family.name == "stream_worker_consumer_lag_records"
        for sample in family.samples
    ]
    assert samples == [({"partition": "4"}, 8.0)]


def test_two_workers_in_one_process_do_not_share_metrics():
    one, other = Metrics(), Metrics()

    one.rebalances_total.inc()

    assert other.registry.get_sample_value("stream_worker_rebalances_total") == 0.0


# Probes


def get(server, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def served():
    clock, metrics = Clock(), Metrics()
    health = Health(now_s=clock, alive_s=30.0)
    with HealthServer("127.0.0.1", 0, health, metrics.registry) as server:
        yield server, health, clock, metrics


def test_alive_means_the_loop_turned_lately(served):
    server, health, clock, _ = served

    clock.now_s = 30.0
    assert get(server, "/livez")[0] == 200

    clock.now_s = 31.0
    status, body = get(server, "/livez")
    assert status == 503
    assert json.loads(body) == {"status": "stuck", "last_turn_seconds_ago": 31.0}

    health.turned()
    assert get(server, "/livez")[0] == 200


def test_ready_means_the_model_is_loaded_and_the_group_joined(served):
    server, health, _, _ = served
    assert get(server, "/readyz")[0] == 503

    health.report("model", ok=True, detail="0123456789ab sk")
    status, body = get(server, "/readyz")
    assert status == 503
    assert json.loads(body)["missing"] == ["group"]

    health.report("group", ok=True)
    status, body = get(server, "/readyz")
    assert status == 200
    assert json.loads(body)["status"] == "ready"


def test_a_sink_that_is_away_is_told_but_keeps_the_worker_ready(served):
    server, health, _, _ = served
    health.report("model", ok=True)
    health.report("group", ok=True)

    health.report("redis", ok=False, detail="did not answer")

    status, body = get(server, "/healthz")
    answer = json.loads(body)
    assert (status, answer["status"], answer["away"]) == (200, "degraded", ["redis"])
    assert answer["parts"]["redis"] == {"ok": False, "detail": "did not answer"}


def test_metrics_are_in_the_format_that_prometheus_reads(served):
    server, _, _, metrics = served
    metrics.expose_process()
    metrics.records_total.labels("counted").inc(5)

    status, body = get(server, "/metrics")

    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert families["stream_worker_records"].samples[0].value == 5.0
    assert {metric.name.removesuffix("_total") for metric in metrics.catalogue} <= set(families)
    assert "process_resident_memory_bytes" in families


def test_other_paths_are_not_there(served):
    assert get(served[0], "/")[0] == 404


def test_silent_clients_do_not_keep_a_probe_from_its_answer(served):
    # Given clients that connect and say nothing, though fewer than the limit
    server = served[0]
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(8)]

    # When somebody asks
    status, _ = get(server, "/livez")

    # Then there is an answer
    assert status == 200
    for client in silent:
        client.close()


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(Unavailable, match=f"http.port {port} at 127.0.0.1 is in use") as refused:
            HealthServer("127.0.0.1", port, Health(), Metrics().registry)

    assert refused.value.exit_code == 69


def test_an_address_of_another_machine_is_a_wrong_setting():
    with pytest.raises(Misconfigured, match=r"http\.host"):
        HealthServer("192.0.2.1", 0, Health(), Metrics().registry)


def test_a_worker_with_one_partition_says_so_in_the_singular():
    health = Health()

    WorkerRecorder(Metrics(), health).group(joined=True, partitions=1)

    assert health.ready().body["parts"]["group"] == {"ok": True, "detail": "1 partition"}
