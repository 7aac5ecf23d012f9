"""The connection to Redis, and what its errors mean to a caller.

Rules:
1. The client never retries by itself: its default would repeat a script up to ten times in silence.
   Only the caller repeats.
2. A lost connection, a time-out and a server that cannot write now are `Unavailable`: ask the same again.
3. Text is UTF-8; a lone surrogate passes, so that no brand can break a call. What holds a brand is sent as
   bytes: hiredis, which the client uses where it is installed, ignores `encoding_errors`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream_worker.errors import Misconfigured, StreamWorkerError, Unavailable, Unreadable

HEALTH_CHECK_S: Final = 30
"""An idle connection is tried with a PING before it is used again after this long."""

_REFUSED: Final = ("NOAUTH", "WRONGPASS", "NOPERM")
_BROKEN: Final = ("WRONGTYPE", "SWBROKEN", "ERR")


def connect(url: str, socket_timeout_s: float) -> Any:
    """Make a `redis.Redis` that answers with str, which its types cannot say; nothing is sent yet.

    Raises Misconfigured when the address cannot be read.
    """
    try:
        return redis.Redis.from_url(
            url,
            protocol=2,
            decode_responses=True,
            encoding="utf-8",
            encoding_errors="surrogatepass",
            socket_timeout=socket_timeout_s,
            socket_connect_timeout=socket_timeout_s,
            socket_keepalive=True,
            health_check_interval=HEALTH_CHECK_S,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,  # no CLIENT SETINFO: a right more, and unknown before 7.2
        )
    except ValueError as error:
        raise Misconfigured(f"redis.url cannot be read: {error}") from None


def address_of(url: str) -> str:
    """Return the address without user and password, for people."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def translated(address: str) -> Iterator[None]:
    """Turn any error of the client into one of ours, with the address and the setting to look at."""
    try:
        yield
    except redis.RedisError as error:
        raise our_error(error, address) from error


def our_error(error: redis.RedisError, address: str) -> StreamWorkerError:
    """Say what an error of the client means: try again, mend the settings, or stop."""
    where = f"Redis at {address} (setting redis.url)"
    message = re.sub(r" script: [0-9a-f]{40}.*", "", str(error))
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        return Misconfigured(f"{where} refused us: {message}; see docs/redis.md for the rights a user needs")
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return Unavailable(f"{where} did not answer: {message}")
    # The client takes the first word off the message of errors that have a class of their own.
    code = message.split(" ", 1)[0]
    if code == "SWFORMAT":
        return Misconfigured(f"{where}: {message}; use another redis.prefix or the version that wrote it")
    if code in _REFUSED:
        return Misconfigured(f"{where} refused us: {message}; see docs/redis.md for the rights a user needs")
    if isinstance(error, redis.ResponseError) and code in _BROKEN:
        return Unreadable(f"{where} holds what is not ours: {message}; see docs/redis.md")
    return Unavailable(f"{where} cannot do it now: {message}")


def is_wrong_type(reply: object) -> bool:
    """Whether a reply says that a key is of another type."""
    # Some versions of the client take the first word off the message.
    return isinstance(reply, redis.ResponseError) and "wrong kind of value" in str(reply)


def describe(info: dict[str, Any], address: str) -> str:
    """Say which server it is, and what of its settings can lose counts; `info` is the answer of INFO."""
    name = str(info.get("server_name", "redis"))
    version = info.get(f"{name}_version", info.get("redis_version", "of unknown version"))
    message = f"{name} {version} at {address}"
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction" and int(info.get("maxmemory", 0)) > 0:
        message += f"; it may evict counts: maxmemory-policy is {policy}, set noeviction"
    if not info.get("aof_enabled", 1):
        message += "; without appendonly a restart goes back to the last snapshot"
    return message
