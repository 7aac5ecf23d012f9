"""From a TOML file and the environment to settings: the only place that reads either.

Rules:
1. Environment over file over default. An empty variable counts as absent.
2. `STREAM_WORKER_<GROUP>__<KEY>_FILE` names a file that holds a secret; its last line end is cut off.
3. An unknown name is refused, in the file and in the environment, with the nearest right one.
4. Every refusal is one line: which key, from where, how to mend it. No value of a secret is in it.
5. A setting with two names is known by the first. Both in one place are refused: one would be ignored.
"""

import datetime as dt
import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias, get_args

from pydantic import SecretStr, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from stream_worker.errors import Misconfigured
from stream_worker.redaction import HIDDEN, masked, without_userinfo
from stream_worker.settings.fields import other_names
from stream_worker.settings.schema import ENV_PREFIX, Settings
from stream_worker.settings.units import format_duration, format_size

CONFIG_ENV: Final = ENV_PREFIX + "CONFIG"
_NO_SETTINGS: Final = (CONFIG_ENV, ENV_PREFIX + "TEST_")  # the file itself; addresses of servers for tests
_SECRET_BYTES_MAX = 65_536

Toml: TypeAlias = dict[str, Any]
"""A document as tomllib returns it; the settings check what is in it."""


class Leaf(NamedTuple):
    """One setting: its dotted key and its field."""

    key: str
    field: FieldInfo

    @property
    def env(self) -> str:
        """Name of its environment variable."""
        return variable(self.key)

    @property
    def other_keys(self) -> list[str]:
        """Further dotted keys of the same setting."""
        group = self.key.partition(".")[0]
        return [f"{group}.{name}" for name in other_names(self.field)]

    @property
    def is_secret(self) -> bool:
        """Whether its value must never be shown."""
        return SecretStr in (self.field.annotation, *get_args(self.field.annotation))

    @property
    def is_size(self) -> bool:
        """Whether its value is a number of bytes."""
        return self.field.annotation is int and any(
            isinstance(one, WithJsonSchema) for one in self.field.metadata
        )

    def shown(self, value: object) -> object:
        """Return a value as it may be shown: as people write it, and no secret in it."""
        match value:
            case SecretStr():
                bare = without_userinfo(value.get_secret_value())
                return bare if "://" in bare and "?" not in bare else HIDDEN
            case dt.timedelta():
                return format_duration(value)
            case int() if self.is_size:
                return format_size(value)
            case Path():
                return str(value)
            case _:
                return masked(value)


class Loaded(NamedTuple):
    """The settings and, by dotted key, where each value that is no default comes from."""

    settings: Settings
    origins: Mapping[str, str]


def leaves() -> Iterator[Leaf]:
    """Yield every setting, in the order of the tree."""
    for group, field in Settings.model_fields.items():
        for name, leaf in field.annotation.model_fields.items():  # type: ignore[union-attr]
            yield Leaf(f"{group}.{name}", leaf)


def variable(key: str) -> str:
    """Return the name of the environment variable of a dotted key."""
    return ENV_PREFIX + key.replace(".", "__").upper()


LEAVES: Final = {leaf.key: leaf for leaf in leaves()}
FIRST_KEYS: Final = {other: leaf.key for leaf in LEAVES.values() for other in leaf.other_keys}
"""Of a setting with two names: other key -> first key."""


def load(file: Path | None = None) -> Loaded:
    """Read the settings. Without a file the environment's `STREAM_WORKER_CONFIG` names one, or there is none.

    Raises Misconfigured.
    """
    if file is None and os.environ.get(CONFIG_ENV):
        file = Path(os.environ[CONFIG_ENV])
    tree = _read_toml(file) if file is not None else {}
    origins = _use_first_names(tree, file)
    _read_secret_files(tree, origins)
    origins |= _read_names()
    try:
        return Loaded(Settings(**tree), origins)
    except ValidationError as error:
        raise Misconfigured(_explain(error, origins)) from None
    except SettingsError:  # raised only where a variable must hold JSON
        raise Misconfigured(
            f'kafka.extra (environment {LEAVES["kafka.extra"].env}): is no JSON; write {{"client.id": "…"}}'
        ) from None


