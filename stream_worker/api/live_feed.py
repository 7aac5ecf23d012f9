"""The live feed: one reader of `{sw}:changes`, many clients, each behind a bounded queue.

Rules:
1. A client gets a snapshot, then changes. Numbers are absolute, so that a change twice does no harm.
2. The id of an event is that of the newest notice in it. With the last one a client resumes; an id that is
   trimmed or newer than the stream, or no id at all, gets a snapshot.
3. A client that does not keep up loses its queue and gets a snapshot: nobody waits for it.
4. While Redis is away clients are told so (`stale`); when it is back each gets a snapshot.
5. Notices are gathered for `GATHER_S`, longer while much changes, so that a client gets `BYTES_A_SECOND`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final, NamedTuple

import structlog
from fastapi.sse import ServerSentEvent
from pydantic import BaseModel

from stream_worker.api.brand_rows import STRIP_MINUTES
from stream_worker.api.queries import Queries
from stream_worker.api.redis_reader import ChangeNotice
from stream_worker.api.schemas import Window, instant
from stream_worker.api.snapshot import PageSnapshot, id_key
from stream_worker.core.aggregates.encoding import raw
from stream_worker.errors import StreamWorkerError, Unavailable

QUEUE_MAX: Final = 32
GATHER_S: Final = 0.25
GATHER_MAX_S: Final = 5.0
BYTES_A_SECOND: Final = 20_000
FRESHNESS_EVERY_S: Final = 5.0
AGAIN_S: Final = 1.0
RETRY_MS: Final = 2_000
CHANGED_MINUTES: Final = 4
"""Minutes of the strip that a change carries: those that may differ from what was sent before."""
ALERTS_MAX: Final = 50

log = structlog.get_logger()


class FeedEvent(NamedTuple):
    """One event; without an id the client resumes where it would have without the event."""

    name: str
    body: str
    id: str | None = None


class Client:
    """One client: its window, and the events that wait for it."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.waiting: asyncio.Queue[FeedEvent | None] = asyncio.Queue(QUEUE_MAX)

    def put(self, event: FeedEvent | None) -> None:
        """Queue an event; None, or a full queue, makes the client get a snapshot."""
        if event is None or self.waiting.full():
            while not self.waiting.empty():
                self.waiting.get_nowait()
            event = None
        self.waiting.put_nowait(event)


