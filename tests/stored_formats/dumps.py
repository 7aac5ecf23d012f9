"""What is stored, as plain values: Redis (there and back), the archive, dead letters, webhooks.

What no run has in common with another is replaced, and nothing else:
1. the prefix of the keys, and the key that holds the tests' clock;
2. ids of stream entries (the server's own clock): the third one is `3-0`, in answers of the API as well;
3. times to live, which run in real time: rounded to whole hours;
4. floats of the detector and of reports: 9 digits, since the last ones depend on the C library;
5. size and digest of a Parquet file in its manifest, once they are checked: the library's version decides;
6. of a webhook, once it is verified: its time and signature, the receiver's port, the name of the release.
"""

import io
import json
import re
from hashlib import sha256

import pyarrow.parquet as pq

from stream_worker.version import VERSION

HOUR_S = 3_600
_LONG_FLOAT = re.compile(r"-?\d+\.\d{9,}(?:e-?\d+)?|-?\d\.?\d*e-\d+")


def dump_redis(client, prefix):
    """Every key below a prefix, without it: {"type", "ttl_s", "value"}."""
    found = {}
    for key in client.scan_iter(f"{prefix}:*", count=1_000):
        name = _text(key).removeprefix(f"{prefix}:")
        if name != "clock":
            found[name] = _key(client, key)
    return dict(sorted(found.items()))


def _key(client, key):
    kind, ttl_s = _text(client.type(key)), client.ttl(key)
    value = {
        "hash": lambda: {_text(name): _text(it) for name, it in sorted(client.hgetall(key).items())},
        "string": lambda: _text(client.get(key)),
        "zset": lambda: {_text(name): score for name, score in client.zrange(key, 0, -1, withscores=True)},
        "stream": lambda: {
            f"{number}-0": {_text(name): _text(it) for name, it in fields.items()}
            for number, (_, fields) in enumerate(client.xrange(key), start=1)
        },
    }[kind]()
    return {"type": kind, "ttl_s": None if ttl_s < 0 else round(ttl_s / HOUR_S) * HOUR_S, "value": value}


def load_redis(client, prefix, dump):
    """Write a dump below a prefix, with ordinary commands."""
    pipe = client.pipeline(transaction=False)
    for name, stored in dump.items():
        key, value = f"{prefix}:{name}", stored["value"]
        match stored["type"]:
            case "hash":
                pipe.hset(key, mapping=value)
            case "string":
                pipe.set(key, value)
            case "zset":
                pipe.zadd(key, value)
            case "stream":
                for number, fields in value.items():
                    pipe.xadd(key, fields, id=number)
        if stored["ttl_s"] is not None:
            pipe.expire(key, stored["ttl_s"])
    pipe.execute()


def stream_ids(client, prefix):
    """The id that the server gave to an entry -> the one of the dump, of the changes."""
    entries = client.xrange(f"{prefix}:changes")
    return {_text(number): f"{place}-0" for place, (number, _) in enumerate(entries, start=1)}


def without_last_digits(dump):
    """The same dump of Redis, floats of the detector and of its episodes with 9 digits."""

    def field(name, value):
        return rounded(value) if name.startswith(("numbers:", "episode:")) else value

    return {
        key: {**stored, "value": {name: field(name, it) for name, it in stored["value"].items()}}
        if key.startswith("shard:")
        else stored
        for key, stored in dump.items()
    }


def rounded(text):
    """The same text, with 9 digits of each float."""
    return _LONG_FLOAT.sub(lambda found: f"{float(found[0]):.9g}", text)


def dump_archive(folder):
    """Every object of the archive: documents as their text, Parquet as schema and rows."""
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {name: _object(name, body, bodies) for name, body in bodies.items()}


def _object(name, body, bodies):
    if name.endswith(".parquet"):
        return _parquet(body)
    text = body.decode(errors="backslashreplace")
    if name.startswith("_manifests/"):
        return _manifest(text, bodies)
    return rounded(text) if name.startswith("_profiles/") else text


def _parquet(body):
    table = pq.read_table(io.BytesIO(body))
    schema = [f"{it.name}: {it.type}{'' if it.nullable else ' not null'}" for it in table.schema]
    rows = [[_cell(value) for value in row.values()] for row in table.to_pylist()]
    kept = {_text(name): _text(it) for name, it in (table.schema.metadata or {}).items()}
    return {"schema": schema, "metadata": kept, "rows": rows}


def _cell(value):
    if isinstance(value, float):
        return float(f"{value:.9g}")
    return value.isoformat() if hasattr(value, "isoformat") else value


def _manifest(text, bodies):
    for stored in json.loads(text)["objects"]:
        body = bodies[stored["name"]]
        assert (stored["bytes"], stored["sha256"]) == (len(body), sha256(body).hexdigest()), stored["name"]
        text = text.replace(f'"bytes":{len(body)}', '"bytes":"its size"').replace(
            stored["sha256"], "its digest"
        )
    return text


def dump_letters(sent):
    """Every dead letter, in the order they were sent."""
    return [
        {
            "topic": topic,
            "headers": [[name, it.decode()] for name, it in headers],
            "value": None if value is None else value.decode(errors="backslashreplace"),
        }
        for topic, headers, value in sent
    ]


def dump_webhooks(receiver):
    """Every request that a receiver got; it verifies each of them."""
    receiver.verify()
    real = ("webhook-timestamp", "webhook-signature", "host")
    return [
        {
            "headers": {
                name: "…" if name in real else it.replace(VERSION, "VERSION")
                for name, it in sorted(one.headers.items())
            },
            "body": one.body,
        }
        for one in receiver.arrived
    ]


def _text(stored):
    return stored.decode("utf-8", "surrogatepass")
