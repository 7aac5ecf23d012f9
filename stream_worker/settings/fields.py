"""What every setting is made of: its type, its default and limits as people write them, its meaning."""

import datetime as dt
from typing import Annotated, Any, TypedDict, Unpack

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from stream_worker.settings.units import DURATION_PATTERN, SIZE_PATTERN, parse_duration, parse_size

Duration = Annotated[
    dt.timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["200ms", "30s", "5m"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": SIZE_PATTERN, "examples": ["64KiB", "16MiB"]}),
]


class FieldLimits(TypedDict, total=False):
    """FieldLimits of a setting: the least and the most, a duration as text; of a text its pattern and length."""

    ge: str | float
    le: str | float
    pattern: str
    min_length: int
    max_length: int


def setting(default: object, meaning: str, **limits: Unpack[FieldLimits]) -> Any:
    """Return a field with its default and limits as people write them; defaults are checked like values.

    Typed Any, as pydantic's own Field: the default is the text from which the setting's type is parsed.
    """
    return Field(
        default=default,
        description=meaning,
        validate_default=True,
        ge=_parsed(limits.get("ge")),
        le=_parsed(limits.get("le")),
        pattern=limits.get("pattern"),
        min_length=limits.get("min_length"),
        max_length=limits.get("max_length"),
    )


def _parsed(limit: str | float | None) -> dt.timedelta | float | None:
    return parse_duration(limit) if isinstance(limit, str) else limit


class SettingsGroup(BaseModel):
    """A group of settings: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
