"""Why a text has its score: one explanation at a time, beside everything else.

Rules:
1. The model works in a thread, one text after the other, so that feeds and pages go on. Few may wait.
2. A text may be sent by GET, where it ends up in logs of proxies and in the history of a browser, or by POST,
   where it does not. It is neither kept nor logged here.
3. A model that is refused is a 503. The reason is in the log only: clients need not know our files.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from models.explain import Explanation
from stream_worker.api.problems import Refused, described
from stream_worker.errors import Misconfigured
from stream_worker.inference.explainer import rounded

TEXT_CHARS_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 16_000
WAITING_MAX: Final = 8
AGAIN_S: Final = 2
REFUSED_AGAIN_S: Final = 60

log = structlog.get_logger()

Explain = Callable[[str], Explanation]
"""Explains the score of a text. Raises Misconfigured when there is no model."""


class WordWeight(BaseModel):
    """A word of the text and what it did."""

    word: str
    start: int = Field(description="Where it begins, in characters.")
    end: int
    weight: float | None = Field(description="Log odds with it, less those without it. Null if unscored.")


class Explained(BaseModel):
    """Why a text has its score. `log_odds` = sum of the weights + `rest`."""

    model_config = ConfigDict(protected_namespaces=())

    label: str
    why: str | None = Field(description="Why it is uncertain or unscored; else null.")
    probability: dict[str, float] | None = Field(description="Of the three classes; null if unscored.")
    sentiment: float
    explained: str | None = Field(description="The class that the log odds and weights are about.")
    log_odds: float | None
    rest: float | None = Field(description="What no single word accounts for.")
    words: list[WordWeight] = Field(description="In the order of the text.")
    model: str


def explanations(explain: Explain) -> APIRouter:
    """Build the addresses that explain a text."""
    router, turn, waiting = APIRouter(prefix="/api/v1", responses=described(400, 503)), asyncio.Lock(), [0]

    async def answer(text: str) -> Explained:
        text = text.encode(errors="replace").decode()  # JSON can escape halves of characters; no answer can
        if not 0 < len(text) <= TEXT_CHARS_MAX:
            raise Refused(400, f"text: 1 to {TEXT_CHARS_MAX} characters are explained")
        if waiting[0] >= WAITING_MAX:
            raise Refused(503, "others are waiting for an explanation", retry_after_s=AGAIN_S)
        waiting[0] += 1
        try:
            async with turn:
                return _explained(await asyncio.to_thread(explain, text))
        except Misconfigured as refused:
            log.warning("explanation refused", error=str(refused))
            detail = "there is no model to ask here; the log and `stream-worker model verify` say why"
            raise Refused(503, detail, retry_after_s=REFUSED_AGAIN_S) from None
        finally:
            waiting[0] -= 1

    @router.get("/explain")
    async def explain_text(
        text: Annotated[str, Query(min_length=1, max_length=TEXT_CHARS_MAX)],
    ) -> Explained:
        """What each word of a text did to its score."""
        return await answer(text)

    @router.post("/explain", openapi_extra={"requestBody": _BODY}, responses=described(413))
    async def explain_body(request: Request) -> Explained:
        """The same of `{"text": "…"}`, for a text that no log should see."""
        return await answer(await _text_of(request))

    return router


_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string", "minLength": 1, "maxLength": TEXT_CHARS_MAX}},
            }
        }
    },
}


def _explained(explanation: Explanation) -> Explained:
    found = rounded(explanation)
    return Explained(
        label=found.label,
        why=found.why,
        probability=found.probability,
        sentiment=found.sentiment,
        explained=found.explained,
        log_odds=found.log_odds,
        rest=found.rest,
        words=[
            WordWeight(word=word.word, start=word.start, end=word.end, weight=word.weight)
            for word in found.words
        ],
        model=found.model,
    )


async def _text_of(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, f"the body is longer than {BODY_BYTES_MAX} bytes")
    try:
        text = json.loads(body)["text"]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = None
    if not isinstance(text, str):
        raise Refused(400, 'the body must be JSON, {"text": "…"}')
    return text
