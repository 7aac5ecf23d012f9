"""`python -m models`: train a model, and measure one.

Data go to stdout, messages to stderr. Exit codes: 0 done; 1 the data cannot be used; 2 wrong usage;
78 the model is refused.
"""

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from models import registry
from models.behaviour import suite
from models.behaviour.run import Behaviour, behave
from models.errors import ModelError, ModelRefused
from models.evaluate import Quality, evaluate
from models.progress import progress_on_stderr
from models.scorers.scores import CLASSES, Scorer
from models.training import dataset

SEED = 20_260_101

app = typer.Typer(
    help="Train a sentiment model and measure one. Nothing here runs in set-up, demo or tests.",
    no_args_is_help=False,
    add_completion=False,
)


@app.command("train")
def train_command(
    recipe: Annotated[Path, typer.Option(help="What the model is made of, YAML.")] = Path(
        "config/models/sentiment-en.yaml"
    ),
    data: Annotated[Path, typer.Option(help="Folder of the labelled texts, Parquet.")] = Path(
        "data/sentiment"
    ),
    languages: Annotated[
        Path | None,
        typer.Option(help="Texts in other languages, for the gate; else those of installed packages."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The artefact; its manifest is written beside it.")] = (
        registry.ARTEFACTS / f"{registry.SHIPPED}.joblib"
    ),
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.")] = None,
) -> None:
    """Train a model by a recipe; write an artefact and its manifest; print the pin's line."""
    from models.training.collect_languages import foreign_texts  # noqa: PLC0415  measuring needs nothing of it
    from models.training.recipe import read_recipe  # noqa: PLC0415
    from models.training.train import train  # noqa: PLC0415

    if out.suffix != ".joblib":
        raise typer.BadParameter("an artefact is called <name>.joblib", param_hint="--out")
    made_of = read_recipe(recipe)
    if seed is not None:
        made_of = msgspec.structs.replace(made_of, seed=seed)
    today = dt.datetime.now(dt.UTC).date()
    with foreign_texts(languages, data, made_of.seed, _say) as foreign, progress_on_stderr(_say) as progress:
        manifest = train(made_of, data, foreign, out, today, _say, progress)
    typer.echo(f'{manifest.name} = "{manifest.sha256}"')
    _say(f"written: {out} ({manifest.training['bytes']} bytes); to run it, pin the line above")


@app.command("gather-languages")
def gather_command(
    out: Annotated[Path, typer.Option(help="Folder for languages.parquet.")],
    seed: Annotated[int, typer.Option(min=0, help="Same seed and packages: same texts.")] = SEED,
) -> None:
    """Gather texts in other languages from the translations of installed packages, for the language gate."""
    from models.training.languages import gather  # noqa: PLC0415  measuring needs nothing of it

    gather(out, seed, _say)


@app.command("teach")
def teach_command(
    out: Annotated[Path, typer.Option(help="Folder for the labelled sets; a run that was stopped goes on.")],
    recipe: Annotated[Path, typer.Option(help="What the teacher is made of, YAML.")] = Path(
        "config/models/teacher-minilm.yaml"
    ),
    data: Annotated[Path, typer.Option(help="Folder of the gold, held-out and unlabelled texts.")] = Path(
        "data/sentiment"
    ),
    rows: Annotated[
        int | None, typer.Option(min=1, help="For a trial: so many rows of each set, by chance.")
    ] = None,
) -> None:
    """Fit a small transformer on gold texts; write its soft labels, which a student is trained on."""
    from models.training.teacher import teach  # noqa: PLC0415  measuring needs nothing of it
    from models.training.teacher_model import BertTeacher  # noqa: PLC0415
    from models.training.teacher_recipe import read_recipe  # noqa: PLC0415

    made_of = read_recipe(recipe)
    teacher = BertTeacher(made_of)
    with progress_on_stderr(_say) as progress:
        taught = teach(made_of, data, out, teacher, rows, _say, progress)
    _say(f"written: {', '.join(str(out / f'{name}.parquet') for name in taught.rows)}, {out}/teacher.json")


@app.command("evaluate")
def evaluate_command(
    source: Annotated[Path, typer.Option("--input", help="Labelled texts, Parquet.")],
    text: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    label: Annotated[str, typer.Option(help="Column of the labels: 0, 1, 2 or their names.")] = "label",
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or a path that ends with .joblib.")
    ] = registry.SHIPPED,
    pin: Annotated[str | None, typer.Option(help="sha256 of a model given by its path.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Score labelled texts and say how good that is. All figures are fractions."""
    labelled = dataset.read(source, text, label)
    scorer = registry.load(registry.named(model), pin)
    quality = evaluate(scorer, labelled.texts, labelled.labels)
    if as_json:
        answer = {"model": scorer.version, **msgspec.to_builtins(quality)}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        typer.echo(_table(scorer.version, quality))


@app.command("behave")
def behave_command(
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or a path that ends with .joblib.")
    ] = registry.SHIPPED,
    pin: Annotated[str | None, typer.Option(help="sha256 of a model given by its path.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Ask the suite of behaviour (negation, emoji, hashtags ...): the share that is right by group."""
    scorer = registry.load(registry.named(model), pin)
    groups = behave(scorer, suite.load())
    if as_json:
        answer = {"model": scorer.version, "groups": groups}
        typer.echo(msgspec.json.encode(answer).decode())
    else:
        typer.echo(_groups(scorer.version, groups))


@app.command("report")
def report_command(
    data: Annotated[Path, typer.Option(help="Folder of the held-out texts, Parquet.")] = Path(
        "data/sentiment"
    ),
    out: Annotated[Path, typer.Option(help="The report, Markdown.")] = Path("models/REPORT.md"),
    images: Annotated[Path, typer.Option(help="Folder for its plots, SVG.")] = Path("docs/images"),
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or a path that ends with .joblib.")
    ] = registry.SHIPPED,
    pin: Annotated[str | None, typer.Option(help="sha256 of a model given by its path.")] = None,
) -> None:
    """Measure a model beside others on the held-out sets; write a report with plots."""
    try:
        from models.reporting.document import report  # noqa: PLC0415  matplotlib takes its time
    except ModuleNotFoundError as missing:
        raise ModelRefused(
            f"{missing.name} is not installed, and the report needs it: pip install '.[training]'"
        ) from None
    report(registry.named(model), pin, data, out, images, _say)
    _say(f"written: {out}")


@app.command("bench")
def bench_command(
    source: Annotated[
        Path | None, typer.Option("--input", help="Texts, Parquet; without it, made-up posts.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the texts.")] = "text",
    model: Annotated[
        str, typer.Option(help="Name of a shipped model, or a path that ends with .joblib.")
    ] = registry.SHIPPED,
    pin: Annotated[str | None, typer.Option(help="sha256 of a model given by its path.")] = None,
    texts: Annotated[int, typer.Option(min=1, help="So many texts, the first ones of the file.")] = 50_000,
    passes: Annotated[int, typer.Option(min=1, max=100, help="Times that each scorer gets them.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Measure speed: the kernel, scikit-learn itself and, where it is installed, VADER, in one run."""
    from models import benchmark  # noqa: PLC0415
    from models.benchmark_texts import made_texts  # noqa: PLC0415
    from models.reporting.baselines import vader  # noqa: PLC0415

    path = registry.named(model)
    scorers: dict[str, Scorer] = {"the model": registry.load(path, pin)}
    if scorers["the model"].reason is None:
        scorers["the same by scikit-learn"] = registry.load(path, pin, compiled=False)
    else:
        _say(f"the kernel is not used: {scorers['the model'].reason}")
    scorers |= vader(_say)
    given = made_texts(texts, SEED) if source is None else dataset.read_texts(source, text)[:texts]
    speeds = benchmark.measure(scorers, given, passes)
    answer = {"speeds": speeds}
    typer.echo(msgspec.json.encode(answer).decode() if as_json else benchmark.as_table(speeds))


def main() -> None:
    """Run, and turn every error of ours into one line on stderr and its exit code."""
    try:
        code = app(prog_name="models", standalone_mode=False)
    except (ModelError, typer.TyperException) as error:
        message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
        _say(f"error: {' '.join(message.split())}")
        code = error.exit_code
    except OSError as error:
        _say(f"error: {error.filename or 'output'}: {error.strerror or error}")
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        _say("error: interrupted")
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(line: str) -> None:
    typer.echo(f"models: {line}", err=True)


def _groups(version: str, groups: dict[str, Behaviour]) -> str:
    lines = [
        f"{'model':<36}{version}",
        f"{'group':<36}{'cases':>6}{'right':>8}{'wanted':>8}{'uncertain':>11}",
    ]
    for name, group in groups.items():
        wanted = "" if group.target is None else f"{group.target:.2f}"
        lines.append(f"{name:<36}{group.cases:>6}{group.right:>8.3f}{wanted:>8}{group.uncertain:>11.3f}")
    return "\n".join(lines)


def _table(version: str, quality: Quality) -> str:
    figures = msgspec.to_builtins(quality)
    confusion = figures.pop("confusion")
    lines = [f"{'model':<22}{version}", *(f"{name:<22}{value}" for name, value in figures.items())]
    lines.append(
        f"{'confusion':<22}" + "".join(f"{name:>10}" for name in CLASSES) + "   (columns: the model)"
    )
    for name, counts in zip(CLASSES, confusion, strict=True):
        lines.append(f"  {name:<20}" + "".join(f"{count:>10}" for count in counts))
    return "\n".join(lines)
