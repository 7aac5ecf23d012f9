"""The scripted log: what people wrote about nine brands from one evening to past midnight, minute by minute.

Everything follows from the numbers below, so that the log is the same on every machine and in every run.
A text says what the scorer makes of it: `good`, `bad`, `so-so`, `perhaps`; foreign ones are unscored.
"""

import json
import random
from typing import NamedTuple

import numpy as np

from stream_worker.core.records.batch import NEGATIVE, NEUTRAL, POSITIVE, UNCERTAIN, UNSCORED, ScoreColumns
from stream_worker.core.time import MINUTE_MS

BEGIN_MS = 1_763_847_600_000
"""2025-11-22 21:40 UTC: late in the evening, so that a day ends within the log."""
MINUTES = 170
STOPS_AFTER = 82
"""The old worker is killed behind this minute: the crisis goes on."""
CRISIS = range(60, 84)
COMPLAINTS = 22
"""In each minute of the crisis."""
ANOTHER_MODEL_FROM = 150
PARTITIONS = 3

CRISIS_BRAND = "Bär & Söhne: \N{HOT BEVERAGE}"
BRANDS = (
    CRISIS_BRAND,
    "acme",
    "a:b::c",
    "\N{GRINNING FACE} Café",
    "全日空",
    'say "hi" \\ {x}',
    "neg",
    "Ünï/ço dé %2F",
)
RARE_BRAND = "once"
NETWORKS = ("reddit", "x", "bluesky.social", "a-b_c.9")
TEXTS = ("good {}", "bad {}", "so-so {}", "perhaps {}", "全然だめ {}", "Очень плохо {}")
WEIGHTS = (0.52, 0.57, 0.87, 0.93, 0.97, 1.0)
"""Cumulated: how often each text is written on a normal day."""


class Sent(NamedTuple):
    """One record, as a producer sends it at `time_ms`."""

    partition: int
    time_ms: int
    value: bytes | None


class Scorer:
    """A model that is a fixed function of the text."""

    def __init__(self, version):
        self.version = version

    def score(self, texts):
        found = [_score(text) for text in texts]
        label = np.array([one[0] for one in found], np.int8)
        probability = np.array([one[1] for one in found], np.float32).reshape(-1, 3)
        return ScoreColumns(label, probability, np.array([one[2] for one in found], np.int32))


def _score(text):
    nothing = (float("nan"),) * 3
    return {
        "good": (POSITIVE, (0.0625, 0.1875, 0.75), 687_500),
        "bad": (NEGATIVE, (0.875, 0.0625, 0.0625), -812_500),
        "so-so": (NEUTRAL, (0.25, 0.5, 0.25), 0),
        "perhaps": (UNCERTAIN, (0.375, 0.25, 0.375), 0),
    }.get(text.split()[0], (UNSCORED, nothing, 0))


def records_of(minute):
    """The records that are sent in a minute of the log, in their order."""
    mentions = [_mention(minute, number) for number in range(4 + minute % 3)]
    complaints = [_complaint(minute, number) for number in range(COMPLAINTS if minute in CRISIS else 0)]
    return sorted([*mentions, *complaints, *_odd(minute)], key=lambda sent: sent.time_ms)


def _mention(minute, number):
    rng = random.Random(minute * 1_000 + number)
    at_ms = BEGIN_MS + minute * MINUTE_MS + 2_000 + number * 9_000
    # The brand of the crisis is spoken of most: what is usual for it must be known before
    brand = BRANDS[0] if rng.random() < 0.55 else BRANDS[int(rng.random() * len(BRANDS))]
    which = rng.random()
    text = next(text for text, up_to in zip(TEXTS, WEIGHTS, strict=True) if which < up_to)
    return _sent(
        rng,
        at_ms,
        at_ms,
        id=f"{minute}-{number}",
        brand=brand,
        network=NETWORKS[int(rng.random() * len(NETWORKS))],
        text=text.format(f"{minute}.{number}"),
        **_details(minute, number),
    )


