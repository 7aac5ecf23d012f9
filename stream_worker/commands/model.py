"""`stream-worker model`: which model would score here."""

import typer

from stream_worker.commands.options import Config, Json, load_settings, print_json, print_table, say
from stream_worker.errors import Misconfigured

app = typer.Typer(help="Look at the model.", no_args_is_help=True)


@app.command()
def info(config: Config = None, *, as_json: Json = False) -> None:
    """Print what the model is: file, pin, version, training data, quality. Exit code 78 if it is refused."""
    settings = load_settings(config).settings
    import msgspec  # noqa: PLC0415

    from stream_worker import inspecting  # noqa: PLC0415

    described = inspecting.describe_model(settings)
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


def _short(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value)
    return "" if value is None else str(value)
