"""The Lua scripts and how they are called: by digest, in one round trip, loaded again when the server forgot.

Rules:
1. Each script is the first line of `prelude.lua` (the notifier's: `notifier_prelude.lua`), which sets the
   clock; the names and numbers of `keys.py`; the rest of the prelude; its own file. Tests replace the first
   line and nothing else. A script that only reads goes without the rest of the prelude.
2. A script may be sent twice and its answer may be lost: each is a compare-and-set, or overwrites
   (docs/design.md#r1).
"""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

import redis

from stream_worker.adapters.redis.keys import as_lua

NAMES: Final = (
    "create_cursor",
    "advance_cursor",
    "apply",
    "seal",
    "find_sealed",
    "close",
    "read_head",
    "read_windows",
    "lease",
    "publish_change",
    "snapshot",
)
OUTBOX_NAMES: Final = ("read_outbox", "freeze_message", "remove_outbox_entry", "publish_alert", "lease")
READ_ONLY: Final = ("snapshot",)
"""The rest of the prelude would note that a script ran, as if the group were there."""


class Scripts:
    """The scripts of one prefix, ready to call."""

    def __init__(
        self,
        client: Any,
        keys: Sequence[str],
        clock: str | None = None,
        *,
        names: Sequence[str] = NAMES,
        prelude_name: str = "prelude",
    ) -> None:
        folder = resources.files("stream_worker.adapters.redis") / "lua"
        own_clock, rest = folder.joinpath(f"{prelude_name}.lua").read_text("utf-8").split("\n", 1)
        head = f"{clock or own_clock}\n{as_lua()}"
        self._client = client
        self._keys = keys
        self._sources = {
            name: head
            + ("" if name in READ_ONLY else rest)
            + folder.joinpath(f"{name}.lua").read_text("utf-8")
            for name in names
        }
        self._digests = {
            name: hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
            for name, source in self._sources.items()
        }

    def call(self, name: str, *args: str | int | bytes) -> Any:
        """Call one script and return its reply."""
        return self.call_many(name, [args])[0]

    def call_many(self, name: str, calls: Sequence[Sequence[str | int | bytes]]) -> list[Any]:
        """Call a script once for each of `calls`, in order, in one round trip; return the replies.

        Raises the first error; the calls after it were made nevertheless.
        """
        replies = self._send(name, calls)
        missing = next((i for i, reply in enumerate(replies) if _is_noscript(reply)), None)
        if missing is not None:
            # From the first one that was not run on: repeating those that were changes nothing.
            self._client.script_load(self._sources[name])
            replies[missing:] = self._send(name, calls[missing:])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def call_with(
        self, name: str, args: Sequence[str | int | bytes], reads: Sequence[Sequence[Any]]
    ) -> list[Any]:
        """Call a script and then plain commands in one transaction; return the replies, the script's first.

        Nothing is written in between by anybody. A script the server forgot is loaded, and all is sent again.
        """
        for _ in range(2):
            pipe = self._client.pipeline(transaction=True)
            pipe.evalsha(self._digests[name], len(self._keys), *self._keys, *args)
            for command in reads:
                pipe.execute_command(*command)
            replies: list[Any] = pipe.execute(raise_on_error=False)
            if not _is_noscript(replies[0]):
                break
            self._client.script_load(self._sources[name])
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def _send(self, name: str, calls: Sequence[Sequence[str | int | bytes]]) -> list[Any]:
        pipe = self._client.pipeline(transaction=False)
        for args in calls:
            pipe.evalsha(self._digests[name], len(self._keys), *self._keys, *args)
        replies: list[Any] = pipe.execute(raise_on_error=False)
        return replies


def _is_noscript(reply: object) -> bool:
    return isinstance(reply, redis.exceptions.NoScriptError)
