"""`stream-worker model`: the models there are, the one that would score here, and whether it can."""

from typing import Annotated

import typer

from stream_worker.cli import compare
from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say
from stream_worker.errors import Misconfigured

app = typer.Typer(help="List, check and compare models.", no_args_is_help=True)
app.command()(compare.compare)


@app.command("list")
def list_models(config: Config = None, *, as_json: Json = False) -> None:
    """Print the shipped models and the configured one."""
    settings = load_settings(config).settings
    from stream_worker.admin import models  # noqa: PLC0415

    rows = models.list_models(settings)
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    shown = [
        {
            **row._asdict(),
            "languages": ", ".join(row.languages),
            "macro_recall": next((f"{it} ({test_set})" for test_set, it in row.macro_recall.items()), ""),
            "trouble": row.refusal and "refused: see model verify",
        }
        for row in rows
    ]
    columns = ("name", "used", "version", "bytes", "made", "languages", "macro_recall", "trouble", "path")
    print_table(shown, columns)


@app.command()
def info(config: Config = None, *, as_json: Json = False) -> None:
    """Print file, pin, version, training and quality of the model.

    Exit code 78 if it is refused.
    """
    settings = load_settings(config).settings
    import msgspec  # noqa: PLC0415

    from stream_worker.admin import models  # noqa: PLC0415

    described = models.describe_model(settings)
    facts = msgspec.to_builtins(described, enc_hook=str)
    if as_json:
        print_json(facts)
    else:
        manifest = facts.pop("manifest") or {}
        flat = {**facts, **{key: value for key, value in manifest.items() if key not in facts}}
        print_table([{"what": key, "is": _short(value)} for key, value in flat.items()], ("what", "is"))
    if described.refusal is not None:
        say(f"refused: {described.refusal}")
        raise typer.Exit(Misconfigured.exit_code)


@app.command()
def verify(
    model: Annotated[
        str | None,
        typer.Argument(help="Name of a shipped model, or PATH.joblib@PIN; else the configured one."),
    ] = None,
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Check a model as a worker would, load it and score with it.

    Exit code 78 if it is refused.
    """
    settings = load_settings(config).settings
    from stream_worker.admin import models  # noqa: PLC0415

    checks = models.verify_model(settings, model)
    if as_json:
        print_json([one._asdict() for one in checks])
    else:
        print_table([one._asdict() for one in checks], ("name", "ok", "detail"))
    for one in checks:
        if not one.ok:
            say(f"{one.name}: {one.detail}")
            raise typer.Exit(Misconfigured.exit_code)


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value)
    return "" if value is None else str(value)
