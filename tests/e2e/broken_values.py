"""Values that no worker can use, each for a reason of its own; all must end as dead letters.

Each function takes a good mention (a dict) and returns the bytes of a broken record, or None for a tombstone.
"""

import json

DEEP = 100_000


def _text(mention, **changes):
    return json.dumps(mention | changes, ensure_ascii=False).encode()


def _without(mention, name):
    return json.dumps({key: it for key, it in mention.items() if key != name}).encode()


def _raw(mention, name, literal):
    """The mention with one field written as the JSON literal given, however wrong it is."""
    rest = json.dumps({key: it for key, it in mention.items() if key != name})
    return f'{rest[:-1]}, "{name}": {literal}}}'.encode()


COMMON = {
    "not JSON": lambda good: b"brand=Acme&text=hello",
    "empty": lambda good: b"",
    "cut off": lambda good: _text(good)[:-7],
    "two documents": lambda good: _text(good) + _text(good),
    "trailing comma": lambda good: _text(good)[:-1] + b",}",
    "a list": lambda good: json.dumps([good]).encode(),
    "a string": lambda good: json.dumps(json.dumps(good)).encode(),
    "null": lambda good: b"null",
    "tombstone": lambda good: None,
    "byte order mark": lambda good: b"\xef\xbb\xbf" + _text(good),
    "UTF-16": lambda good: json.dumps(good).encode("utf-16"),
    "invalid UTF-8": lambda good: _text(good, text="caf\xe9 XX").replace(b"XX", b"\xff\xfe"),
    "overlong UTF-8": lambda good: _text(good, text="XX").replace(b"XX", b"\xc0\xaf"),
    "no text": lambda good: _without(good, "text"),
    "no brand": lambda good: _without(good, "brand"),
    "no id": lambda good: _without(good, "id"),
    "no network": lambda good: _without(good, "network"),
    "no event time": lambda good: _without(good, "event_time"),
    "empty text": lambda good: _text(good, text=""),
    "white text": lambda good: _text(good, text=" \t\n\u2003 "),
    "empty brand": lambda good: _text(good, brand=""),
    "white brand": lambda good: _text(good, brand="   "),
    "text is null": lambda good: _text(good, text=None),
    "text is a number": lambda good: _text(good, text=5),
    "brand is a list": lambda good: _text(good, brand=["Acme"]),
    "id is a number": lambda good: _text(good, id=12),
    "author is an object": lambda good: _text(good, author={"name": "x"}),
    "url is a number": lambda good: _text(good, url=1),
    "reach is a text": lambda good: _text(good, reach="12"),
    "reach is a fraction": lambda good: _text(good, reach=1.5),
    "reach is true": lambda good: _text(good, reach=True),
    "reach is huge": lambda good: _text(good, reach=1 << 63),
    "reach is negative": lambda good: _text(good, reach=-1),
    "empty id": lambda good: _text(good, id=""),
    "id too long": lambda good: _text(good, id="i" * 513),
    "brand too long": lambda good: _text(good, brand="b" * 1025),
    "author too long": lambda good: _text(good, author="ä" * 513),
    "network in capitals": lambda good: _text(good, network="Twitter"),
    "network with a colon": lambda good: _text(good, network="x:y"),
    "network too long": lambda good: _text(good, network="n" * 33),
    "network empty": lambda good: _text(good, network=""),
    "NaN": lambda good: _raw(good, "weight", "NaN"),
    "Infinity": lambda good: _raw(good, "weight", "-Infinity"),
    "event time NaN": lambda good: _raw(good, "event_time", "NaN"),
    "number past all floats": lambda good: _raw(good, "weight", "1e999"),
    "event time of 400 digits": lambda good: _raw(good, "event_time", "9" * 400),
    "lone surrogate in text": lambda good: _raw(good, "text", '"bad \\ud800 end"'),
    "lone surrogate in brand": lambda good: _raw(good, "brand", '"\\udc00"'),
    "lone surrogate in extra": lambda good: _raw(good, "mood", '{"a": ["\\ud83d"]}'),
    "event time is true": lambda good: _text(good, event_time=True),
    "event time is null": lambda good: _text(good, event_time=None),
    "event time in words": lambda good: _text(good, event_time="yesterday"),
    "event time without zone": lambda good: _text(good, event_time="2026-01-02T03:04:05"),
    "event time of no month": lambda good: _text(good, event_time="2026-13-02T03:04:05Z"),
    "event time in seconds": lambda good: _text(good, event_time=1_790_000_000),
    "event time zero": lambda good: _text(good, event_time=0),
    "event time negative": lambda good: _text(good, event_time=-1),
    "event time in microseconds": lambda good: _text(good, event_time=1_790_000_000_000_000),
    "event time in 2099": lambda good: _text(good, event_time="2099-12-31T23:59:59Z"),
    "event time in 9999": lambda good: _text(good, event_time="9999-12-31T23:59:59.999Z"),
    "event time in 1999": lambda good: _text(good, event_time="1999-12-31T23:59:59Z"),
}

BIG = {
    "deep, never closed": lambda good: b"[" * DEEP,
    "deep, closed": lambda good: _raw(good, "tree", "[" * DEEP + "]" * DEEP),
    "deep objects": lambda good: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "number of 5,000 digits": lambda good: _raw(good, "weight", "7" * 5_000),
    "a text of 1,000,001 characters": lambda good: _text(good, text="x" * 1_000_001),
    "past the limit of 1 MiB": lambda good: _text(good, text="long " * 240_000),
}

ENORMOUS = {"5 MB": lambda good: _text(good, text="x" * 5_000_000)}


def broken(rng, good):
    """One broken value; a big one once in 60."""
    kinds = BIG if rng.random() < 1 / 60 else COMMON
    return kinds[rng.choice(sorted(kinds))](good)