def _read_toml(file: Path) -> Toml:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"config file {file}: {error.strerror}; name another one with --config") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Misconfigured(f"config file {file} is no TOML: {error}") from None


def _keys(tree: Toml) -> Iterator[str]:
    for group, values in tree.items():
        if isinstance(values, dict):
            yield from (f"{group}.{name}" for name in values)
        else:
            yield group


def _use_first_names(tree: Toml, file: Path | None) -> dict[str, str]:
    """Give every setting of a file its first name; returns where each comes from."""
    origins: dict[str, str] = {}
    for key in list(_keys(tree)):
        first = FIRST_KEYS.get(key, key)
        if first not in LEAVES:
            raise Misconfigured(
                f"{key} (file {file}): no such setting; {_nearest(key, (*LEAVES, *FIRST_KEYS))}"
            )
        if first in origins:
            raise Misconfigured(f"{_two_names(first)} (file {file}): keep one of them")
        origins[first] = f"file {file}" if key == first else f"file {file}, as {key}"
        group, _, name = key.partition(".")
        tree[group][first.partition(".")[2]] = tree[group].pop(name)
    return origins


def _two_names(first: str) -> str:
    return f"{first} and {' and '.join(LEAVES[first].other_keys)} are two names of one setting"


def _read_names() -> dict[str, str]:
    """Return the origins of the settings that the environment has; refuse what only looks like one."""
    right = {leaf.env: leaf.key for leaf in LEAVES.values()}
    right |= {variable(other): key for other, key in FIRST_KEYS.items()}
    files = {leaf.env + "_FILE" for leaf in LEAVES.values() if leaf.is_secret}
    found: dict[str, str] = {}
    for name, value in os.environ.items():
        upper = name.upper()
        if not upper.startswith(ENV_PREFIX) or upper.startswith(_NO_SETTINGS) or upper in files:
            continue
        if upper not in right:
            raise Misconfigured(f"environment {name}: no such setting; {_nearest(upper, right)}")
        if not value:
            continue
        key = right[upper]
        if key in found:
            raise Misconfigured(f"{_two_names(key)} ({found[key]} and {name}): unset one of them")
        found[key] = f"environment {name}"
    return found


def _read_secret_files(tree: Toml, origins: dict[str, str]) -> None:
    for leaf in LEAVES.values():
        name = leaf.env + "_FILE"
        path = os.environ.get(name)
        if not (leaf.is_secret and path):
            continue
        if os.environ.get(leaf.env):
            raise Misconfigured(f"{leaf.key}: both {leaf.env} and {name} are set; unset one")
        try:
            content = Path(path).read_bytes()[: _SECRET_BYTES_MAX + 1]
            secret = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise Misconfigured(f"{leaf.key} (environment {name}): {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise Misconfigured(f"{leaf.key} (environment {name}): {path} is no text in UTF-8") from None
        if len(content) > _SECRET_BYTES_MAX:
            raise Misconfigured(f"{leaf.key} (environment {name}): {path} is longer than 64 KiB")
        group, _, key = leaf.key.partition(".")
        tree[group] = {**tree.get(group, {}), key: secret}
        origins[leaf.key] = f"environment {name}"


def _nearest(name: str, right: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(right), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "`stream-worker config show` lists them all"


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    first, *more = error.errors(include_url=False, include_context=False)
    key = ".".join(str(part) for part in first["loc"][:2])
    where = f" ({origins.get(key, 'default')})" if key in LEAVES else ""
    return f"{key}{where}: {_problem(first, key)}" + (f" (and {len(more)} more)" if more else "")


def _problem(error: ErrorDetails, key: str) -> str:
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    written = error["input"]
    # What stands deeper than a setting is a librdkafka property: it may be a secret.
    may_show = key in LEAVES and not LEAVES[key].is_secret and len(error["loc"]) == 2
    return f"{str(written)!r} {message}" if may_show and isinstance(written, str | int | float) else message
