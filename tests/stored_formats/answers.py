"""Every answer of the REST API and the first event of the live feed, read from a Redis at a fixed time."""

import asyncio
import json
from urllib.parse import quote

import httpx2

from models.explain import Explanation, Word
from stream_worker.api.app import create_app
from stream_worker.api.live_feed import Feed
from stream_worker.api.queries import Queries
from stream_worker.api.redis_reader import RedisReader
from stream_worker.api.security import Guard, names_for
from stream_worker.core.sentiment.correction import ConfusionMatrix
from stream_worker.core.sentiment.estimate import MeasuredModel
from stream_worker.observability.metrics import Metrics
from tests.stored_formats import script
from tests.stored_formats.scenario import ANOTHER_MODEL, LIMITS

KNOWN = MeasuredModel(
    ANOTHER_MODEL.partition("-")[0],
    ConfusionMatrix([[80, 10, 2, 8, 0], [9, 75, 9, 7, 0], [3, 8, 82, 7, 0]]),
)
"""A model whose errors are known, so that intervals hold them; the minutes of the first model have others."""
EXPLANATION = Explanation(
    label="negative",
    why=None,
    probability={"negative": 0.75, "neutral": 0.125, "positive": 0.125},
    sentiment=-0.625,
    explained="negative",
    log_odds=1.0,
    rest=0.25,
    words=[Word("bad", 0, 3, 0.75)],
    model=ANOTHER_MODEL,
)


class ReaderAt(RedisReader):
    """The shipped reader, for which time stands still: what Redis says of it is replaced."""

    now_ms = 0

    async def snapshot(self):
        """Read what all answers begin with, as of the fixed time."""
        return (await super().snapshot())._replace(now_ms=self.now_ms)


def ask_api(redis, questions, now_ms):
    """Ask the API; returns the answers by question, the first events of the feed, the OpenAPI document."""
    return asyncio.run(_ask(redis, questions, now_ms))


def questions():
    """All addresses that answer a GET, with what may be asked."""
    episode = "fc1419d03e405552-20251122T2245"
    return [
        "/api/v1/brands",
        *(f"/api/v1/brands?find=A&limit=1&window={window}" for window in ("1m", "5m", "15m", "1h", "24h")),
        *(f"/api/v1/brands/{quote(brand, safe='')}" for brand in (*script.BRANDS, script.RARE_BRAND)),
        f"/api/v1/brands/{quote(script.CRISIS_BRAND, safe='')}?window=24h",
        f"/api/v1/brands/{quote(script.CRISIS_BRAND, safe='')}/minutes?span=30m",
        "/api/v1/brands/acme/minutes?span=1h",
        "/api/v1/alerts",
        f"/api/v1/alerts/{episode}",
        f"/api/v1/alerts/{episode}.resolved",
        "/api/v1/pipeline",
        "/api/v1/explain?text=bad",
        # … and what is refused
        "/api/v1/brands?window=2m",
        "/api/v1/brands/nobody",
        "/api/v1/brands/acme/minutes?span=49h",
        "/api/v1/alerts/none",
        "/api/v1/explain",
    ]


async def _ask(redis, questions, now_ms):
    reader = ReaderAt(
        redis.url, "redis", prefix=redis.prefix, lateness_ms=LIMITS.lateness_ms, socket_timeout_s=5.0
    )
    reader.now_ms = now_ms
    queries = Queries(reader, LIMITS.lateness_ms, KNOWN)
    feed = Feed(queries, 2)
    app = create_app(queries, feed, Metrics().registry, lambda _text: EXPLANATION)
    guard = Guard(app, names_for("localhost", ""), lambda _status, _seconds: None)
    await queries.typical_ranges.refresh(await reader.snapshot())  # else a task does it later
    transport = httpx2.ASGITransport(app=guard)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answers = {question: _plain(await client.get(question)) for question in questions}
        document = (await client.get("/api/v1/openapi.json")).json()
    events = feed.events(feed.join("15m"), "")
    first = [_event(await anext(events)), _event(await anext(events))]
    await events.aclose()
    await reader.close()
    return answers, first, document


def _plain(answer):
    kept = ("content-type", "cache-control", "retry-after")
    headers = {name: answer.headers[name] for name in kept if name in answer.headers}
    return {"status": answer.status_code, "headers": headers, "body": answer.json()}


def _event(event):
    return {"event": event.event, "id": event.id, "data": json.loads(event.raw_data)}
