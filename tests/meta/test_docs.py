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


SOURCES = ("stream_worker", "producers", "models", "tests", "bench", "config", ".github", ".ci")
MARKDOWN = sorted(
    {*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), *(CHECKOUT / "models").glob("*.md")}
)
CODE = sorted(
    path
    for folder in SOURCES
    for path in (CHECKOUT / folder).rglob("*")
    if path.suffix in (".py", ".lua", ".c", ".h", ".js", ".toml", ".yaml", ".yml", ".css", ".j2", "")
    and path.is_file()
    and "__pycache__" not in path.parts
)


def anchors(page):
    """The anchors of a Markdown page, as GitHub makes them of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(
            " ", "-"
        )
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


def leads_nowhere(base, link):
    """Whether a link, `path#anchor` from a folder, names a file or a heading that does not exist."""
    path, _, anchor = link.partition("#")
    target = base / path
    return not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target))


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_of_a_page_lead_to_a_file_and_a_heading_that_exist(page):
    text = re.sub(
        r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]

    broken = [
        link
        for link in links
        if leads_nowhere(page.parent, f"{page.name}{link}" if link.startswith("#") else link)
    ]

    assert broken == []


def test_documents_that_code_cites_exist_with_the_heading():
    broken = [
        f"{path.relative_to(CHECKOUT)}: {cited}"
        for path in CODE
        for cited in re.findall(
            r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?", path.read_text(encoding="utf-8", errors="replace")
        )
        if leads_nowhere(CHECKOUT, cited)
    ]

    assert broken == []


def test_nothing_cites_a_document_that_is_not_here():
    # Given the names under which the design was known before docs/design.md, and its rules by bare number
    unknown = re.compile(r"\b(?:[D]ESIGN|[C]ONTRACTS)\b|\(R[1-7]\)")

    # Then no comment sends a reader to them
    citing = [
        f"{path.relative_to(CHECKOUT)}: {match[0]}"
        for path in [*CODE, *MARKDOWN]
        for match in unknown.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert citing == []


def test_every_decision_is_listed_and_the_newest_comes_first():
    # Given the records, each with its number and its date
    records = sorted((CHECKOUT / "docs/decisions").glob("[0-9]*.md"))
    dates = {
        path.name: re.findall(r"^\d{4}-\d\d-\d\d", path.read_text(encoding="utf-8"), re.MULTILINE)[0]
        for path in records
    }

    # Then they are numbered without a gap, the oldest first
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    assert list(dates.values()) == sorted(dates.values())

    # And the index has a line for each, with its date, the newest first
    lines = re.findall(
        r"^\| \[\d{4}\]\(([^)]+)\) \| (\S+) \|", read("docs/decisions/README.md"), re.MULTILINE
    )
    assert lines == list(reversed(dates.items()))


def test_the_glossary_is_in_the_order_of_the_alphabet_and_has_each_term_once():
    glossary = read("CONTRIBUTING.md").partition("## Glossary")[2]
    terms = [
        term.lower() for term in re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE)[1:] if term[0] != "-"
    ]

    assert terms
    assert terms == sorted(set(terms))
