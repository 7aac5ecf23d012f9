"""The live feed: one reader of `{sw}:changes`, many clients, each behind a bounded queue.

Rules:
1. A client gets a snapshot, then changes. Numbers are absolute, so that a change twice does no harm.
2. The id of an event is that of the newest notice in it. With the last one a client goes on where it was;
   an id that is trimmed, newer than the stream or no id at all gets a snapshot.
3. A client that does not keep up loses its queue and gets a snapshot: nobody waits for it.
4. Redis away is said (`stale`), never hidden; when it is back everybody gets a snapshot.
5. Notices are gathered for `GATHER_S`, longer while much changes, so that a client gets `BYTES_A_SECOND`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, NamedTuple

import structlog
from fastapi.sse import ServerSentEvent

from stream_worker.api.queries import Queries, parts
from stream_worker.api.schemas import Alerts, Window, instant
from stream_worker.api.snapshot import PageSnapshot, id_key
from stream_worker.core.aggregates.encoding import raw
from stream_worker.errors import StreamWorkerError, Unavailable

QUEUE_MAX: Final = 32
GATHER_S: Final = 0.25
GATHER_MAX_S: Final = 5.0
BYTES_A_SECOND: Final = 20_000
FRESH_EVERY_S: Final = 5.0
AGAIN_S: Final = 1.0
RETRY_MS: Final = 2_000
STRIP_MINUTES: Final = 4
"""Minutes of the strip that a change carries: those that may differ from what was sent before."""

log = structlog.get_logger()


class FeedEvent(NamedTuple):
    """One event; without an id it does not move the client's place."""

    name: str
    body: str
    id: str | None = None


