"""`stream-worker serve` as a process: its port, its end, and what it says when it cannot."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.integration.api.conftest import served


def serve(**settings):
    """Start it; no Redis is needed for that."""
    env = {f"STREAM_WORKER_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "stream_worker", "serve"],
        env={**os.environ, "STREAM_WORKER_REDIS__URL": "redis://127.0.0.1:1/0", **env},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_in_order(number):
    with serve(api__port="0", log__format="json") as process:
        opened = json.loads(process.stderr.readline())
        assert opened["event"] == "api opened"
        with socket.create_connection(("127.0.0.1", opened["port"]), timeout=10) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200")

        process.send_signal(number)

        said = [json.loads(line)["event"] for line in process.stderr]
        assert process.wait(10) == 0
        assert said[-1] == "api closed"
        assert set(said) <= {"redis lost", "usual postponed", "api closed"}


def test_a_port_in_use_is_one_clear_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with serve(api__port=str(port)) as process:
            said = process.stderr.read()

    assert process.returncode == 69
    assert said == (
        f"stream-worker: api.port {port} at 127.0.0.1 is in use; set another one, or 0 for any free one\n"
    )


def test_beyond_this_machine_any_name_is_answered_unless_names_are_set(redis_server):
    with served(redis__url=redis_server.url, api__host="0.0.0.0") as api:
        assert api.ask("/livez", Host="brands.example").status == 200
    with served(redis__url=redis_server.url, api__host="0.0.0.0", api__hosts="brands.example") as api:
        assert api.ask("/livez", Host="brands.example:443").status == 200
        assert api.ask("/livez", Host="evil.example").status == 421
