"""Profiles: the detector's numbers as `daily` learns them from the archive, so that nothing begins cold.

Rules:
1. A profile of a brand is what the detector knows after it was fed all its archived minutes, in order,
   through the last minute of a day. It is made from that of the day before and the day's minutes
   (daily/learning.py).
2. One object per day, `_profiles/<date>.json`, create-only like all of the archive: whoever writes it
   second finds the same. Older days can be removed once a newer one is there.
3. It names the detector and its version; those of another one are worthless and are not read.
4. A profile is only ever where a brand starts. Numbers that live in Redis go on without it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stream_worker.core.detection.detector import Detector
from stream_worker.errors import Unreadable

PREFIX: Final = "_profiles/"
FORMAT_VERSION: Final = 1


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    """The object of one day."""

    v: int = FORMAT_VERSION
    date: str  # YYYY-MM-DD, UTC; minutes through its last one were fed
    detector: str  # name/version
    brands: dict[str, str]  # brand -> the detector's numbers


_decoder = msgspec.json.Decoder(Profiles)


def name_of(date: str) -> str:
    """Return the object's name for a day, YYYY-MM-DD."""
    return f"{PREFIX}{date}.json"


def encode(date: str, detector: Detector[Any], brands: Mapping[str, str]) -> bytes:
    """Return the object of a day."""
    name = f"{detector.name}/{detector.version}"
    return msgspec.json.encode(Profiles(date=date, detector=name, brands=dict(sorted(brands.items()))))


def decode(data: bytes, detector: Detector[Any]) -> dict[str, str]:
    """Return brand -> numbers; nothing when another detector made them. Raises Unreadable."""
    try:
        found = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the profiles of the archive are not readable ({error}); remove the object"
        ) from error
    return found.brands if found.detector == f"{detector.name}/{detector.version}" else {}
