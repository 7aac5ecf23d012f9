"""Names that people are sent to exist: settings, variables, metrics, commands, options and files."""

import ast
import re

import pytest
import typer.main

from models.cli import app as models_app
from producers.cli import app as producers_app
from stream_worker.cli.app import app
from stream_worker.observability.metrics import Metrics
from stream_worker.settings.loader import CONFIG_ENV, FIRST_KEYS, LEAVES, variable
from tests.checkout import CHECKOUT

PACKAGES = ("stream_worker", "producers", "models")
SETTINGS = {*LEAVES, *FIRST_KEYS}
VARIABLES = {*map(variable, SETTINGS), *(leaf.env + "_FILE" for leaf in LEAVES.values() if leaf.is_secret)}
PROGRAMS = {"stream-worker": app, "produce-mentions": producers_app, "python -m models": models_app}
FILES = "py|md|lua|js|jsonl|toml|joblib|safetensors"  # log.jsonl is no setting

GROUPS = "|".join(sorted({key.partition(".")[0] for key in LEAVES}))
SETTING = re.compile(rf"(?<![\w./-])(?:{GROUPS})\.(?!(?:{FILES})\b)[a-z_]\w*(?![\w(]|\.\w)")
COMMAND = re.compile(rf"(?:{'|'.join(PROGRAMS)})(?= |$)[^`\n]*")


def messages():
    """Every text in the code of the product, whether it is printed, logged, raised or a docstring."""
    for package in PACKAGES:
        for path in sorted((CHECKOUT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(CHECKOUT)}:{node.lineno}", node.value


def pages():
    """Every page, and every file that somebody is meant to copy or run."""
    folders = [CHECKOUT, CHECKOUT / "docs", CHECKOUT / "config", CHECKOUT / "deploy", CHECKOUT / "models"]
    found = {path for folder in folders[1:] for path in folder.rglob("*")} | set(folders[0].iterdir())
    for path in sorted(found):
        if path.is_file() and path.suffix in (".md", ".toml", ".yaml", ".yml"):
            yield str(path.relative_to(CHECKOUT)), path.read_text(encoding="utf-8")


TEXTS = [*messages(), *pages()]


def unknown(pattern, known):
    return [
        f"{where}: {name}" for where, text in TEXTS for name in re.findall(pattern, text) if name not in known
    ]


def commands(command, path):
    """A command and all below it, by the words that call them."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = {
    path: command
    for name, program in PROGRAMS.items()
    for path, command in commands(typer.main.get_command(program), tuple(name.split()))
}


def options(path):
    """The options of a command, and of a group those of every command in it."""
    below = [command for other, command in COMMANDS.items() if other[: len(path)] == path]
    return {
        "--help",
        "--debug",
        *(name for one in below for it in one.params for name in (*it.opts, *it.secondary_opts)),
    }


def wrong_words(call):
    """The words of a call that are no command and no option; arguments are not looked at."""
    words = call.split()
    path = tuple(words[:3] if words[0] == "python" else words[:1])
    for word in words[len(path) :]:
        if not hasattr(COMMANDS[path], "commands") or not re.fullmatch(r"[a-z][a-z-]*", word):
            break
        if (*path, word) not in COMMANDS:
            return [word]
        path = (*path, word)
    return [word for word in re.findall(r"(?<!\S)--[a-z][a-z-]*", call) if word not in options(path)]


def calls():
    """Every call of a program that a text quotes: in backticks, or a line of a block of code."""
    for where, text in TEXTS:
        quoted = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)
        lines = [
            line.strip().removeprefix("$ ")
            for line in "".join(re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)).splitlines()
        ]
        for call in (*quoted, *lines):
            if COMMAND.fullmatch(call):
                yield where, call


def test_the_search_finds_names_at_all():
    assert len([name for _, text in TEXTS for name in SETTING.findall(text)]) > 2 * len(LEAVES)
    assert len(list(calls())) > 2 * len(COMMANDS)


def test_every_setting_that_a_text_names_exists():
    assert unknown(SETTING, SETTINGS) == []


def test_every_variable_that_a_text_names_exists():
    pattern = r"\bSTREAM_WORKER_(?!TEST_)[A-Z0-9_]*[A-Z0-9]\b(?!…)"

    assert unknown(pattern, {*VARIABLES, CONFIG_ENV}) == []


def test_every_metric_that_a_text_names_exists():
    assert unknown(r"\bstream_worker_[a-z_]*[a-z]\b", {metric.name for metric in Metrics().catalogue}) == []


def test_every_command_and_option_that_a_text_quotes_exists():
    assert [f"{where}: {call}: {wrong}" for where, call in calls() if (wrong := wrong_words(call))] == []


def test_every_file_that_code_sends_its_reader_to_exists():
    # Given all files, by their names and by the ends of their paths
    names = set()
    for package in (*PACKAGES, "tests", "docs", "bench"):
        for path in (CHECKOUT / package).rglob("*.*"):
            parts = path.relative_to(CHECKOUT).parts
            names |= {"/".join(parts[i:]) for i in range(len(parts))}

    # Then code and comments name no other
    absent = [
        f"{path.relative_to(CHECKOUT)}: {name}"
        for package in PACKAGES
        for path in sorted((CHECKOUT / package).rglob("*"))
        if path.suffix in (".py", ".lua", ".c", ".h")
        for name in re.findall(
            r"(?<![\w<>{}*$./-])(?:[\w-]+/)*[\w-]+\.(?:py|lua|md)\b", path.read_text(encoding="utf-8")
        )
        if name not in names
    ]
    assert absent == []


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("stream-worker config show --json", []),
        ("stream-worker config shown", ["shown"]),
        ("stream-worker audit --waiting 5s", ["--waiting"]),
        ("produce-mentions --create-topic", []),
        ("python -m models evaluate", []),
    ],
)
def test_a_call_is_wrong_by_its_first_word_that_is_no_command_or_by_its_options(call, wrong):
    assert wrong_words(call) == wrong


@pytest.mark.parametrize(
    ("text", "names"), [("set kafka.servers.", ["kafka.servers"]), ("see alerts.md", [])]
)
def test_what_looks_like_a_setting(text, names):
    assert SETTING.findall(text) == names
