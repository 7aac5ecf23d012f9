"""One place names the format in Redis: no Lua file and no other module spells it again."""

import ast
import re
from enum import StrEnum
from importlib import resources

import pytest

from stream_worker.adapters.redis import keys
from stream_worker.adapters.redis.keys import AlertField, ChangeField, KeptMs, Key, Keys, Limit, TtlS, as_lua
from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.alerting.notification_log import key_of
from tests.checkout import CHECKOUT

LUA = sorted((resources.files("stream_worker.adapters.redis") / "lua").iterdir(), key=lambda path: path.name)
GROUPS = [group for group in vars(keys).values() if isinstance(group, type) and issubclass(group, StrEnum)]
GROUPS.remove(StrEnum)
NAMES = {member.value for group in GROUPS for member in group}
NUMBERS = {value for group in (Limit, KeptMs, TtlS) for name, value in vars(group).items() if name.isupper()}

SPEAKS_REDIS = ("adapters/redis", "api/redis_reader.py")
KEYS_PY = CHECKOUT / "stream_worker" / "adapters" / "redis" / "keys.py"
# "id" or "brands" are also arguments of scripts; "minutes" or "sealed" are also words of the API.
ORDINARY = {*AlertField, *ChangeField}
UNMISTAKABLE = {name for name in NAMES if ":" in name or "_" in name} - {"as_of_ms"}


def lua_code(path):
    """The code of a script, without its comments and its clock."""
    lines = path.read_text("utf-8").splitlines()
    code = "\n".join(line.split("--")[0] for line in lines if "'TIME'" not in line)
    return code.replace("now_us / 1000", "now_us")


def strings_of(path):
    """All texts in a module that are no docstring; of an f-string its fixed parts."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_no_lua_file_spells_a_name_or_a_number_of_the_format(path):
    code = lua_code(path)
    literals = set(re.findall(r"'([^']*)'", code))
    bare = re.sub(r"'[^']*'|\w+\[\d+\]", "", code)  # without literals and positions of a reply
    numbers = set(map(int, re.findall(r"\b\d+\b", bare)))

    assert literals & (NAMES | set(MEASURES)) == set()
    assert {literal for literal in literals if literal.startswith(tuple(Key)) and literal != ":"} == set()
    assert numbers & (NUMBERS | {len(MEASURES)}) == set()


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_every_name_that_a_lua_file_takes_from_the_tables_is_there(path):
    tables = {
        name: set(re.findall(r"(\w+) = ", fields))
        for name, fields in re.findall(r"local (\w+) = \{(.*)\}", as_lua())
    }
    taken = re.findall(r"\b([A-Z_]+)\.([A-Z_]+)\b", lua_code(path))

    assert [(table, name) for table, name in taken if name not in tables[table]] == []


def test_every_name_and_every_number_is_used():
    lua = "".join(map(lua_code, LUA))
    python = "".join(
        path.read_text("utf-8")
        for package in ("stream_worker", "bench")
        for path in (CHECKOUT / package).rglob("*.py")
    )
    unused = [
        f"{group.__name__}.{name}"
        for group in (*GROUPS, Limit, KeptMs, TtlS)
        for name in vars(group)
        if name.isupper()
        and not re.search(rf"\.{name}\b", lua)
        and f"{group.__name__}.{name}" not in python.replace("\n", "")
    ]

    assert unused == []


def test_no_other_module_spells_a_name_of_the_format():
    spelled = {}
    for path in sorted((CHECKOUT / "stream_worker").rglob("*.py")):
        name = str(path.relative_to(CHECKOUT / "stream_worker"))
        forbidden = NAMES - ORDINARY if name.startswith(SPEAKS_REDIS) else UNMISTAKABLE
        if path != KEYS_PY and (found := strings_of(path) & forbidden):
            spelled[name] = found

    assert spelled == {}


def test_keys_are_those_of_the_documentation():
    at = Keys("{sw}")

    assert at.roots("mentions.0a1b2c3d") == [
        "{sw}:ctl",
        "{sw}:cursors:mentions.0a1b2c3d",
        "{sw}:minutes",
        "{sw}:brands",
        "{sw}:networks",
    ]
    assert at.minute(60_000) == "{sw}:m:60000"
    assert at.history_of_minutes(0, "a:b") == "{sw}:hm:0:a:b"
    assert at.history_of_hours(0, "a:b") == "{sw}:hd:0:a:b"
    assert at.view("acme") == "{sw}:now:acme"
    assert at.shard(15) == "{sw}:shard:15"
    documented = (CHECKOUT / "docs" / "redis.md").read_text("utf-8")
    assert [key for key in Key if f"{{sw}}{key}" not in documented] == []


def test_an_outbox_id_begins_with_the_hash_of_its_brand():
    assert len(key_of("acme")) == Limit.BRAND_KEY_CHARS