class Feed:
    """The feed of one process: `run` reads, `events` serves a client."""

    def __init__(self, queries: Queries, clients_max: int) -> None:
        self._queries, self._clients_max = queries, clients_max
        self._clients: set[Client] = set()
        self._last: str | None = None
        self._stale: FeedEvent | None = None
        self._as_of_ms: int | None = None
        self._alerts_body = ""
        self._closing = asyncio.Event()

    # ------------------------------------------------------------ clients

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._clients)

    def join(self, window: Window) -> Client | None:
        """Connect a client; None when `clients_max` are connected."""
        if len(self._clients) >= self._clients_max:
            return None
        client = Client(window)
        self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """Disconnect a client."""
        self._clients.discard(client)

    def close(self) -> None:
        """End every feed: the process is about to stop."""
        self._closing.set()
        for client in self._clients:
            client.put(None)

    async def events(self, client: Client, last_id: str) -> AsyncIterator[ServerSentEvent]:
        """Yield events, from the client's last id or from a snapshot on, until the feed closes."""
        sent = (0, 0)
        waiting = await self._opening(client, last_id)
        while not self._closing.is_set():
            for event in waiting:
                if event.id is None or id_key(event.id) > sent:
                    sent = max(sent, id_key(event.id or ""))
                    yield _framed(event)
                elif event.name == "snapshot":  # Redis went back, or a client was behind
                    sent = id_key(event.id)
                    yield _framed(event)
            queued = await client.waiting.get()
            waiting = [queued] if queued is not None else await self._opening(client, "")

    async def _opening(self, client: Client, last_id: str) -> Sequence[FeedEvent]:
        """Return the events that bring a client up to date."""
        if self._closing.is_set():
            return []
        try:
            snapshot = await self._queries.reader.snapshot()
            self._as_of_ms = snapshot.now_ms
            missed = await self._missed(last_id, snapshot)
            if missed is None:
                first = await self._snapshot(client.window, snapshot)
            else:
                newest_id = missed[-1].id if missed else last_id
                snapshot = await self._queries.reader.snapshot(newest_id)
                brands = _changed_brands(missed, snapshot)
                first = await self._changed(client.window, brands, snapshot, STRIP_MINUTES)
                first = first._replace(id=newest_id)
            return [first, await self._alerts()]
        except StreamWorkerError as error:
            return [self._stale or _stale(error, self._as_of_ms)]

    async def _missed(self, last_id: str, snapshot: PageSnapshot) -> Sequence[ChangeNotice] | None:
        """Return the notices after the id; None when Redis does not hold all of them any more."""
        if id_key(last_id) == (0, 0) or id_key(last_id) > id_key(snapshot.revision):
            return None
        oldest = await self._queries.reader.oldest_change()
        if oldest is None or id_key(oldest) > id_key(last_id):
            return None
        return await self._queries.reader.changes(last_id, wait=False)

    # ------------------------------------------------------------ the one reader

    async def run(self) -> None:
        """Read notices and send what changed, until `close`; while Redis is away, try again."""
        loop = asyncio.get_running_loop()
        freshness_sent_s = -FRESHNESS_EVERY_S
        while not self._closing.is_set():
            try:
                if self._last is None:
                    self._last = (await self._queries.reader.snapshot()).revision
                notices = await self._queries.reader.changes(self._last, wait=True)
                if self._stale is not None:
                    await self._recover()
                sent_bytes = await self._distribute(notices) if notices else 0
                if not notices and loop.time() - freshness_sent_s >= FRESHNESS_EVERY_S:
                    await self._send_freshness()
                    freshness_sent_s = loop.time()
                gather_s = min(GATHER_MAX_S, max(GATHER_S, sent_bytes / BYTES_A_SECOND))
            except StreamWorkerError as error:
                self._mark_stale(error)
                gather_s = AGAIN_S
            await self._pause(gather_s)

    async def _distribute(self, notices: Sequence[ChangeNotice]) -> int:
        """Send every client what changed; returns the size of the largest event in characters."""
        self._last = notices[-1].id
        if not self._clients:
            return 0
        snapshot = await self._queries.reader.snapshot(self._last)
        self._as_of_ms = snapshot.now_ms
        brands = _changed_brands(notices, snapshot)
        largest = 0
        for window in {client.window for client in self._clients}:
            event = await self._changed(window, brands, snapshot, CHANGED_MINUTES)
            largest = max(largest, len(event.body))
            self._publish(event._replace(id=self._last), window)
        await self._send_alerts()
        return largest

    async def _send_freshness(self) -> None:
        """Send how fresh the numbers are, although nothing changed; notice that Redis went back."""
        snapshot = await self._queries.reader.snapshot()
        self._as_of_ms = snapshot.now_ms
        if id_key(snapshot.revision) < id_key(self._last or ""):
            self._last = snapshot.revision
            self._publish(None)
            return
        if not self._clients:
            return
        freshness = await self._queries.freshness_reader.freshness(snapshot)
        self._publish(FeedEvent("freshness", _json(_plain(freshness))))
        await self._send_alerts()

    async def _send_alerts(self) -> None:
        event = await self._alerts()
        if event.body != self._alerts_body:
            self._alerts_body = event.body
            self._publish(event)

    async def _recover(self) -> None:
        self._stale = None
        log.info("redis found")
        snapshot = await self._queries.reader.snapshot()
        self._last = snapshot.revision
        self._publish(None)

    def _mark_stale(self, error: StreamWorkerError) -> None:
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

    async def _snapshot(self, window: Window, snapshot: PageSnapshot) -> FeedEvent:
        return FeedEvent("snapshot", _json(_plain(await self._queries.brands(window))), snapshot.revision)

    async def _changed(
        self, window: Window, brands: Sequence[str], snapshot: PageSnapshot, strip_minutes: int
    ) -> FeedEvent:
        rows = await self._queries.rows(brands, window, snapshot, strip_minutes=strip_minutes)
        freshness = await self._queries.freshness_reader.freshness(snapshot)
        body = {"window": window, "freshness": _plain(freshness), "brands": [_plain(row) for row in rows]}
        return FeedEvent("changed", _json(body), snapshot.revision)

    async def _alerts(self) -> FeedEvent:
        """Return the alerts without the fields that change each second, so that only news are sent."""
        alerts = await self._queries.alerts()
        lasting = [_plain(alert) | {"as_of": None, "revision": None} for alert in alerts.alerts[:ALERTS_MAX]]
        return FeedEvent("alerts", _json({"open": alerts.open, "alerts": lasting}))


def _changed_brands(notices: Iterable[ChangeNotice], snapshot: PageSnapshot) -> list[str]:
    """Return the brands that notices name; all for `*`, and for a notice that cannot be read."""
    named: set[str] = set()
    for notice in notices:
        brands = notice.fields.get("brands", "[]")
        if brands == "*":
            return snapshot.brands
        try:
            named.update(json.loads(brands))
        except ValueError:
            return snapshot.brands
    return sorted(named & set(snapshot.brands))


def _stale(error: StreamWorkerError, as_of_ms: int | None) -> FeedEvent:
    why = "redis" if isinstance(error, Unavailable) else "unreadable"
    as_of = None if as_of_ms is None else instant(as_of_ms)
    return FeedEvent("stale", _json({"why": why, "detail": str(error), "as_of": as_of}))


def _framed(event: FeedEvent) -> ServerSentEvent:
    return ServerSentEvent(event=event.name, raw_data=event.body, id=event.id, retry=RETRY_MS)


def _plain(answer: BaseModel) -> dict[str, object]:
    """Return an answer as values that JSON can hold."""
    return answer.model_dump(mode="json")


def _json(value: object) -> str:
    return raw(json.dumps(value, ensure_ascii=False, separators=(",", ":"))).decode("utf-8", "replace")
