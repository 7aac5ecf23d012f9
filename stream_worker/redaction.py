"""Hides secrets and texts of people, in logs and in `config show`."""

import re
from collections.abc import Mapping
from typing import Final

HIDDEN: Final = "[hidden]"

_SENSITIVE: Final = frozenset(
    {
        "apikey",
        "author",
        "authorization",
        "authors",
        "body",
        "cookie",
        "credential",
        "credentials",
        "jaas",
        "password",
        "passwords",
        "secret",
        "secrets",
        "text",
        "texts",
        "token",
        "tokens",
        "value",
        "values",
    }
)
_SENSITIVE_PAIRS: Final = ("api_key", "access_key", "private_key", "key_pem")
_DEPTH_MAX = 6
_USERINFO: Final = re.compile(r"(?<=://)[^/@\s]*@")


def is_sensitive(key: str) -> bool:
    """Tell whether a value under this name is a secret, or a text that somebody wrote."""
    words = re.split(r"[^a-z0-9]+", key.lower())
    return not _SENSITIVE.isdisjoint(words) or any(pair in "_".join(words) for pair in _SENSITIVE_PAIRS)


def without_userinfo(text: str) -> str:
    """Return a text with user and password taken out of every address in it."""
    return _USERINFO.sub("***@", text)


def masked_items(items: Mapping[str, object], depth: int = 0) -> dict[str, object]:
    """Return the items with everything under a sensitive name hidden, to any level of dicts and lists."""
    return {
        key: HIDDEN if is_sensitive(str(key)) else masked(value, depth + 1) for key, value in items.items()
    }


def masked(value: object, depth: int = 0) -> object:
    """Return a value with everything under a sensitive name hidden, to any level of dicts and lists."""
    if isinstance(value, str):
        return without_userinfo(value)
    if depth > _DEPTH_MAX:
        return HIDDEN
    if isinstance(value, dict):
        return masked_items(value, depth)
    if isinstance(value, list | tuple):
        return [masked(inner, depth + 1) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return HIDDEN  # a record's value, most likely
    return value
