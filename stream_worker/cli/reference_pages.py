"""Pages made from code: config/default.toml, docs/configuration.md and docs/metrics.md.

A test fails when a page differs from what stands here; `stream-worker reference` prints them anew.
"""

import datetime as dt
import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from types import NoneType, UnionType
from typing import Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr

from stream_worker.observability.metrics import Metrics
from stream_worker.settings.loader import LEAVES, Leaf, variable
from stream_worker.settings.schema import Settings
from stream_worker.settings.units import format_duration, format_size

_WIDTH = 98

_CONFIGURATION: Final = """\
# Configuration

<!-- Made by `stream-worker reference configuration`; a test fails when it is stale. -->

Every setting has a default that runs against localhost. A TOML file (`--config FILE`, or its name in
`STREAM_WORKER_CONFIG`) changes it, and an environment variable changes that:

    environment  >  file  >  default

* The variable of `kafka.topic` is `STREAM_WORKER_KAFKA__TOPIC`. An empty variable counts as absent.
* A secret can stand in a file of its own, named by the variable with `_FILE` behind it:
  `STREAM_WORKER_REDIS__URL_FILE=/run/secrets/redis`.
* Durations are written `200ms`, `30s`, `5m`, `2h`, `1d`; sizes `1000B`, `64KiB`, `16MiB`, `2GiB`.
* A dictionary in a variable is written as JSON.
* A setting with two names may have either; both in one file, or both in the environment, are refused.
* What is not a setting is refused with the nearest right name, in the file and in the environment (exit 78).

`stream-worker config show` prints each value with where it comes from, `config check` says whether all can be
used, `config schema` prints the JSON Schema for an editor; `config/default.toml` has every setting to copy.
"""

_METRICS: Final = """\
# Metrics

<!-- Made by `stream-worker reference metrics`; a test fails when it is stale. -->

At `/metrics` of `http.host`:`http.port`, for Prometheus. Labels are bounded; the series of a partition vanish
when the worker loses it. Besides these there are `process_…` and `python_…` of the Prometheus client.

| metric | type | unit | labels | meaning |
|---|---|---|---|---|
"""


def configuration_page() -> str:
    """Return docs/configuration.md."""
    return "\n".join([_CONFIGURATION, *_tables()]) + "\n"


def metrics_page() -> str:
    """Return docs/metrics.md."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {metric.unit} "
        f"| {', '.join(f'`{label}`' for label in metric.labels)} | {_cell(metric.meaning)} |"
        for metric in Metrics().catalogue
    ]
    return _METRICS + "\n".join(rows) + "\n"


def default_file() -> str:
    """Return config/default.toml: every setting with its default."""
    lines = [
        "# Every setting of stream_worker with its default. Copy what you change; see docs/configuration.md.",
        "# A setting that begins with # has no default.",
    ]
    for group, leaves in _groups():
        lines += ["", *_comment(_meaning_of(group)), f"[{group}]"]
        for leaf in leaves:
            names = "".join(f" Also named {key.partition('.')[2]}." for key in leaf.other_keys)
            lines += _comment(f"{leaf.field.description}{names} [{_type(leaf)}]")
            lines.append(_line(leaf))
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH, break_on_hyphens=False)]


def _tables() -> Iterator[str]:
    for group, leaves in _groups():
        yield f"## {group}\n\n{_meaning_of(group)}\n"
        yield "| setting | default | values | meaning |\n|---|---|---|---|"
        for leaf in leaves:
            default = "" if leaf.field.default is None else f"`{_toml(leaf.field.default)}`"
            secret = " A secret." if leaf.is_secret else ""
            names = "".join(f"<br>Also `{key}`, `{variable(key)}`" for key in leaf.other_keys)
            meaning = f"{leaf.field.description}{secret}<br>`{leaf.env}`{names}"
            yield f"| `{leaf.key}` | {default} | {_cell(_type(leaf))} | {_cell(meaning)} |"
        yield ""


def _groups() -> Iterator[tuple[str, list[Leaf]]]:
    for group, leaves in groupby(LEAVES.values(), lambda leaf: leaf.key.partition(".")[0]):
        yield group, list(leaves)


def _meaning_of(group: str) -> str:
    doc = Settings.model_fields[group].annotation.__doc__ or ""
    return " ".join(doc.split())


def _line(leaf: Leaf) -> str:
    name = leaf.key.partition(".")[2]
    return f"# {name} =" if leaf.field.default is None else f"{name} = {_toml(leaf.field.default)}"


def _toml(value: object) -> str:
    """Write a default as TOML; JSON writes texts, numbers, booleans and the empty table the same way."""
    return f"{value:_}" if type(value) is int and value >= 10_000 else json.dumps(value)


def _type(leaf: Leaf) -> str:
    """Say what may be written, and between which limits."""
    annotation = leaf.field.annotation
    if get_origin(annotation) in (UnionType, Union):
        annotation = next(one for one in get_args(annotation) if one is not NoneType)
    if get_origin(annotation) is Literal:
        return " or ".join(json.dumps(value) for value in get_args(annotation))
    name = "size" if leaf.is_size else _TYPES[get_origin(annotation) or annotation]
    least, most = (_limit(leaf, key) for key in ("ge", "le"))
    if least is None:
        return name
    return f"{name}, {least} or more" if most is None else f"{name}, {least} … {most}"


def _limit(leaf: Leaf, key: str) -> str | None:
    """Return the limit `ge` or `le` of a setting as people write it; None without one."""
    for constraint in leaf.field.metadata:
        match getattr(constraint, key, None):
            case dt.timedelta() as limit:
                return format_duration(limit)
            case int() as limit if leaf.is_size:
                return format_size(limit)
            case int() | float() as limit:
                return f"{limit:_}"
    return None


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_TYPES: Final[dict[object, str]] = {
    bool: "true or false",
    dict: "table of texts",
    dt.timedelta: "duration",
    float: "number",
    int: "whole number",
    Path: "path",
    SecretStr: "text",
    str: "text",
}
