"""The oracle is a second opinion: it shares no code with what it judges."""

import ast
from pathlib import Path

import pytest

import tests.simulation

HERE = Path(tests.simulation.__path__[0])
BEGIN = "tests.simulation.oracle.oracle"


def imports_of(module):
    """The modules that a module of ours imports, at any depth of its code."""
    path = HERE.parents[1] / f"{module.replace('.', '/')}.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def all_imports_of(module):
    """The modules that it needs, directly or through other modules of the tests."""
    found, waiting = set(), [module]
    while waiting:
        for imported in imports_of(waiting.pop()):
            if imported not in found:
                found.add(imported)
                if imported.startswith("tests."):
                    waiting.append(imported)
    return found


def test_the_oracle_imports_no_code_of_the_worker_nor_of_the_world():
    found = all_imports_of(BEGIN)

    assert not [name for name in found if name.startswith(("stream_worker", "producers", "models"))]
    assert "tests.simulation.oracle.redis" in found
    assert "tests.e2e.oracle" in found


@pytest.mark.parametrize(
    "module",
    ["tests.simulation.world.process", "tests.simulation.world.redis", "tests.simulation.world.store"],
)
def test_what_it_judges_does_use_the_code_of_the_worker(module):
    assert any(name.startswith("stream_worker") for name in all_imports_of(module))
