"""Redis as the demo reads it: a client that decodes every reply to text."""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, cast

from stream_worker.adapters.redis import connection

TIMEOUT_S: Final = 5.0


class TextPipeline(Protocol):
    """Commands that are sent together."""

    def hgetall(self, name: str) -> object:
        """Queue HGETALL."""

    def execute(self) -> list[dict[str, str]]:
        """Send all; return their replies in order."""


class TextRedis(Protocol):
    """The commands that the demo uses. All raise redis.RedisError when there is no answer."""

    def hget(self, name: str, key: str) -> str | None:
        """Return one field of a hash."""

    def hmget(self, name: str, keys: Sequence[str]) -> list[str | None]:
        """Return some fields of a hash."""

    def hgetall(self, name: str) -> dict[str, str]:
        """Return a hash."""

    def hkeys(self, name: str) -> list[str]:
        """Return the fields of a hash."""

    def hvals(self, name: str) -> list[str]:
        """Return the values of a hash."""

    def scan_iter(self, match: str) -> Iterator[str]:
        """Yield the keys that match a pattern."""

    def xrange(self, name: str) -> list[tuple[str, dict[str, str]]]:
        """Return the entries of a stream."""

    def pipeline(self, *, transaction: bool) -> TextPipeline:
        """Begin to queue commands."""


def connect(url: str) -> TextRedis:
    """Return a client; it connects with its first command."""
    # The library's own types leave open whether a client decodes.
    return cast("TextRedis", connection.connect(url, TIMEOUT_S))
