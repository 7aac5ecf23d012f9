"""The rules of the house that no linter knows; each says what to do about a breach."""

import ast
import re
import subprocess
from collections import defaultdict

import pytest

from tests.checkout import CHECKOUT

PACKAGES = ("stream_worker", "producers", "models")
MODULES = sorted(path for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py"))

# Patterns, each with one letter in brackets, so that this file is not a breach of its own rule.
MACHINE_PATHS = ("/[w]ork/", "/[r]oot/", "/[h]ome/", "/[U]sers/", "/[t]mp/", "/opt/[w]heels")
REGISTRY_HOSTS = (
    *(r"[p]ypi\.org", "[p]ythonhosted", r"registry\.[n]pm", r"repo1?\.[m]aven"),
    *(r"[c]rates\.io", r"proxy\.[g]olang", r"deb\.[d]ebian"),
)
NAMES_NOTHING = ("utils", "util", "helpers", "misc", "common", "base", "manager", "stuff")


def _tracked_files():
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout: nobody knows which files are tracked")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [CHECKOUT / name for name in names if name and (CHECKOUT / name).is_file()]


def _texts():
    for path in _tracked_files():
        data = path.read_bytes()
        if b"\0" not in data:
            yield path.relative_to(CHECKOUT), data.decode(errors="replace")


def _trees():
    for path in MODULES:
        yield path.relative_to(CHECKOUT), ast.parse(path.read_text(), filename=str(path))


def test_there_is_a_house_to_inspect():
    assert len(MODULES) > 10


def test_no_two_classes_share_a_name():
    where = defaultdict(list)
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(str(path))

    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}, (
        "give the second one its own name"
    )


def test_every_module_opens_with_one_line_that_says_what_it_is():
    wordless = []
    for path, tree in _trees():
        first = (ast.get_docstring(tree) or "").partition("\n")[0]
        if not re.search(r"[.:;]$", first):
            wordless.append(str(path))

    assert wordless == [], "the first line of the docstring is one sentence (it ends with a stop)"


def test_a_package_init_holds_a_docstring_and_nothing_else():
    busy = [str(path) for path, tree in _trees() if path.name == "__init__.py" and len(tree.body) > 1]

    assert busy == [], "one name, one import path: nothing is re-exported"


def test_no_module_has_a_name_that_names_nothing():
    nameless = [str(path.relative_to(CHECKOUT)) for path in MODULES if path.stem in NAMES_NOTHING]

    assert nameless == [], "name the module by what is in it"


@pytest.mark.parametrize("pattern", MACHINE_PATHS + REGISTRY_HOSTS)
def test_no_tracked_file_knows_a_machine_or_a_registry(pattern):
    found = [str(path) for path, text in _texts() if re.search(pattern, text)]

    assert found == [], f"{pattern} means something on one machine only"


def test_locked_requirements_carry_hashes_and_no_address():
    for name in ("run", "dev"):
        text = (CHECKOUT / "requirements" / f"{name}.txt").read_text()
        pinned = re.findall(r"^\S+==\S+", text, flags=re.MULTILINE)
        assert pinned
        assert len(re.findall(r"^\S+==[^\n]+\\\n    --hash=sha256:", text, flags=re.MULTILINE)) == len(pinned)
        assert "://" not in text
        assert "--index-url" not in text


def test_every_dependency_is_locked():
    import tomllib

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    everything = wanted + project["project"]["optional-dependencies"]["embedded"]
    everything += [it for it in project["dependency-groups"]["dev"] if isinstance(it, str)]
    for name, requirements in (("run", wanted), ("dev", everything)):
        locked = set(
            re.findall(
                r"^([a-z0-9-]+)==", (CHECKOUT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
            )
        )
        missing = {re.split(r"[^a-z0-9-]", it)[0] for it in requirements} - locked
        assert missing == set(), "make lock"
