"""Probes and metrics of the API, at its own port: `/livez`, `/readyz`, `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream_worker.api.queries import Queries


def probes(queries: Queries, registry: CollectorRegistry) -> APIRouter:
    """Build the addresses that tell whether the process lives and whether Redis answers, and its metrics."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def ready() -> dict[str, str]:
        await queries.reader.snapshot()  # Redis away: a problem, 503
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return router
