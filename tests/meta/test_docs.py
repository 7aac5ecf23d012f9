"""Documentation that tests enforce: a setting, metric, command or log event without its line fails here."""

import ast
import re
import tomllib

import pytest
import typer.main

from stream_worker.cli import reference_pages
from stream_worker.cli.app import app
from stream_worker.core.records.decode import REASONS
from stream_worker.observability.metrics import Metrics
from stream_worker.settings.loader import LEAVES, load
from tests.checkout import CHECKOUT

OPERATIONS = CHECKOUT / "docs/operations.md"

MADE = {
    "config/default.toml": (reference_pages.default_file, "reference defaults"),
    "docs/configuration.md": (reference_pages.configuration_page, "reference configuration"),
    "docs/metrics.md": (reference_pages.metrics_page, "reference metrics"),
}


def read(path):
    return (CHECKOUT / path).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for leaf in LEAVES.values():
        monkeypatch.delenv(leaf.env, raising=False)
    monkeypatch.delenv("STREAM_WORKER_CONFIG", raising=False)


def commands(group, path=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


def events():
    """Every event that our code logs, by a call `log.<level>("…")`."""
    for path in sorted((CHECKOUT / "stream_worker").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.func.attr in ("debug", "info", "warning", "error", "exception")
            ):
                assert node.args, f"{path.name}:{node.lineno}: an event without a name"
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}: a name is fixed"
                yield node.args[0].value


@pytest.mark.parametrize("path", MADE)
def test_pages_made_from_code_are_fresh(path):
    make, command = MADE[path]

    assert read(path) == make(), f"run: stream-worker {command} > {path}"


def test_the_file_of_defaults_has_every_setting_and_changes_none():
    # Given the file, and the same with what is commented out left away
    tree = tomllib.loads(read("config/default.toml"))
    named = set(re.findall(r"^(?:# )?([a-z_]+) =", read("config/default.toml"), re.MULTILINE))

    # Then it names every setting
    assert {key.partition(".")[2] for key in LEAVES} == named
    assert {f"{group}.{name}" for group, values in tree.items() for name in values} <= set(LEAVES)

    # And to use it is to use none
    assert load(CHECKOUT / "config/default.toml").settings == load().settings


@pytest.mark.parametrize("key", LEAVES)
def test_every_setting_is_documented_with_its_variable(key):
    page = read("docs/configuration.md")

    assert f"| `{key}` |" in page
    assert f"`{LEAVES[key].env}`" in page


@pytest.mark.parametrize("name", [metric.name for metric in Metrics().catalogue])
def test_every_metric_is_documented(name):
    assert f"| `{name}` |" in read("docs/metrics.md")


@pytest.mark.parametrize("path", sorted((CHECKOUT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_pages_name_only_metrics_that_there_are(path):
    there = {metric.name for metric in Metrics().catalogue}
    said = set(re.findall(r"\bstream_worker_[a-z_]+", path.read_text(encoding="utf-8")))

    assert said <= there


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_says_what_it_does(name):
    assert f"| `stream-worker {name}` |" in OPERATIONS.read_text(encoding="utf-8")
    assert (COMMANDS[name].help or "").strip()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name):
    assert [option.name for option in COMMANDS[name].params if not getattr(option, "help", "")] == []


def test_every_log_event_is_a_fixed_name_in_words_and_is_documented():
    page = OPERATIONS.read_text(encoding="utf-8")
    found = set(events())

    assert found, "nothing is logged at all: the search is wrong"
    assert [event for event in found if not re.fullmatch(r"[a-z]+( [a-z']+){1,5}", event)] == []
    assert sorted(event for event in found if f"| `{event}` |" not in page) == []


def test_every_documented_event_is_logged_somewhere():
    section = OPERATIONS.read_text(encoding="utf-8").partition("## Log events")[2]
    said = set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))

    assert said - set(events()) == set()


def test_every_exit_code_is_documented():
    page = OPERATIONS.read_text(encoding="utf-8").partition("## Exit codes")[2]

    for code in (0, 1, 2, 69, 78):
        assert f"\n| {code} |" in page


def test_every_reason_of_a_rejection_is_documented():
    pages = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "docs").glob("*.md"))

    assert [reason for reason in REASONS if f"`{reason}`" not in pages] == []


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{path.name}: {link}"
        for path in (CHECKOUT / "docs").rglob("*.md")
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not (path.parent / link).exists()
    ]

    assert broken == []
