"""The contract with producers: what a mention is on the topic `mentions`.

Rules:
1. This type *is* the contract. The published JSON Schema (docs/schema/mention.json) is made from it by
   `schema()`, and a test fails when the two differ.
2. A mention's identity is (network, id, brand). One post about two brands is two mentions.
3. Unknown fields are allowed and kept; a known field of the wrong type makes a record rejected.
"""

import datetime as dt
from typing import Annotated, Any

import msgspec
from msgspec import Meta

ID_CHARS_MAX = 512
BRAND_CHARS_MAX = 1_024
AUTHOR_CHARS_MAX = 512
TEXT_CHARS_MAX = 1_000_000
INT64_MAX = 2**63 - 1

NETWORK_PATTERN = r"[a-z0-9_.-]{1,32}"

Instant = Annotated[dt.datetime, Meta(tz=True)]


class Mention(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False
):
    """One post that names one brand."""

    id: Annotated[
        str, Meta(min_length=1, max_length=ID_CHARS_MAX, description="The post's id on its network.")
    ]
    brand: Annotated[
        str,
        Meta(
            min_length=1, max_length=BRAND_CHARS_MAX, description="The brand it names. Also the record key."
        ),
    ]
    network: Annotated[
        str,
        Meta(
            description="Where it was posted: lower-case letters, digits, `_`, `.`, `-`; 1 to 32 of them.",
            # Checked in decode.py once per batch and network; a pattern here would run once per record.
            extra_json_schema={"pattern": f"^{NETWORK_PATTERN}$"},
        ),
    ]
    text: Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX, description="What was written.")]
    event_time: Annotated[
        Instant | int,
        Meta(description="When it was posted: RFC 3339 with an offset, or milliseconds since 1970 UTC."),
    ]
    author: Annotated[
        str | None, Meta(description=f"Who wrote it, if known; at most {AUTHOR_CHARS_MAX} characters.")
    ] = None
    url: Annotated[str | None, Meta(description="Where it can be read.")] = None
    lang: Annotated[str | None, Meta(description="Its language, as a BCP 47 tag.")] = None
    reach: Annotated[
        Annotated[int, Meta(ge=0, le=INT64_MAX)] | None, Meta(description="How many people may see it.")
    ] = None
    reply_to: Annotated[str | None, Meta(description="The id of the post it answers.")] = None


_encoder = msgspec.json.Encoder()


def encode(mention: Mention) -> bytes:
    """Return the record value of a mention: JSON, UTF-8, without fields that are absent."""
    return _encoder.encode(mention)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the topic `mentions`."""
    made = msgspec.json.schema(Mention)
    body: dict[str, Any] = made["$defs"]["Mention"]
    body["additionalProperties"] = True  # unknown fields are kept, see rule 3
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "mention.json",
        **body,
    }
