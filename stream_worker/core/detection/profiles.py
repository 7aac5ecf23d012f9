"""Profiles: the detector's states as `daily` learns them from the archive, so that no brand begins cold.

Rules:
1. A profile of a brand is the detector's state after it was fed all archived minutes of the brand, in order,
   through the last minute of a day. It is made from that of the day before and the day's minutes
   (daily/learning.py).
2. One object per day, `_profiles/<date>.json`, create-only like all of the archive: whoever writes it
   second finds the same. Older days can be removed once a newer one is there.
3. It names the detector and its version; those of another one are worthless and are not read.
4. A profile is only ever where a brand starts. A state that lives in Redis goes on without it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stream_worker.core.detection.detector import Detector, DetectorId, stored_name
from stream_worker.errors import Unreadable

FORMAT_VERSION: Final = 1


class Profiles(msgspec.Struct, frozen=True, kw_only=True):
    """The object of one day."""

    v: int = FORMAT_VERSION
    date: str  # YYYY-MM-DD, UTC; minutes through its last one were fed
    detector: str  # name/version
    brands: dict[str, str]  # brand -> the detector's state


class _StoredProfiles(msgspec.Struct):
    """The same object, before its profiles are looked into."""

    detector: str
    brands: dict[str, msgspec.Raw]


_decoder = msgspec.json.Decoder(Profiles)
_stored_decoder = msgspec.json.Decoder(_StoredProfiles)


def encode(date: str, detector: DetectorId, states: Mapping[str, str]) -> bytes:
    """Return the object of a day; `states` are brand -> text."""
    profiles = Profiles(date=date, detector=stored_name(detector), brands=dict(sorted(states.items())))
    return msgspec.json.encode(profiles)


def readable(data: bytes, detector: Detector[Any]) -> tuple[dict[str, str], list[str]]:
    """Return brand -> state as text, and the brands whose profile is damaged. Raises Unreadable.

    Nothing is damaged in profiles of another detector: they are not read.
    """
    try:
        stored = _stored_decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the profiles of the archive are not readable ({error}); remove the object"
        ) from error
    states: dict[str, str] = {}
    damaged = []
    for brand, profile in stored.brands.items() if stored.detector == stored_name(detector) else ():
        try:
            states[brand] = msgspec.json.decode(profile, type=str)
            detector.decode(states[brand])
        except ValueError:
            states.pop(brand, None)
            damaged.append(brand)
    return states, damaged


def decode(data: bytes, detector: DetectorId) -> dict[str, str]:
    """Return brand -> state as text; nothing when another detector made them. Raises Unreadable."""
    try:
        profiles = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the profiles of the archive are not readable ({error}); remove the object"
        ) from error
    return profiles.brands if profiles.detector == stored_name(detector) else {}