def _details(minute, number):
    """Now and then what is optional, and what nobody knows."""
    details = {"author": f"author {(minute * 7 + number) % 40}"}
    if number % 3 == 1:
        details |= {"url": f"https://example.org/{minute}/{number}", "lang": "en", "reach": minute * 1_000}
    if number % 4 == 3:
        details |= {"reply_to": f"{minute - 1}-0", "likes": number, "place": {"city": "Zürich"}}
    return details


def _complaint(minute, number):
    rng = random.Random(500_000 + minute * 1_000 + number)
    at_ms = BEGIN_MS + minute * MINUTE_MS + 5_000 + number * 2_400
    text = "bad copied again and again" if number % 5 == 4 else f"bad {minute}:{number}"
    return _sent(
        rng,
        at_ms,
        at_ms,
        id=f"c{minute}-{number}",
        brand=CRISIS_BRAND,
        network=NETWORKS[number % 2],
        text=text,
        author=f"angry {minute}.{number}",
    )


def _sent(rng, time_ms, event_ms, **fields):
    """A mention on some partition; each fifth writes its time as text."""
    event_time = event_ms if rng.random() < 0.8 else _rfc3339(event_ms)
    value = json.dumps({**fields, "event_time": event_time}, ensure_ascii=False).encode()
    return Sent(int(rng.random() * PARTITIONS), time_ms, value)


def _rfc3339(time_ms):
    """The same moment, told in another zone."""
    seconds, ms = divmod(time_ms + 5_400_000, 1_000)
    return f"{np.datetime64(seconds, 's')}.{ms:03d}+01:30"


def _odd(minute):
    """What is no plain mention: duplicates, copies, late ones, and each kind of broken record."""
    end_ms = BEGIN_MS + (minute + 1) * MINUTE_MS
    now_ms = end_ms - 1_500
    plain = {"brand": "acme", "network": "x", "text": f"good odd {minute}", "event_time": now_ms}
    many = [
        _written(minute, now_ms, {**plain, "id": f"o{minute}", "author": "somebody"}),
    ]
    if minute % 5 == 0:  # the same post again, and its text by somebody else, on the same partition
        many.append(_written(minute, now_ms, {**plain, "id": f"o{minute}", "author": "somebody"}))
        many.append(_written(minute, now_ms, {**plain, "id": f"copy{minute}", "author": "a copyist"}))
    if minute % 9 == 4:
        late_ms = now_ms - (8 + minute % 20) * MINUTE_MS
        many.append(_written(minute, now_ms, {**plain, "id": f"late{minute}", "event_time": late_ms}))
    if minute in (31, 90):
        many.append(_written(minute, now_ms, {**plain, "id": f"rare{minute}", "brand": RARE_BRAND}))
    if minute % 4 == 2:
        broken = BROKEN[minute // 4 % len(BROKEN)]
        if callable(broken):
            many.append(_written(minute, now_ms, {**plain, "id": f"broken{minute}", **broken(now_ms)}))
        else:
            many.append(Sent(minute % PARTITIONS, now_ms, broken))
    return many


def _written(minute, time_ms, fields):
    return Sent(minute % PARTITIONS, time_ms, _json(fields))


def _json(fields):
    return json.dumps({name: it for name, it in fields.items() if it is not ...}, ensure_ascii=False).encode()


VALUE_BYTES_MAX = 1_500
BROKEN = (
    None,
    b'{"id": "cut of',
    b"\xff\xfe no UTF-8",
    b"[" * 80,
    b'{"text": "' + b"x" * VALUE_BYTES_MAX + b'"}',
    lambda _: {"text": ...},
    lambda _: {"brand": ""},
    lambda _: {"text": " \t"},
    lambda _: {"brand": "b" * 1_025},
    lambda _: {"reach": "many"},
    lambda _: {"network": "No Network"},
    lambda _: {"event_time": "yesterday"},
    lambda now_ms: {"event_time": now_ms // 1_000},
    lambda now_ms: {"event_time": now_ms + 11 * MINUTE_MS},
)
"""Each reason to reject a record, in turn."""
