"""Probes and metrics of the API, at its own port: `/livez`, `/readyz`, `/metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream_worker.api.queries import Queries


def probes(picture: Queries, registry: CollectorRegistry) -> APIRouter:
    """Answer whether the process lives, whether Redis answers it, and its metrics."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def live() -> dict[str, str]:
        return {"status": "alive"}

    @router.get("/readyz")
    async def ready() -> dict[str, str]:
        await picture.reader.look()  # away: a problem, 503
        return {"status": "ready"}

    @router.get("/metrics", response_class=Response)
    async def metrics(request: Request) -> Response:
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": media_type, "Cache-Control": "no-store"})

    return router
