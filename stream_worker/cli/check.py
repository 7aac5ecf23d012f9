"""`stream-worker check`: whether a worker would start here."""

from typing import Annotated

import typer

from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say
from stream_worker.errors import Misconfigured, Unavailable


def check(
    config: Config = None,
    *,
    connect: Annotated[
        bool, typer.Option("--connect", help="Also connect to Kafka, Redis and the store.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check settings and model, and with --connect each server.

    Exit code 78 when a setting or the model does not fit, 69 when a server does not answer.
    """
    settings = load_settings(config).settings
    from stream_worker.admin import check as admin_check  # noqa: PLC0415

    checks = admin_check.check(settings, connect=connect)
    rows = [{"name": "settings", "ok": True, "detail": "can be used", "ms": 0.0}]
    rows += [{"name": one.name, "ok": one.ok, "detail": one.detail, "ms": round(one.ms, 1)} for one in checks]
    if as_json:
        print_json(rows)
    else:
        shown = [{**row, "ok": "ok" if row["ok"] else "FAILED"} for row in rows]
        print_table(shown, ("name", "ok", "ms", "detail"))
    failed = [one.name for one in checks if not one.ok]
    if failed:
        say(f"not ready: {', '.join(failed)}")
        raise typer.Exit((Misconfigured if "model" in failed else Unavailable).exit_code)
