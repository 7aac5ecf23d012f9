"""`stream-worker up`: worker, notifier and API as three processes of one command, for a small installation.

Rules:
1. Each is the program that runs alone elsewhere, with the same settings but for the port of its probes.
2. When one ends by itself the others are stopped, and its exit code is ours; 1 if a signal killed it. The
   supervisor of this process may start all again: nothing is lost.
3. They are stopped in the order of the data: worker, notifier, API. A second signal kills them.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from stream_worker.devservers.child_process import leashed
from stream_worker.process import stop_at_signals
from stream_worker.settings.loader import CONFIG_ENV
from stream_worker.settings.schema import ENV_PREFIX, Settings

PROGRAMS: Final = {"run": 0, "notify": 1, "serve": 0}
"""Command -> how far its probes' port is from `http.port`; the API has its probes at its own port."""

POLL_S: Final = 0.2
GRACE_S: Final = 20.0

log = structlog.get_logger()


def run_all(settings: Settings, config: Path | None) -> int:
    """Run all until a signal, or until one ends; returns the exit code."""
    stop = stop_at_signals()  # the leash takes the children along
    started = {name: _start(name, environment(settings, config, name)) for name in PROGRAMS}
    log.info("programs started", **{name: process.pid for name, process in started.items()})
    ended = None
    while ended is None and not stop.wait(POLL_S):
        ended = next((name for name, process in started.items() if process.poll() is not None), None)
    if ended is not None:
        log.error("program ended", program=ended, exit_code=started[ended].returncode)
    for process in started.values():
        _end(process)
    return 0 if ended is None else max(started[ended].returncode, 0) or 1  # below 0: killed by a signal


def environment(settings: Settings, config: Path | None, name: str) -> dict[str, str]:
    """Return the environment of one program: ours, with the config file and a port for its probes."""
    port = settings.http.port + PROGRAMS[name] if settings.http.port else 0
    own: Mapping[str, str] = {f"{ENV_PREFIX}HTTP__PORT": str(port)}
    return {**os.environ, **({CONFIG_ENV: str(config)} if config else {}), **own}


def _start(name: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = leashed([sys.executable, "-m", "stream_worker", name])
    return subprocess.Popen(command, env=env, start_new_session=True)  # noqa: S603 - the command is ours


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
