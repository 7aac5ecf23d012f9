"""`stream-worker config`: the settings, where each comes from, and whether they can be used."""

from typing import TYPE_CHECKING

import typer

from stream_worker.cli.output import Config, Json, load_settings, print_json, print_table, say

if TYPE_CHECKING:
    from stream_worker.settings.loader import Loaded

app = typer.Typer(help="Show, check and describe the settings.", no_args_is_help=True)


@app.command()
def show(config: Config = None, *, as_json: Json = False) -> None:
    """Print every setting with its value and origin; secrets are hidden."""
    rows = _rows(load_settings(config))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        value = row["value"]
        row["value"] = ", ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value
    print_table(rows, ("setting", "value", "from"))


@app.command()
def check(config: Config = None) -> None:
    """Check whether the settings can be used; connect to nothing."""
    changed = len(load_settings(config).origins)
    say(f"settings can be used; not the default: {changed}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings, for editors."""
    from stream_worker.settings.schema import Settings  # noqa: PLC0415

    print_json(Settings.model_json_schema())


def _rows(loaded: "Loaded") -> list[dict[str, object]]:
    from stream_worker.settings.loader import LEAVES  # noqa: PLC0415

    rows: list[dict[str, object]] = []
    for key, leaf in LEAVES.items():
        group, _, name = key.partition(".")
        value = getattr(getattr(loaded.settings, group), name)
        origin = loaded.origins.get(key, "default")
        rows.append({"setting": key, "value": leaf.shown(value), "from": origin})
    return rows
