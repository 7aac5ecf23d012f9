"""The application: every address, its parameters and its handler."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final, TypeVar
from urllib.parse import unquote

import structlog
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from prometheus_client import CollectorRegistry

from stream_worker.api import problems
from stream_worker.api.alerts import find_alert
from stream_worker.api.explain import Explain, explanations
from stream_worker.api.live_feed import Client, Feed
from stream_worker.api.probes import probes
from stream_worker.api.problems import Refused, described
from stream_worker.api.queries import ROWS_MAX, Queries
from stream_worker.api.schemas import Alert, Alerts, BrandDetail, Brands, Minutes, Pipeline, Window
from stream_worker.api.static_files import file_answer, read_files
from stream_worker.errors import StreamWorkerError

SPAN_MAX_MINUTES: Final = 48 * 60
REFRESH_EVERY_S: Final = 5.0
BUSY_S: Final = 5
_SPAN: Final = r"^[1-9][0-9]{0,3}[mh]$"
_PAGES: Final = (
    *("/", "/brands", "/brands/", "/brands/{brand}"),
    *("/alerts", "/alerts/", "/alerts/{alert}", "/pipeline", "/pipeline/"),
)

log = structlog.get_logger()
T = TypeVar("T")

WindowOf = Annotated[Window, Query(alias="window", description="How many minutes the numbers cover.")]
BrandName = Annotated[str, Path(description="The brand, percent-encoded; a slash as %2F.")]


def create_app(queries: Queries, feed: Feed, registry: CollectorRegistry, explain: Explain) -> FastAPI:
    """Build the application. Its lifespan runs the feed and the typical ranges, and ends with them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(feed.run()), asyncio.create_task(_refresh_typical_ranges(queries))]
        yield
        feed.close()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await queries.reader.close()

    app = FastAPI(
        title="stream_worker",
        version="1",
        summary="What the public says about your brands, within a minute.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.openapi = _without_422(app)  # type: ignore[method-assign]
    problems.install(app)
    app.include_router(_answers(queries))
    app.include_router(explanations(explain))
    app.include_router(_live(feed))
    app.include_router(probes(queries, registry))
    app.include_router(_page())
    return app


def _answers(queries: Queries) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=described(400, 503))

    @router.get("/brands")
    async def brands(
        window: WindowOf = "15m",
        find: Annotated[str, Query(max_length=200, description="Only names that have this in them.")] = "",
        limit: Annotated[int, Query(ge=1, le=ROWS_MAX)] = ROWS_MAX,
    ) -> Brands:
        """All brands over one window, the most unusual first."""
        return await queries.brands(window, find=find, limit=limit)

    @router.get("/brands/{brand}", responses=described(404))
    async def brand(brand: BrandName, window: WindowOf = "15m") -> BrandDetail:
        """One brand over one window, with its networks."""
        return _found(await queries.brand(name := _decoded(brand), window), f"brand {name!r}")

    @router.get("/brands/{brand}/minutes", responses=described(404))
    async def minutes(
        brand: BrandName,
        span: Annotated[str, Query(pattern=_SPAN, description="Such as 90m or 2h; 48h at most.")] = "2h",
    ) -> Minutes:
        """One brand minute by minute."""
        count = int(span[:-1]) * (60 if span.endswith("h") else 1)
        if count > SPAN_MAX_MINUTES:
            raise Refused(400, "span: minutes are kept for 48 hours; ask for 48h or less")
        return _found(await queries.minutes(name := _decoded(brand), span, count), f"brand {name!r}")

    @router.get("/alerts")
    async def alerts() -> Alerts:
        """All alerts that are remembered, the open ones first."""
        return await queries.alerts()

    @router.get("/alerts/{alert}", responses=described(404))
    async def alert(alert: Annotated[str, Path(description="Id of an episode or a message.")]) -> Alert:
        """One alert, by the id of its episode or of a message."""
        name = _decoded(alert)
        return _found(find_alert((await queries.alerts()).alerts, name), f"alert {name!r}")

    @router.get("/pipeline")
    async def pipeline() -> Pipeline:
        """How far each partition is, and whether the numbers can be trusted."""
        return await queries.freshness_reader.pipeline(await queries.reader.snapshot())

    return router


def _live(feed: Feed) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=described(400, 503))

    async def connect(window: WindowOf = "15m") -> AsyncIterator[Client]:
        client = feed.join(window)
        if client is None:
            raise Refused(503, "all places are taken (setting api.clients_max)", retry_after_s=BUSY_S)
        try:
            yield client
        finally:
            feed.leave(client)

    @router.get("/live", response_class=EventSourceResponse)
    async def live(
        client: Annotated[Client, Depends(connect)],
        last_event_id: Annotated[str, Header(max_length=64)] = "",
        after: Annotated[str, Query(max_length=64, description="The same, for who cannot set headers.")] = "",
    ) -> AsyncIterator[ServerSentEvent]:
        """Server-sent events: `snapshot`, then `changed`, `freshness`, `alerts` and `stale`."""
        async for event in feed.events(client, last_event_id or after):
            yield event

    return router


def _page() -> APIRouter:
    router, files = APIRouter(include_in_schema=False), read_files()

    async def page(request: Request) -> Response:
        return file_answer(request, files["index.html"])

    for address in _PAGES:
        router.add_api_route(address, page, methods=["GET", "HEAD"], response_class=Response)

    @router.api_route("/page/{name:path}", methods=["GET", "HEAD"], response_class=Response)
    async def part(request: Request, name: str) -> Response:
        if name not in files:
            raise Refused(404, "the page has no such file")
        return file_answer(request, files[name])

    return router


async def _refresh_typical_ranges(queries: Queries) -> None:
    """Compute the typical ranges whenever a minute was closed; while Redis is away, later."""
    while True:
        try:
            await queries.typical_ranges.refresh(await queries.reader.snapshot())
        except StreamWorkerError as error:
            log.debug("usual postponed", error=str(error))
        await asyncio.sleep(REFRESH_EVERY_S)


def _decoded(part: str) -> str:
    """Decode a part of the path as it was sent."""
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise Refused(400, "the address is not UTF-8") from None


def _found(answer: T | None, name: str) -> T:
    if answer is None:
        raise Refused(404, f"there is no {re.sub('[^ -~]', '?', name)[:120]}")
    return answer


def _without_422(app: FastAPI) -> Callable[[], dict[str, object]]:
    """Describe the application without the library's own answer to invalid requests: ours is 400."""
    describe = app.openapi

    def described() -> dict[str, object]:
        document = describe()
        for item in document["paths"].values():
            for operation in item.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        return document

    return described
