"""Read the whole archive back with pyarrow: plans, manifests, objects and rows."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

# Rows of schema 1, docs/design.md#the-archive; each name has its type, and whether it may be null
COLUMNS = {
    "topic": (pa.string(), False),
    "partition": (pa.int32(), False),
    "offset": (pa.int64(), False),
    "record_time": (pa.timestamp("ms", "UTC"), False),
    "event_time": (pa.timestamp("ms", "UTC"), False),
    "id": (pa.string(), False),
    "brand": (pa.string(), False),
    "network": (pa.string(), False),
    "author": (pa.string(), True),
    "text": (pa.string(), False),
    "url": (pa.string(), True),
    "lang": (pa.string(), True),
    "reach": (pa.int64(), True),
    "reply_to": (pa.string(), True),
    "extra": (pa.string(), True),
    "duplicate": (pa.bool_(), False),
    "repeat": (pa.bool_(), False),
    "voice": (pa.bool_(), False),
    "late": (pa.bool_(), False),
    "label": (pa.int8(), False),
    "p_neg": (pa.float32(), True),
    "p_neu": (pa.float32(), True),
    "p_pos": (pa.float32(), True),
    "sentiment_micro": (pa.int32(), True),
    "model": (pa.string(), False),
    "schema": (pa.int16(), False),
}


@dataclass(slots=True)
class StoredArchive:
    """Everything under one prefix, by the name it has there; documents are parsed, objects are bytes."""

    head: dict | None = None
    plans: dict = field(default_factory=dict)  # (partition, start) -> document
    manifests: dict = field(default_factory=dict)  # (partition, start, end) -> document
    objects: dict = field(default_factory=dict)  # name -> bytes of a Parquet file
    others: list = field(default_factory=list)


def read_archive(filesystem, root, log, only=""):
    """The archive of one log (`<topic>.<inc>`) below `root`, a bucket with prefix or a folder.

    `only` a folder of it, when the rest does not matter.
    """
    selector = fs.FileSelector(f"{root}/{only}".rstrip("/"), recursive=True, allow_not_found=True)
    paths = [info.path for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]
    with ThreadPoolExecutor(8) as readers:
        bodies = readers.map(lambda path: _read(filesystem, path), paths)
        files = {path[len(root) :].lstrip("/"): body for path, body in zip(paths, bodies, strict=True)}
    return archive_of(files, log)


def archive_of(files, log):
    """Sort files (name -> bytes) by what they are."""
    stored = StoredArchive()
    for name, body in sorted(files.items()):
        kind, _, rest = name.partition("/")
        parts = rest.removesuffix(".json").split("/")
        if name == f"_plans/{log}/head.json":
            stored.head = json.loads(body)
        elif kind == "_plans" and parts[0] == log and len(parts) == 3:
            stored.plans[int(parts[1]), int(parts[2])] = json.loads(body)
        elif kind == "_manifests" and parts[0] == log and len(parts) == 3:
            start, end = parts[2].split("-")
            stored.manifests[int(parts[1]), int(start), int(end)] = json.loads(body)
        elif name.endswith(".parquet"):
            stored.objects[name] = body
        else:
            stored.others.append(name)
    return stored


def rows_of(body):
    """The schema of a Parquet file as {name: type}, and its rows as dicts with times in ms."""
    table = pq.read_table(io.BytesIO(body))
    types = dict(zip(table.schema.names, table.schema.types, strict=True))
    for name in ("record_time", "event_time"):
        if name in types:
            index = table.schema.get_field_index(name)
            table = table.set_column(
                index, name, table.column(name).cast(pa.timestamp("ms", "UTC")).cast(pa.int64())
            )
    return types, table.to_pylist()


def _read(filesystem, path):
    with filesystem.open_input_stream(path) as stream:
        return stream.read()
