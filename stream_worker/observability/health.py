"""Health: `/livez`, `/readyz` and `/metrics` over HTTP, from a thread that only reads.

Rules:
1. Alive: the loop turned lately. Nothing else: a dependency that is away is no reason to be restarted.
2. Ready: every required part is up. A sink that is away makes the worker `degraded`, which is still ready:
   it holds its place and goes on when the sink is back.
3. A probe never waits for the loop, and a slow client never for long.
"""

import errno
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Final, NamedTuple, Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream_worker.errors import Misconfigured, Unavailable

ALIVE_S: Final = 30.0
REQUIRED: Final = ("model", "group")
_CLIENTS_MAX = 16
_CLIENT_TIMEOUT_S = 5.0


class Component(NamedTuple):
    """One part of the worker, as it was last seen."""

    ok: bool
    detail: str


class ProbeAnswer(NamedTuple):
    """Whether a probe succeeds, and the JSON object that it returns."""

    ok: bool
    body: Mapping[str, object]


class Health:
    """What the loop reports of itself; the server's threads read it."""

    def __init__(
        self,
        required: tuple[str, ...] = REQUIRED,
        *,
        alive_s: float = ALIVE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alive_s, self._now_s = alive_s, now_s
        self._turned_s = now_s()
        self._required = required
        self._parts = dict.fromkeys(required, Component(ok=False, detail="not yet"))

    def turned(self) -> None:
        """The loop turned."""
        self._turned_s = self._now_s()

    def report(self, name: str, *, ok: bool, detail: str = "") -> None:
        """Record the state of a part: a required one, or a dependency that may be away."""
        self._parts[name] = Component(ok, detail)

    def live(self) -> ProbeAnswer:
        """Tell whether the loop turned lately."""
        idle_s = self._now_s() - self._turned_s
        alive = idle_s <= self._alive_s
        status = "alive" if alive else "stuck"
        return ProbeAnswer(alive, {"status": status, "last_turn_seconds_ago": round(idle_s, 3)})

    def ready(self) -> ProbeAnswer:
        """Tell whether every required part is up, with the state of each part."""
        parts = dict(self._parts)
        missing = [name for name in self._required if not parts[name].ok]
        away = [name for name, part in parts.items() if not part.ok and name not in self._required]
        status = "not ready" if missing else "degraded" if away else "ready"
        shown = {name: {"ok": part.ok, "detail": part.detail} for name, part in sorted(parts.items())}
        return ProbeAnswer(not missing, {"status": status, "missing": missing, "away": away, "parts": shown})


class HealthServer:
    """The HTTP server, from its construction until `close`.

    Raises Unavailable when the port is in use, Misconfigured when the address cannot be used at all.
    """

    def __init__(self, host: str, port: int, health: Health, registry: CollectorRegistry) -> None:
        try:
            self._server = _ProbeServer((host, port), health, registry)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Unavailable(
                    f"http.port {port} at {host} is in use; set another one, or 0 for any free one"
                ) from None
            raise Misconfigured(f"http.host {host}, http.port {port}: {error.strerror or error}") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering. Safe to repeat."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(_CLIENT_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _ProbeServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    # On Linux this only skips the wait after an earlier process ended; a port that is listened on is refused.
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], health: Health, registry: CollectorRegistry) -> None:
        self.health, self.registry = health, registry
        self._free = threading.BoundedSemaphore(_CLIENTS_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)  # a limit on threads; probes come again
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """A client that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _ProbeServer
    timeout = _CLIENT_TIMEOUT_S
    server_version = "stream_worker"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/livez":
            self._answer_json(self.server.health.live())
        elif path in ("/readyz", "/healthz"):
            self._answer_json(self.server.health.ready())
        elif path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, content_type, encode(self.server.registry))
        else:
            self._answer(404, "text/plain; charset=utf-8", b"try /livez, /readyz or /metrics\n")

    do_HEAD = do_GET  # noqa: N815  the name is the library's

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the library's
        """Probes come every few seconds; they are not worth a line."""

    def _answer_json(self, answer: ProbeAnswer) -> None:
        body = json.dumps(answer.body).encode() + b"\n"
        self._answer(200 if answer.ok else 503, "application/json", body)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
