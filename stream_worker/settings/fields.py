"""Parts of every setting: its type, its default and limits as people write them, its meaning."""

import datetime as dt
from typing import Annotated, Any, NamedTuple, TypedDict, Unpack

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

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


class AlsoNamed(NamedTuple):
    """Marks a setting that has a second name within its group; a file or the environment may use either."""

    name: str


class FieldLimits(TypedDict, total=False):
    """The least and the most of a setting, a duration as text; of a text its pattern and its length."""

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

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe a setting under its second name, too: an editor knows what a file may use."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, field in cls.model_fields.items():
            for other_name in other_names(field):
                properties[other_name] = properties[name]
        return schema


def other_names(field: FieldInfo) -> list[str]:
    """Return the further names of a setting within its group."""
    return [mark.name for mark in field.metadata if isinstance(mark, AlsoNamed)]
