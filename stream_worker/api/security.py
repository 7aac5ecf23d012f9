"""Around every answer: the host names that are allowed, the headers of security, no silent bug.

Rules:
1. On loopback only requests to names of this machine, or to those in the settings, are answered: else any
   page on the web could reach the API by a name of its own that it points here (DNS rebinding).
2. The path is matched as it was sent: `%2F` in a brand is no slash. Handlers decode their parts.
3. No script, style or font from elsewhere, none inline; no other page may frame this one.
"""

import ipaddress
import time
import traceback
from collections.abc import Callable
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stream_worker.api.problems import problem

log = structlog.get_logger()

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

Observe = Callable[[int, float], None]
"""Called with the status and the seconds of every answer."""


class Guard:
    """ASGI middleware. `hosts` are the names that requests may be sent to; None: any."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, observe: Observe) -> None:
        self._app, self._hosts, self._observe = app, hosts, observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s, status = time.monotonic(), 0

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                self._observe(status, time.monotonic() - begun_s)
            await send(message)

        if self._hosts is not None and _host(scope) not in self._hosts:
            refusal = problem(421, "ask by localhost, or set api.hosts to the name you use")
            await refusal(scope, receive, send_guarded)
            return
        if sent := scope.get("raw_path"):
            scope = {**scope, "path": sent.partition(b"?")[0].decode("ascii", "replace")}
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001  the last resort: a line without anything that people wrote
            at = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{at.filename.rpartition('/')[2]}:{at.lineno}"
            log.error("request failed", error=type(error).__name__, where=where)  # noqa: TRY400
            if status == 0:
                await problem(500, "an unexpected error; the log says where")(scope, receive, send_guarded)


def names_for(host: str, hosts: str) -> frozenset[str] | None:
    """Return the names that requests to a server at `host` may have; `hosts` are those of the settings."""
    named = frozenset(name.strip().lower() for name in hosts.split(",") if name.strip())
    if named or is_loopback(host):
        return named | _LOOPBACK_NAMES
    return None


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _host(scope: Scope) -> str:
    """Return the name that the request was sent to, without its port."""
    for name, value in scope["headers"]:
        if name == b"host":
            host: str = value.decode("latin-1").lower()
            return f"{host.partition(']')[0]}]" if host.startswith("[") else host.partition(":")[0]
    return ""
