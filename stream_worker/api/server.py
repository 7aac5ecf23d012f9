"""`stream-worker serve`: REST, live feed and page over one port, until told to stop.

It reads Redis and the manifest of the configured model (the whole model once an explanation is requested), so
that it may be started before any worker, more than once, and anywhere.
"""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import structlog
import uvicorn

from stream_worker.adapters.redis.connection import address_of
from stream_worker.api.app import create_app
from stream_worker.api.live_feed import Feed
from stream_worker.api.queries import Queries
from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.security import Guard, is_loopback, names_for
from stream_worker.core.sentiment.estimate import BOTH, MeasuredModel
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.inference.confusion import known_model
from stream_worker.inference.explainer import Explainer
from stream_worker.observability.logs import Repeats
from stream_worker.observability.metrics import Metrics
from stream_worker.settings.schema import Settings
from stream_worker.settings.units import in_ms
from stream_worker.version import VERSION

CONNECTIONS_SPARE: Final = 100
"""Connections beyond the live feeds; further ones are turned away."""
STOP_S: Final = 3
IDLE_S: Final = 30
BACKLOG: Final = 128

log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Raises Unavailable when the port is in use, Misconfigured when the address cannot be used at all.
    """
    host = settings.api.host
    serving = Serving(settings)
    _limit_library_log()
    page = f"http://{_in_url(host)}:{serving.port}/"
    log.info("api opened", host=host, port=serving.port, page=page, intervals=serving.intervals)
    if not is_loopback(host):
        log.warning("api exposed", host=host)
    asyncio.run(serving.run())
    log.info("api closed")
    return 0


class Serving:
    """A server that listens from its construction; `run` serves until `stop`, SIGTERM or SIGINT."""

    def __init__(self, settings: Settings) -> None:
        api = settings.api
        self._socket = _listen(api.host, api.port)
        self.port: int = self._socket.getsockname()[1]
        measured, why_not = known_model(settings.model)
        self.intervals = f"sampling only: {why_not}" if measured is None else BOTH
        self.feed, application = _build(settings, measured)
        config = uvicorn.Config(
            application,
            log_config=None,
            ws="none",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=api.clients_max + CONNECTIONS_SPARE,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=STOP_S,
        )
        self.server = _ApiServer(config, self.stop)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Serve."""
        self._loop = asyncio.get_running_loop()
        await self.server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """End the live feeds, then the server; from any thread."""
        self.server.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.feed.close)


def _build(settings: Settings, measured: MeasuredModel | None) -> tuple[Feed, Guard]:
    """Build the feed and the application around it."""
    url, lateness_ms = settings.redis.url.get_secret_value(), in_ms(settings.windows.lateness)
    try:
        reader = RedisReader(
            url,
            address_of(url),
            prefix=settings.redis.prefix,
            lateness_ms=lateness_ms,
            socket_timeout_s=settings.redis.socket_timeout.total_seconds(),
        )
    except ValueError as error:
        raise Misconfigured(f"redis.url cannot be read: {error}") from None
    queries = Queries(reader, lateness_ms, measured)
    feed = Feed(queries, settings.api.clients_max)
    hosts = names_for(settings.api.host, settings.api.hosts)
    metrics = Metrics()
    metrics.expose_process()
    metrics.build_info.labels(VERSION).set(1)
    metrics.api_live_clients.set_function(lambda: feed.clients)

    def observe(status: int, seconds: float) -> None:
        metrics.api_requests_total.labels(f"{status // 100}xx").inc()
        metrics.api_request_seconds.observe(seconds)

    app = create_app(queries, feed, metrics.registry, Explainer(settings).explain)
    return feed, Guard(app, hosts, observe)


class _ApiServer(uvicorn.Server):
    """A server whose signals end it in order, and leave the exit code to us."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the library's
        """Stop; a second Ctrl-C leaves at once."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self._stop()


def _limit_library_log() -> None:
    """Let the library log the same trouble once in a while only: else any client could fill the log."""
    repeats = Repeats()
    logging.getLogger("uvicorn.error").addFilter(
        lambda record: repeats.kept_quiet(str(record.msg)) is not None
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Misconfigured(f"api.host {host}, api.port {port}: {error.strerror or error}") from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(
                f"api.port {port} at {host} is in use; set another one, or 0 for any free one"
            ) from None
        raise Misconfigured(f"api.host {host}, api.port {port}: {error.strerror or error}") from None
    return listening


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
