"""What people write into files, shells and dashboards: commands, settings, metrics. Their texts may change.

Help, descriptions and titles are left out everywhere: a sentence that is said better is no other format.
"""

import json
import logging
from pathlib import Path

import structlog
import typer
from typer.testing import CliRunner

from models.cli import app as models_app
from producers.cli import app as producers_app
from stream_worker.cli.app import app
from stream_worker.observability.metrics import Metrics
from stream_worker.settings.loader import LEAVES
from tests.checkout import CHECKOUT

APPS = {"stream-worker": app, "produce-mentions": producers_app, "python -m models": models_app}
TEXTS = ("description", "summary", "title")


def run(*arguments, environment=None):
    """Run a command; returns its exit code and what it printed on stdout. Raises what it raises."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    done = CliRunner().invoke(app, arguments, env=environment)
    structlog.reset_defaults()  # it had its logs sent to streams that are closed by now
    root.handlers = handlers
    root.setLevel(level)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout


def commands():
    """Every command of the worker, the producers and the models, with its options."""
    return {name: _command(typer.main.get_command(one)) for name, one in APPS.items()}


def _command(command):
    found = {"parameters": {max(it.opts, key=len): _parameter(it) for it in command.params}}
    if hasattr(command, "commands"):
        found["commands"] = {name: _command(one) for name, one in sorted(command.commands.items())}
    return found


def _parameter(it):
    annotation = it.type_descriptor.annotation
    told = {
        "kind": it.param_type_name,
        "names": [*it.opts, *it.secondary_opts],
        "type": getattr(annotation, "__name__", None) if isinstance(annotation, type) else str(annotation),
        "least": it.min,
        "most": it.max,
        "default": _default(it.default),
        "required": it.required,
        "many": it.multiple or it.nargs != 1,
        "environment": it.envvar,
    }
    return {name: value for name, value in told.items() if value is not None and value is not False}


def _default(value):
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value).replace(str(CHECKOUT), "HERE")


def shown_settings(*arguments):
    """What `config show` says; a folder below the one that the tests run in has no name of its own."""
    stdout = run("config", "show", "--json", *arguments)[1]
    return json.loads(stdout.replace(Path.cwd().as_uri(), "file://HERE"))


def settings():
    """Every setting: its default, its variable, and what may be written."""
    return {
        "settings": [{**row, "environment": LEAVES[row["setting"]].env} for row in shown_settings()],
        "schema": without_texts(_inlined(json.loads(run("config", "schema")[1]))),
    }


def _inlined(schema):
    """The same JSON Schema without `$defs`: their names are references inside the document, and no format."""
    definitions = schema.pop("$defs", {})

    def resolved(part):
        match part:
            case {"$ref": reference}:
                return resolved(definitions[reference.rsplit("/", 1)[1]])
            case dict():
                return {name: resolved(it) for name, it in part.items()}
            case list():
                return [resolved(it) for it in part]
            case _:
                return part

    return resolved(schema)


def metrics(lived):
    """The catalogue of metrics, and the series of a process that has worked."""
    catalogue = [
        {"name": it.name, "type": it.kind, "unit": it.unit, "labels": list(it.labels)}
        for it in Metrics().catalogue
    ]
    series = {
        f"{sample.name}{json.dumps(sample.labels, sort_keys=True) if sample.labels else ''}"
        for family in lived.registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_created", "_bucket"))
    }
    return {"catalogue": catalogue, "series": sorted(series)}


def without_texts(document):
    """The same JSON document without sentences for people."""
    match document:
        case dict():
            return {
                name: without_texts(it)
                for name, it in document.items()
                if not (name in TEXTS and isinstance(it, str))
            }
        case list():
            return [without_texts(it) for it in document]
        case _:
            return document
