"""Errors as problem+json (RFC 9457): what, where, and whether to come again."""

import json
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from stream_worker.api.schemas import Problem
from stream_worker.errors import StreamWorkerError, Unavailable

RETRY_AFTER_S: Final = 2
MEDIA_TYPE: Final = "application/problem+json"
TITLES: Final = {
    400: "The question is not one that can be asked",
    404: "There is no such thing",
    405: "This method is not known here",
    413: "The question is too long",
    421: "This server is not asked by that name",
    500: "Something is broken on this side",
    503: "Not now",
}


class Refused(Exception):
    """A request that is refused, with its status and one line for people."""

    def __init__(self, status: int, detail: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after_s = status, detail, retry_after_s


def problem(status: int, detail: str, *, retry_after_s: int | None = None) -> Response:
    """Return the answer for a problem."""
    body = Problem(type="about:blank", title=TITLES.get(status, "Problem"), status=status, detail=detail)
    headers = {"Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(json.dumps(body.model_dump()), status, headers, MEDIA_TYPE)


def described(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Describe problems for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {status: {"description": TITLES[status], "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Let every error of the application leave as a problem."""

    @app.exception_handler(Refused)
    async def _refused(_: Request, error: Refused) -> Response:
        return problem(error.status, error.detail, retry_after_s=error.retry_after_s)

    @app.exception_handler(StreamWorkerError)
    async def _ours(_: Request, error: StreamWorkerError) -> Response:
        if isinstance(error, Unavailable):
            return problem(503, str(error), retry_after_s=RETRY_AFTER_S)
        return problem(500, str(error))

    @app.exception_handler(HTTPException)
    async def _plain(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404:
            return problem(404, "nothing answers at this address; /api/v1/openapi.json lists what does")
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            answer = problem(405, f"{request.method} is not answered here; GET is")
            answer.headers["Allow"] = "GET, HEAD, POST" if "POST" in allowed else "GET, HEAD"
            return answer
        return problem(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> Response:
        return problem(400, "; ".join(_in_words(one) for one in error.errors()))

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> Response:  # noqa: ARG001  security.py logs it
        return problem(500, "an unexpected error; the log says where")


def _in_words(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"][1:])
    return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}"
