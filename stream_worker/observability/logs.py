"""Logs: one event a line on stderr, JSON for machines and colours for a terminal.

Rules:
1. An event is a fixed name, noun and verb in the past ("partition assigned"), with facts as keys.
2. Normal operation is quiet: no line per mention, none per micro-batch above debug.
3. No text, author or secret: a processor hides what such a key holds and passwords in addresses.
4. The same trouble is said once, then at most every half minute with how often it was kept quiet.
"""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog

from stream_worker.redaction import masked

REPEAT_S: Final = 30.0
_KEYS_MAX = 1_000
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

Format = Literal["auto", "json", "console"]
Level = Literal["debug", "info", "warning", "error"]


def configure(log_format: Format, level: Level, stream: TextIO | None = None) -> None:
    """Send the events of structlog and of the standard library to `stream`, standard error by default."""
    stream = stream or sys.stderr
    for_people = log_format == "console" or (log_format == "auto" and stream.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_what_is_private,
    ]
    renderer = _for_people(stream) if for_people else structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    # Libraries speak through the standard library; from them only what is a warning at least.
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[_plain, renderer])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def hide_what_is_private(
    logger: object,  # noqa: ARG001  the signature is the library's
    method: str,  # noqa: ARG001
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Hide what is a secret or what somebody wrote, by the name of its key."""
    return masked(dict(event))  # type: ignore[no-any-return]


class Repeats:
    """Keeps quiet about trouble that was just told."""

    def __init__(self, every_s: float = REPEAT_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._now_s = every_s, now_s
        self._told: dict[str, tuple[float, int]] = {}

    def kept_quiet(self, key: str) -> int | None:
        """Return None if it was just told; else tell it now, with how often it was kept quiet since."""
        now_s = self._now_s()
        told = self._told.get(key)
        if told is not None and now_s - told[0] < self._every_s:
            self._told[key] = (told[0], told[1] + 1)
            return None
        if len(self._told) >= _KEYS_MAX:
            self._told.clear()
        self._told[key] = (now_s, 0)
        return told[1] if told is not None else 0

    def over(self, key: str) -> None:
        """The trouble is over: the next time is news again."""
        self._told.pop(key, None)


def _for_people(stream: TextIO) -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _plain(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in ("_record", "_from_structlog"):
        event.pop(name, None)
    return event
