"""What every setting is made of: its type, its default and limits as people write them, its meaning."""

import datetime as dt
from typing import Annotated, Any

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


def setting(default: Any, meaning: str, **limits: Any) -> Any:
    """Return a field with its default and limits as people write them; defaults are checked like values."""
    parsed: dict[str, Any] = {
        key: parse_duration(limit) if key in ("ge", "le") and isinstance(limit, str) else limit
        for key, limit in limits.items()
    }
    return Field(default=default, description=meaning, validate_default=True, **parsed)


class SettingsGroup(BaseModel):
    """A group of settings: frozen, and no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
