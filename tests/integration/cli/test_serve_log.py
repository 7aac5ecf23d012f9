"""`stream-worker serve` and clients that speak no HTTP: they cannot fill the log."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter

from stream_worker.devservers.child_process import LOOPBACK

NO_HTTP = b"\x16\x03\x01 this is the first word of TLS\r\n\r\n"
WEBSOCKET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"


def test_what_clients_do_wrong_is_said_once_in_a_while():
    # Given a server
    own = {"API__PORT": "0", "LOG__FORMAT": "json", "REDIS__URL": "redis://127.0.0.1:1/0"}
    env = os.environ | {f"STREAM_WORKER_{name}": value for name, value in own.items()}
    command = [sys.executable, "-m", "stream_worker", "serve"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        port = json.loads(process.stderr.readline())["port"]

        # When clients send what it does not speak, again and again
        for sent in 5 * [NO_HTTP, WEBSOCKET]:
            with socket.create_connection((LOOPBACK, port), timeout=10) as client:
                client.sendall(sent)
                assert client.recv(100).startswith(b"HTTP/1.1 ")

        # Then it says so once
        process.terminate()
        said = Counter(json.loads(line)["event"] for line in process.stderr)
        assert process.wait(10) == 0
    assert said["Invalid HTTP request received."] == 1
    assert said["Unsupported upgrade request."] == 1
