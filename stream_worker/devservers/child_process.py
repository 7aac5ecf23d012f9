"""A server as a child of this process: start, wait until it answers, stop.

1. A child listens on 127.0.0.1 only and never outlives its parent (parent_death.py, or an exit handler).
2. Its output goes to `server.log` in its folder, and every error names that file.
3. It sees none of this process's environment but PATH, HOME, LANG and TMPDIR: no secret, no stray option.
4. Started again it has the same port and the same folder, so that clients find it, and tests see what a
   crash leaves behind.
5. Start it from the main thread, or from one that lives as long: Linux ties it to that thread.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stream_worker.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOOPBACK = "127.0.0.1"
LOG_NAME = "server.log"

_PORTS = range(20_000, 32_000)  # below the range from which Linux takes the ports of clients
_LEASH = Path(__file__).with_name("parent_death.py")
_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
_LOG_TAIL_BYTES = 600


class Child:
    """One server process; a context manager that stops it at the end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        address: str,
        is_ready: Callable[[], bool],
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        ready_within_s: float = 30.0,
        grace_s: float = 10.0,
    ) -> None:
        """Prepare a server; `start` runs it. Without a folder it gets one that `close` removes."""
        self.name = name
        self.address = address
        self.folder = folder or Path(tempfile.mkdtemp(prefix="stream-worker-"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._is_temporary = folder is None
        self._command = [str(part) for part in command]
        self._is_ready = is_ready
        self._env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | dict(env or {})
        self._ready_within_s = ready_within_s
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = os.getpid()

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def log(self) -> Path:
        """The file that holds what the server printed, over all its starts."""
        return self.folder / LOG_NAME

    @property
    def pid(self) -> int:
        """The pid of the running server; it is the server itself, no wrapper."""
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; it may be frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it, or start it again, and wait until it answers. Raises Unavailable if it does not."""
        assert not self.is_running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is ours
                leashed(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=self._env,
                start_new_session=True,  # Ctrl-C reaches us only; we stop them in order
            )
        atexit.register(self.stop)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, *, grace_s: float | None = None) -> None:
        """Send SIGTERM, wait, and kill it if it has not ended by then. Safe to repeat."""
        self._end(signal.SIGTERM, self._grace_s if grace_s is None else grace_s)

    def kill(self) -> None:
        """Kill it at once, as `kill -9` does. Safe to repeat."""
        self._end(signal.SIGKILL, grace_s=10.0)

    def close(self, *, grace_s: float | None = None) -> None:
        """Stop it and remove the folder, if the folder was made for it. Safe to repeat."""
        self.stop(grace_s=grace_s)
        if self._is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def freeze(self) -> None:
        """Suspend it: connections stay open and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, how: signal.Signals, grace_s: float) -> None:
        if self._process is None or os.getpid() != self._owner_pid:  # a fork must not stop ours
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(how)
            self._process.send_signal(signal.SIGCONT)  # a frozen one would never see SIGTERM
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        atexit.unregister(self.stop)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline_s = time.monotonic() + self._ready_within_s
        while True:
            if (code := self._process.poll()) is not None:
                raise Unavailable(f"{self.name} ended with {code} while starting: {self._explain()}")
            try:
                if self._is_ready():
                    return
            except OSError:
                pass  # nobody listens yet
            if time.monotonic() > deadline_s:
                raise Unavailable(
                    f"{self.name} did not answer within {self._ready_within_s:g} s: {self._explain()}"
                )
            time.sleep(0.02)

    def _explain(self) -> str:
        tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip()
        return f"see {self.log}" + (f", which ends: {tail}" if tail else "")


def leashed(command: Sequence[str]) -> list[str]:
    """Return the same command, as a child that dies with this process (Linux)."""
    return [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command]


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now; it is not reserved."""
    for _ in range(200):
        port = secrets.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise Unavailable(f"no free port found between {_PORTS.start} and {_PORTS.stop} on {LOOPBACK}")


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections there. Raises OSError if not."""
    with socket.create_connection((LOOPBACK, port), timeout=1.0):
        return True
