"""Logs: one event a line on stderr, JSON for machines and colours for a terminal.

Rules:
1. An event is a fixed name, noun and verb in the past ("partition assigned"), with facts as keys.
2. Normal operation is quiet: no line per mention, none per micro-batch above debug.
3. No text, author or secret: a processor hides the values of such keys, and passwords in addresses.
4. The same trouble is logged once, then at most every half minute with how often it was suppressed.
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final, Literal, TextIO

import structlog

from stream_worker.redaction import masked_items

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
        hide_private_values,
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


def hide_private_values(
    logger: object,  # noqa: ARG001  the signature is the library's
    method: str,  # noqa: ARG001
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    """Hide secrets and what people wrote, by the name of the key."""
    return masked_items(event)


class Repeats:
    """Suppresses trouble that was just logged."""

    def __init__(self, every_s: float = REPEAT_S, now_s: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._now_s = every_s, now_s
        self._logged: dict[str, tuple[float, int]] = {}  # when, and how often it was suppressed since

    def kept_quiet(self, key: str) -> int | None:
        """Return None if the trouble was just logged; else log it now, with how often it was suppressed."""
        now_s = self._now_s()
        logged_s, suppressed = self._logged.get(key, (None, 0))
        if logged_s is not None and now_s - logged_s < self._every_s:
            self._logged[key] = (logged_s, suppressed + 1)
            return None
        if len(self._logged) >= _KEYS_MAX:
            self._logged.clear()
        self._logged[key] = (now_s, 0)
        return suppressed

    def over(self, key: str) -> None:
        """The trouble is over: log it at once when it comes again."""
        self._logged.pop(key, None)


def _for_people(stream: TextIO) -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _plain(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for name in ("_record", "_from_structlog"):
        event.pop(name, None)
    return event
