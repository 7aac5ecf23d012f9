"""The golden files: what a run of the scenario stores and answers, as text that can be read and compared."""

import datetime as dt
import difflib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from stream_worker.audit.service import audit
from tests.contracts.aggregates.worlds import LOG
from tests.stored_formats import answers, dumps, script, surfaces

FOLDER = Path(__file__).parent
GOLDEN = FOLDER / "golden"
OLD_STATE = FOLDER / "old_state"
DAY = dt.datetime.fromtimestamp(script.BEGIN_MS / 1_000, dt.UTC).date()
LINE_CHARS = 110
DIFF_LINES = 80


def collect(system, out, monkeypatch):
    """Everything that a system has stored and answers: file name -> value. The daily report goes to `out`."""
    redis = system.redis
    api, live, openapi = answers.ask_api(redis, answers.questions(), system.clock.now_ms)
    batch = {"daily": _daily(system, out), "audit": _audit(system, monkeypatch)}
    ids = dumps.stream_ids(redis.client, redis.prefix)
    return {
        "redis.json": dumps.without_last_digits(dumps.dump_redis(redis.client, redis.prefix)),
        "archive.json": dumps.dump_archive(system.folder),
        "dead_letters.json": dumps.dump_letters(system.letters.sent),
        "webhooks.json": dumps.dump_webhooks(system.receiver),
        "api.json": _replaced(api, ids),
        "live.json": _replaced(live, ids),
        "openapi.json": surfaces.without_texts(openapi),
        "batch.json": batch,
        "cli.json": surfaces.commands(),
        "settings.json": surfaces.settings(),
        "metrics.json": surfaces.metrics(system.metrics),
    }


def render(value):
    """JSON text: what fits into a line stands in one, and keys keep their order."""
    return _rendered(value, 0) + "\n"


def _rendered(value, depth):
    line = json.dumps(value, ensure_ascii=False)
    if depth > 0 and (_is_flat(value) or len(line) + depth <= LINE_CHARS):
        return line
    inner, outer = " " * (depth + 1), " " * depth
    if isinstance(value, dict):
        parts = [
            f"{json.dumps(k, ensure_ascii=False)}: {_rendered(it, depth + 1)}" for k, it in value.items()
        ]
        return "{\n" + ",\n".join(inner + part for part in parts) + "\n" + outer + "}"
    return "[\n" + ",\n".join(inner + _rendered(it, depth + 1) for it in value) + "\n" + outer + "]"


def _is_flat(value):
    """What is never broken into lines: a number, a text, nothing, and a row, which is more than texts."""
    if not isinstance(value, list):
        return not isinstance(value, dict) or not value
    return not any(isinstance(it, list | dict) for it in value) and not all(
        isinstance(it, str) for it in value
    )


def difference(name, found, expected):
    """The first lines of the difference between two texts; empty: there is none."""
    if found == expected:
        return ""
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), f"golden/{name}", "today's code", n=2, lineterm=""
    )
    shown = list(lines)
    more = [f"… and {len(shown) - DIFF_LINES} lines more"] if len(shown) > DIFF_LINES else []
    return "\n".join(shown[:DIFF_LINES] + more)


def _replaced(value, ids):
    """The same answers, with the ids of stream entries as in the dump of Redis."""
    text = json.dumps(value)
    for theirs, ours in ids.items():
        text = text.replace(f'"{theirs}"', f'"{ours}"')
    return json.loads(text)


def _environment(system):
    return {
        "STREAM_WORKER_REDIS__URL": system.redis.url,
        "STREAM_WORKER_REDIS__PREFIX": system.redis.prefix,
        "STREAM_WORKER_ARCHIVE__URL": system.folder.as_uri(),
        "STREAM_WORKER_KAFKA__TOPIC": LOG.topic,
    }


def _daily(system, out):
    """What `daily` says and writes of the day that ended within the log."""
    arguments = ("daily", "--date", str(DAY), "--out", str(out), "--json")
    code, stdout = surfaces.run(*arguments, environment=_environment(system))
    folder = out / str(DAY)
    return {
        "exit code": code,
        "report": json.loads(stdout.replace(str(out), "OUT")),
        "hours.csv": dumps.rounded((folder / "hours.csv").read_text()).splitlines(),
        "hours.parquet": dumps.dump_archive(folder)["hours.parquet"],
    }


def _audit(system, monkeypatch):
    """What `audit` says of the whole system. There is no broker, so that what it tells is told here."""
    of_audit = sys.modules[audit.__module__]
    topic = SimpleNamespace(name=LOG.topic, incarnation=LOG.incarnation, partitions=script.PARTITIONS)
    monkeypatch.setattr(of_audit, "open_admin", lambda _properties: None)
    monkeypatch.setattr(of_audit, "describe_topic", lambda *_: topic)
    monkeypatch.setattr(of_audit, "read_dead_letter_offsets", lambda *_: _letter_places(system.letters.sent))
    code, stdout = surfaces.run("audit", "--json", environment=_environment(system))
    real = {"redis_as_of_ms": "…", "waited_s": "…", "took_s": "…"}
    return {"exit code": code, "report": {**json.loads(stdout), **real}}


def _letter_places(sent):
    """Where letters came from, by their headers."""
    of_partitions = {}
    for _, headers, _ in sent:
        told = dict(headers)
        of_partitions.setdefault(int(told["sw-partition"]), set()).add(int(told["sw-offset"]))
    offsets = {number: np.array(sorted(of), np.int64) for number, of in of_partitions.items()}
    return SimpleNamespace(offsets=offsets, truncated=False)