class Client:
    """One reader: its window and what waits for it."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.waiting: asyncio.Queue[FeedEvent | None] = asyncio.Queue(QUEUE_MAX)

    def put(self, event: FeedEvent | None) -> None:
        """Queue an event; None, and a queue that is full, ask for a snapshot."""
        if event is None or self.waiting.full():
            while not self.waiting.empty():
                self.waiting.get_nowait()
            event = None
        self.waiting.put_nowait(event)


class Feed:
    """The feed of one process: `run` reads, `events` serves a client."""

    def __init__(self, picture: Queries, clients_max: int) -> None:
        self._picture, self._clients_max = picture, clients_max
        self._clients: set[Client] = set()
        self._last: str | None = None
        self._stale: FeedEvent | None = None
        self._as_of_ms: int | None = None
        self._alerts = ""
        self._closing = asyncio.Event()

    # ------------------------------------------------------------ clients

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def join(self, window: Window) -> Client | None:
        """Take a place; None when all are taken."""
        if len(self._clients) >= self._clients_max:
            return None
        client = Client(window)
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Give the place back."""
        self._clients.discard(client)

    def close(self) -> None:
        """End every feed: the process is about to stop."""
        self._closing.set()
        for client in self._clients:
            client.put(None)

    async def events(self, client: Client, last_id: str) -> AsyncIterator[ServerSentEvent]:
        """Yield what the client must know, from the id it has or from a snapshot, until the feed closes."""
        sent = (0, 0)
        waiting = await self._first(client, last_id)
        while not self._closing.is_set():
            for event in waiting:
                if event.id is None or id_key(event.id) > sent:
                    sent = max(sent, id_key(event.id or ""))
                    yield _framed(event)
                elif event.name == "snapshot":  # Redis went back, or a client was behind
                    sent = id_key(event.id)
                    yield _framed(event)
            queued = await client.waiting.get()
            waiting = [queued] if queued is not None else await self._first(client, "")

    async def _first(self, client: Client, last_id: str) -> Sequence[FeedEvent]:
        if self._closing.is_set():
            return []
        try:
            look = await self._picture.reader.look()
            self._as_of_ms = look.now_ms
            missed = await self._missed(last_id, look)
            if missed is None:
                first = await self._snapshot(client.window, look)
            else:
                brands = _brands((fields for _, fields in missed), look)
                first = await self._changed(client.window, brands, look, all_minutes=True)
                first = first._replace(id=missed[-1][0] if missed else last_id)
            return [first, await self._told()]
        except StreamWorkerError as error:
            return [self._stale or _stale(error, self._as_of_ms)]

    async def _missed(self, last_id: str, look: PageSnapshot) -> Sequence[tuple[str, dict[str, str]]] | None:
        """Notices after the id; None when they are not all there any more."""
        if id_key(last_id) == (0, 0) or id_key(last_id) > id_key(look.revision):
            return None
        oldest = await self._picture.reader.oldest_change()
        if oldest is None or id_key(oldest) > id_key(last_id):
            return None
        return await self._picture.reader.changes(last_id, wait=False)

    # ------------------------------------------------------------ the one reader

    async def run(self) -> None:
        """Read notices and hand them out until `close`; whatever happens to Redis, it goes on."""
        loop = asyncio.get_running_loop()
        told_s = -FRESH_EVERY_S
        while not self._closing.is_set():
            try:
                if self._last is None:
                    self._last = (await self._picture.reader.look()).revision
                notices = await self._picture.reader.changes(self._last, wait=True)
                if self._stale is not None:
                    await self._back()
                sent_bytes = await self._hand_out(notices) if notices else 0
                if not notices and loop.time() - told_s >= FRESH_EVERY_S:
                    await self._say_fresh()
                    told_s = loop.time()
                gather_s = min(GATHER_MAX_S, max(GATHER_S, sent_bytes / BYTES_A_SECOND))
            except StreamWorkerError as error:
                self._trouble(error)
                gather_s = AGAIN_S
            await self._pause(gather_s)

    async def _hand_out(self, notices: Sequence[tuple[str, dict[str, str]]]) -> int:
        """Send what changed; returns the bytes of the largest event."""
        self._last = notices[-1][0]
        if not self._clients:
            return 0
        look = await self._picture.reader.look()
        self._as_of_ms = look.now_ms
        brands = _brands([fields for _, fields in notices], look)
        largest = 0
        for window in {client.window for client in self._clients}:
            event = await self._changed(window, brands, look)
            largest = max(largest, len(event.body))
            self._publish(event._replace(id=self._last), window)
        await self._say_alerts()
        return largest

    async def _say_fresh(self) -> None:
        """Say how fresh the numbers are, although nothing changed; and see whether Redis went back."""
        look = await self._picture.reader.look()
        self._as_of_ms = look.now_ms
        if id_key(look.revision) < id_key(self._last or ""):
            self._last = look.revision
            self._publish(None)
            return
        if not self._clients:
            return
        fresh = parts(await self._picture.fresh.freshness(look))
        self._publish(FeedEvent("freshness", _json(fresh)))
        await self._say_alerts()

    async def _say_alerts(self) -> None:
        event = await self._told()
        if event.body != self._alerts:
            self._alerts = event.body
            self._publish(event)

    async def _back(self) -> None:
        self._stale = None
        log.info("redis found")
        look = await self._picture.reader.look()
        self._last = look.revision
        self._publish(None)

    def _trouble(self, error: StreamWorkerError) -> None:
        if self._stale is None:
            log.warning("redis lost", error=str(error))
        self._stale = _stale(error, self._as_of_ms)
        self._publish(self._stale)

    def _publish(self, event: FeedEvent | None, window: Window | None = None) -> None:
        for client in self._clients:
            if window is None or client.window == window:
                client.put(event)

    async def _pause(self, pause_s: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), pause_s)
        except TimeoutError:
            return

    # ------------------------------------------------------------ events

    async def _snapshot(self, window: Window, look: PageSnapshot) -> FeedEvent:
        return FeedEvent("snapshot", _json(parts(await self._picture.brands(window))), look.revision)

    async def _changed(
        self, window: Window, brands: Sequence[str], look: PageSnapshot, *, all_minutes: bool = False
    ) -> FeedEvent:
        minutes = {} if all_minutes else {"strip_minutes": STRIP_MINUTES}
        rows = await self._picture.rows(brands, window, look, **minutes)
        fresh = await self._picture.fresh.freshness(look)
        body = {"window": window, "freshness": parts(fresh), "brands": [parts(row) for row in rows]}
        return FeedEvent("changed", _json(body), look.revision)

    async def _told(self) -> FeedEvent:
        """Alerts without what changes each second, so that only news are sent."""
        alerts: Alerts = await self._picture.alerts()
        kept = [parts(of) | {"as_of": None, "revision": None} for of in alerts.alerts[:50]]
        return FeedEvent("alerts", _json({"open": alerts.open, "alerts": kept}))


def _brands(notices: Iterable[dict[str, str]], look: PageSnapshot) -> list[str]:
    """Brands that notices name; all for `*`."""
    named: set[str] = set()
    for fields in notices:
        if fields.get("brands") == "*":
            return look.brands
        try:
            named.update(json.loads(fields.get("brands", "[]")))
        except ValueError:
            return look.brands
    return sorted(named & set(look.brands))


def _stale(error: StreamWorkerError, as_of_ms: int | None) -> FeedEvent:
    why = "redis" if isinstance(error, Unavailable) else "unreadable"
    as_of = None if as_of_ms is None else instant(as_of_ms)
    return FeedEvent("stale", _json({"why": why, "detail": str(error), "as_of": as_of}))


def _framed(event: FeedEvent) -> ServerSentEvent:
    return ServerSentEvent(event=event.name, raw_data=event.body, id=event.id, retry=RETRY_MS)


def _json(value: Any) -> str:
    return raw(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).decode("utf-8", "replace")
