"""Which column of a file has which role.

Rules:
1. A column named on the command line must be there; otherwise it is found by its usual names.
2. A missing column that a mention needs is an error, which lists the file's columns.
"""

import difflib
from collections.abc import Mapping

from producers.errors import Unusable

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "mention_id", "post_id", "tweet_id", "status_id", "message_id", "uuid"),
    "brand": ("brand", "company", "entity", "product"),
    "network": ("network", "source", "platform", "channel"),
    "text": ("text", "full_text", "body", "content", "message", "tweet"),
    "time": (
        "event_time",
        "created_at",
        "timestamp",
        "posted_at",
        "published_at",
        "datetime",
        "time",
        "date",
    ),
    "author": ("author", "user", "username", "user_name", "screen_name", "author_id"),
    "url": ("url", "link", "permalink"),
    "lang": ("lang", "language"),
    "reach": ("reach", "followers", "followers_count", "author_followers"),
    "reply_to": ("reply_to", "in_reply_to", "in_reply_to_status_id", "in_response_to_tweet_id"),
}
REQUIRED = ("id", "brand", "network", "text", "time")
_MEND = {
    "id": "name it with --id COL, or number the rows with --id-rows",
    "brand": "name it with --brand COL, or give one for all with --brand-value NAME",
    "network": "name it with --network COL, or give one for all with --network-value NAME",
    "text": "name it with --text COL",
    "time": "name it with --time COL",
}


def find_columns(
    file: str, columns: list[str], named: Mapping[str, str], without: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Return role → column of `file`; roles in `without` need none. Raises `Unusable`, see the rules."""
    plain = {_plain(column): column for column in reversed(columns)}
    found = {}
    for role, usual in USUAL_NAMES.items():
        if role in without:
            continue
        if role in named:
            found[role] = _named(file, columns, role, named[role])
            continue
        column = next((plain[name] for name in usual if name in plain), None)
        if column is not None:
            found[role] = column
        elif role in REQUIRED:
            raise Unusable(
                f"{file}: no column looks like the {role}; {_MEND[role]} (columns: {', '.join(columns)})"
            )
    return found


def _named(file: str, columns: list[str], role: str, requested: str) -> str:
    if requested in columns:
        return requested
    near = difflib.get_close_matches(requested, columns, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise Unusable(f"{file}: no column {requested!r} for the {role}{hint} (columns: {', '.join(columns)})")


def _plain(column: str) -> str:
    return column.strip().lower().replace(" ", "_").replace("-", "_")
