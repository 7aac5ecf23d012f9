"""`produce-mentions` as people run it: what it prints, where, and its exit codes."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from producers.cli import app
from producers.options import BOOTSTRAP_ENV, crisis
from stream_worker.devservers.child_process import free_port
from tests.servers.kafka import CHECKOUT
from tests.unit.producers.test_publisher import read_all

CSV = """\
id,company,source,author,text,created_at
1,Acme,Twitter Web,ann,so good,2024-05-01T10:00:02Z
2,Acme,x,bob,,2024-05-01T10:00:03Z
3,Globex,x,cyd,so bad,2024-05-01T10:00:00Z
"""
COMMAND = [sys.executable, "-c", "from producers.cli import main; main()"]


@pytest.fixture
def posts(tmp_path):
    file = tmp_path / "posts.csv"
    file.write_text(CSV)
    return str(file)


@pytest.fixture
def produce(monkeypatch):
    """Run the command line in this process; a terminal that is wide enough keeps lines whole."""
    monkeypatch.delenv(BOOTSTRAP_ENV, raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return lambda *arguments: CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def start(*arguments):
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ([], ["replay", "synthetic", "schema"]),
        (["replay"], ["--speed", "--rebase", "--brand-value", "--create-topic", "--properties", "Examples"]),
        (["synthetic"], ["--seed", "--rate", "--backfill", "--crisis", "--broken", "rumour", "Example"]),
    ],
)
def test_help_names_the_options_and_gives_an_example(produce, command, shown):
    result = produce(*command, "--help")
    assert result.exit_code == 0
    assert [word for word in shown if word not in result.stdout] == []


def test_the_published_schema_is_the_one_the_program_writes(produce):
    # Made by: produce-mentions schema > docs/schema/mention.json
    result = produce("schema")
    assert result.exit_code == 0
    assert (CHECKOUT / "docs" / "schema" / "mention.json").read_text(encoding="utf-8") == result.stdout


def test_print_writes_the_mentions_in_order_to_stdout_and_the_rest_to_stderr(produce, posts):
    result = produce("replay", posts, "--print")
    assert result.exit_code == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "id": "3",
            "brand": "Globex",
            "network": "x",
            "text": "so bad",
            "event_time": "2024-05-01T10:00:00Z",
            "author": "cyd",
        },
        {
            "id": "1",
            "brand": "Acme",
            "network": "twitter_web",
            "text": "so good",
            "event_time": "2024-05-01T10:00:02Z",
            "author": "ann",
        },
    ]
    said = result.stderr
    assert "columns: id=id, brand=company, network=source, text=text, time=created_at, author=author" in said
    assert "networks renamed to fit: 'Twitter Web' to 'twitter_web'" in said
    assert "the file was not in order of time" in said
    assert "skipped 1 unusable row (no text: 1)" in said
    assert "row 2: no text" in said


def test_a_clear_warning_says_that_times_in_the_past_are_not_seen_live(produce, posts):
    assert "add --rebase now to see them live" in produce("replay", posts, "--print").stderr
    rebased = produce("replay", posts, "--print", "--rebase", "now")
    assert "WARNING" not in rebased.stderr
    assert "their times become" in rebased.stderr
    assert "2024" not in rebased.stdout


def test_a_warning_says_what_the_worker_would_reject(produce, posts):
    result = produce("replay", posts, "--print", "--rebase", "2999-01-01")
    assert "WARNING: 2 mentions will lie more than 5 min ahead of the clock" in result.stderr


def test_printing_a_synthetic_feed_twice_gives_the_same_bytes(produce):
    runs = [
        produce(
            "synthetic", "--print", "--seed", "7", "--start", "2026-01-01", "--duration", "30s"
        ).stdout_bytes
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == pytest.approx(600, rel=0.2)


def test_a_crisis_has_a_length_and_a_kind():
    parsed = [crisis(text) for text in ("A: b@+1s", "A@+1m/2m", "A@+1m:price", "A@+1m/2m:rumour")]
    assert [(one.brand, one.from_ms, one.until_ms, one.kind) for one in parsed] == [
        ("A: b", 1_000, math.inf, ""),
        ("A", 60_000, 180_000, ""),
        ("A", 60_000, math.inf, "price"),
        ("A", 60_000, 180_000, "rumour"),
    ]


def test_a_past_is_on_the_topic_with_times_in_the_past_that_rise_into_the_present(produce, kafka):
    # When
    topic, before_ms = kafka.new_topic(partitions=1), time.time() * 1_000
    result = produce(
        *("synthetic", "--backfill", "1h", "--rate", "0.5", "--broken", "0.01"),
        *("-b", kafka.bootstrap, "-t", topic, "--duration", "1s"),
    )

    # Then
    assert result.exit_code == 0
    assert "inventing 1 h of the past first, then 0.5 mentions a second" in result.stderr
    filled = int(re.search(r"filled in the past with ([\d,]+) records", result.stderr)[1].replace(",", ""))
    assert filled == pytest.approx(1_800, rel=0.12)
    times_ms = record_times(kafka.bootstrap, topic, filled)
    assert times_ms == sorted(times_ms)
    assert times_ms[0] == pytest.approx(before_ms - 3_600_000, abs=60_000)


def test_stdin_is_read_when_the_file_is_a_dash(posts):
    lines = subprocess.run(
        [*COMMAND, "replay", posts, "--print"], cwd=CHECKOUT, capture_output=True, check=True
    ).stdout
    again = subprocess.run(
        [*COMMAND, "replay", "-", "--format", "jsonl", "--print"],
        cwd=CHECKOUT,
        input=lines,
        capture_output=True,
        check=True,
    ).stdout
    assert again == lines
    assert lines.count(b"\n") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["replay", "{posts}", "--speed", "fast"], 2, "'fast' is no speed"),
        (["replay", "{posts}", "--gap-max", "5"], 2, "'5' is no duration"),
        (["replay", "{posts}", "--since", "soon"], 2, "'soon' is no time"),
        (["replay", "{posts}", "--brand", "company", "--brand-value", "Acme"], 2, "exclude each other"),
        (["replay", "{posts}", "--id", "id", "--id-rows"], 2, "exclude each other"),
        (["replay", "{posts}", "--column", "colour=x"], 2, "roles are id, brand"),
        (["replay", "{posts}", "--anchor", "last"], 2, "means nothing without --rebase"),
        (
            ["replay", "{posts}", "--rebase", "now", "--speed", "max", "--anchor", "first"],
            2,
            "use --anchor last",
        ),
        (["synthetic", "--crisis", "Nobody@+1s", "--print"], 2, "there is no brand 'Nobody'"),
        (["synthetic", "--crisis", "Okelio"], 2, "is no crisis"),
        (["synthetic", "--crisis", "Okelio@+1s:flood"], 2, "there are recall, outage, price, rumour"),
        (["synthetic", "--rate", "fast"], 2, "'fast' is no rate"),
        (["synthetic", "--rate", "0"], 2, "'0' is no rate"),
        (["replay", "{posts}", "--text", "txt"], 78, "no column 'txt' for the text; did you mean 'text'?"),
        (["replay", "nowhere.csv"], 78, "nowhere.csv: no such file"),
        (["replay", "{posts}", "--since", "2025-01-01"], 78, "no usable mention between --since and --until"),
        (["replay", "{posts}", "--set", "acks=1"], 78, "acks is fixed"),
        (["replay", "{posts}", "--set", "sasl.password=x"], 78, "secrets never in flags"),
        (["replay", "{posts}", "-b", "127.0.0.1:{port}"], 69, "no broker answers"),
    ],
)
def test_errors_are_one_clear_line_with_the_right_exit_code(produce, posts, arguments, code, says):
    result = produce(*(argument.format(posts=posts, port=free_port()) for argument in arguments))
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_replay_is_delivered_and_counted(produce, posts, kafka):
    # When
    topic = kafka.new_topic(partitions=2)
    result = produce("replay", posts, "--speed", "max", "-b", kafka.bootstrap, "-t", topic, "--json")

    # Then
    assert result.exit_code == 0
    counts = json.loads(result.stdout)
    expected = {"sent": 2, "delivered": 2, "failed": 0, "unknown": 0, "skipped": 1, "interrupted": False}
    assert {name: counts[name] for name in expected} == expected
    assert f"delivered 2 of 2 to {topic!r} at {kafka.bootstrap}" in result.stderr
    assert sorted(key for _, key, _ in read_all(kafka.bootstrap, topic, 2)) == ["Acme", "Globex"]


def test_ctrl_c_stops_flushes_and_counts(kafka):
    # Given a feed without end
    topic = kafka.new_topic()
    process = start("synthetic", "--rate", "300", "-b", kafka.bootstrap, "-t", topic, "--json")
    wait_for_records(kafka, topic)

    # When
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=30)

    # Then
    counts = json.loads(out)
    assert process.returncode == 130
    assert counts["interrupted"]
    assert counts["delivered"] == counts["sent"] > 0
    assert "Traceback" not in said
    assert len(read_all(kafka.bootstrap, topic, counts["sent"])) == counts["sent"]


def test_a_broker_that_goes_away_in_the_middle_is_exit_code_1(private_kafka):
    # Given a feed without end that is being published
    kafka = private_kafka()
    topic = kafka.new_topic()
    patience = ["--set", "message.timeout.ms=2000"]
    process = start("synthetic", "--rate", "300", "-b", kafka.bootstrap, "-t", topic, "--json", *patience)
    wait_for_records(kafka, topic)

    # When
    kafka.child.kill()
    out, said = process.communicate(timeout=40)

    # Then it ends by itself, and says what nobody confirmed
    counts = json.loads(out)
    assert process.returncode == 1
    assert counts["unknown"] > 0
    assert counts["sent"] == counts["delivered"] + counts["failed"] + counts["unknown"]
    assert "NOT DELIVERED" in said
    assert "stopped: " in said


def test_a_pipe_that_has_enough_ends_the_feed_quietly():
    process = start("synthetic", "--rate", "1000", "--print")
    assert json.loads(process.stdout.readline())["brand"]
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 0
    assert "Error" not in said


def test_on_a_terminal_there_is_a_bar(kafka):
    # Given a terminal for messages
    topic = kafka.new_topic()
    ours, theirs = os.openpty()
    command = ["synthetic", "--rate", "500", "--count", "300", "-b", kafka.bootstrap, "-t", topic]

    # When
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "160"}
    process = subprocess.Popen([*COMMAND, *command], cwd=CHECKOUT, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65_536)
        except OSError:  # how Linux says that the other side has closed
            break
    os.close(ours)

    # Then
    assert process.wait(30) == 0
    assert "━" in shown.decode()
    assert b"300/300" in shown
    assert b"delivered 300 of 300" in shown


def record_times(bootstrap, topic, expected):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    times_ms = []
    while len(times_ms) < expected and (batch := consumer.consume(expected, timeout=10)):
        times_ms += [record.timestamp()[1] for record in batch]
    consumer.close()
    return times_ms


def wait_for_records(kafka, topic):
    give_up = time.monotonic() + 30
    while not read_all(kafka.bootstrap, topic, 1):
        assert time.monotonic() < give_up
