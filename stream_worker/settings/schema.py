"""Every setting: one frozen tree, one group per adapter, with its default, its limits and its meaning.

Rules:
1. This file and kafka.py are the only list. config/default.toml, docs/configuration.md and the JSON
   Schema are made from it; a test fails when they differ.
2. Environment over file over default; see loader.py, the only place that reads either.
3. The defaults run against localhost. A secret is a type, so that nothing prints it by accident.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from stream_worker.core.detection.sensitivity import DEFAULT, OPEN_SCORES
from stream_worker.settings.fields import AlsoNamed, Duration, SettingsGroup, Size, other_names, setting
from stream_worker.settings.kafka import KafkaSettings

ENV_PREFIX: Final = "STREAM_WORKER_"


def _known(sensitivity: float) -> float:
    if sensitivity not in OPEN_SCORES:
        raise ValueError(f"must be one of {', '.join(f'{one:g}' for one in OPEN_SCORES)}")
    return sensitivity


Sensitivity = Annotated[float, AfterValidator(_known)]


def _absolute(url: str) -> str:
    scheme, rest = urlsplit(url).scheme, url.removeprefix("file://")
    if scheme not in ("file", "s3", "memory"):
        raise ValueError("is no address of a store: write file:///folder, s3://bucket/prefix or memory:///")
    if scheme != "file" or rest.startswith("/"):
        return url
    return Path(rest).absolute().resolve().as_uri()


class RedisSettings(SettingsGroup):
    """Counts, the rolling view, and their cursors."""

    url: SecretStr = setting("redis://localhost:6379/0", "redis://, rediss:// or unix:// address.")
    prefix: str = setting(
        "{sw}", "Begins every key; the part in braces keeps all keys in one slot.", pattern=r"\{[^{}]+\}"
    )
    socket_timeout: Duration = setting("5s", "The longest wait for a reply.", ge="100ms", le="1m")
    max_brands: int = setting(
        10_000, "Brands counted apart; further ones are counted together.", ge=1, le=100_000
    )


class ArchiveSettings(SettingsGroup):
    """Every scored mention, as Parquet, in a folder or a bucket."""

    url: Annotated[str, AfterValidator(_absolute)] = setting(
        "file://./data/archive", "file:///folder, s3://bucket/prefix or memory:/// (lost at the end)."
    )
    endpoint: str | None = setting(None, "Address of an S3 service other than Amazon's.")
    access_key_id: str | None = setting(None, "S3 key; without it the usual places are asked.")
    secret_access_key: SecretStr | None = setting(None, "S3 secret.")
    region: str | None = setting(None, "S3 region.")
    allow_http: bool = setting(default=False, meaning="Allow an endpoint without TLS.")
    rows_max: int = setting(50_000, "A chunk ends after this many rows.", ge=1, le=1_000_000)
    bytes_max: Size = setting("16MiB", "… or this many bytes of record values.", ge=1024, le=1024**3)
    seconds_max: float = setting(60.0, "… or this many seconds after its first row.", ge=0.1, le=3_600)
    span_max: int = setting(100_000, "… and at this many offsets in any case.", ge=1, le=10_000_000)
    memory_max: Size = setting(
        "256MiB", "Rows kept in memory while the store is away; past it they are read again.", ge=1024**2
    )

    @model_validator(mode="after")
    def _keys_are_a_pair(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together: set both or neither")
        return self


class WindowSettings(SettingsGroup):
    """Time: what is late, what is a duplicate, and how long minutes wait for an idle partition.

    The first five stand in every plan of the archive, since verdicts depend on them.
    """

    lateness: Duration = setting("30s", "A window stays open this long for stragglers.", ge="0s", le="1h")
    horizon_records: int = setting(
        50_000, "Copies are recognised at most this many offsets back …", ge=1, le=1_000_000
    )
    horizon: Duration = setting("60m", "… and at most this much record time back.", ge="1m", le="24h")
    future: Duration = setting(
        "5m", "An event time further ahead of its record time is rejected.", ge="0s", le="24h"
    )
    value_bytes_max: Size = setting("1MiB", "A larger record value is rejected.", ge=1024, le=64 * 1024**2)
    max_hold: Annotated[Duration, AlsoNamed("idleness_timeout")] = setting(
        "2m",
        "Minutes wait this long for a partition without progress or proof of idleness.",
        ge="5s",
        le="1h",
    )
    alignment: Duration = setting(
        "10m", "A partition this far ahead of the slowest one is paused.", ge="1m", le="24h"
    )


class AlertSettings(SettingsGroup):
    """How sensitive alerts are, in false alerts per brand and week: 1, 0.5, 0.25 or 0.1."""

    sensitivity: Sensitivity = setting(
        DEFAULT, "False alerts per brand and week: 1, 0.5, 0.25 or 0.1. Fewer come later and miss more."
    )
    brands: dict[str, Sensitivity] = setting({}, "Brands that differ, each with its own.")

    def of(self, brand: str) -> float:
        """Return the sensitivity of a brand."""
        return self.brands.get(brand, self.sensitivity)


class ModelSettings(SettingsGroup):
    """Which model scores."""

    scorer: Literal["model", "none"] = setting("model", "`none` leaves every mention unscored.")
    path: Path | None = setting(None, "The artefact, a .joblib; the shipped one if absent.")
    pin: str | None = setting(
        None, "SHA-256 the artefact must have; needed with a path.", pattern=r"^[0-9a-fA-F]{64}$"
    )


class NotifySettings(SettingsGroup):
    """Where alerts are sent, and for how long delivery is tried."""

    webhook_url: SecretStr | None = setting(None, "Where messages are posted, http:// or https://.")
    webhook_secret: SecretStr | None = setting(
        None, "Signs them: whsec_ and base64. Two, with a space between, while a receiver changes over."
    )
    public_only: bool = setting(
        default=False,
        meaning="Post by https only, and only to public addresses, checked after the name is resolved.",
    )
    console: bool = setting(default=True, meaning="Print each message to standard output, one JSON a line.")
    timeout: Duration = setting("10s", "The longest wait for a receiver.", ge="100ms", le="1m")
    give_up_after: Duration = setting(
        "24h",
        "A message that its receiver did not take for this long is given up, on the record.",
        ge="1m",
        le="7d",
    )

    @model_validator(mode="after")
    def _nothing_goes_out_unsigned(self) -> Self:
        if (self.webhook_url is None) != (self.webhook_secret is None):
            raise ValueError("webhook_url and webhook_secret go together: set both or neither")
        return self


class HttpSettings(SettingsGroup):
    """Probes and metrics."""

    host: str = setting("127.0.0.1", "Address to listen at; 0.0.0.0 for all, in a container.", min_length=1)
    port: int = setting(8081, "Port of /livez, /readyz and /metrics; 0 takes any free one.", ge=0, le=65_535)


class ApiSettings(SettingsGroup):
    """REST, live feed and page: `stream-worker serve`."""

    host: str = setting("127.0.0.1", "Address to listen at; it has no log-in of its own.", min_length=1)
    port: int = setting(8080, "Port of page and API; 0 takes any free one.", ge=0, le=65_535)
    hosts: str = setting(
        "", "Host names it answers to besides localhost, comma-separated; needed behind a proxy on loopback."
    )
    clients_max: int = setting(100, "Live feeds at once; further ones must wait.", ge=1, le=10_000)


class LogSettings(SettingsGroup):
    """Logs, on stderr."""

    format: Literal["auto", "json", "console"] = setting(
        "auto", "`auto`: for people at a terminal, JSON elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = setting("info", "The lowest level that is logged.")


class Settings(BaseSettings):
    """All settings of a worker."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        title="Settings of stream_worker",
    )

    kafka: KafkaSettings = Field(default_factory=KafkaSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    archive: ArchiveSettings = Field(default_factory=ArchiveSettings)
    windows: WindowSettings = Field(default_factory=WindowSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    http: HttpSettings = Field(default_factory=HttpSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over what was read from files, which loader.py passes in."""
        assert isinstance(env_settings, EnvSettingsSource)
        env_settings.env_vars = {
            FIRST_VARIABLES.get(name, name): value
            for name, value in env_settings.env_vars.items()
            if not name.endswith("_file")
        }
        return env_settings, init_settings


def _first_variables() -> Iterator[tuple[str, str]]:
    for group, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        assert issubclass(field.annotation, SettingsGroup)
        for name, leaf in field.annotation.model_fields.items():
            for other_name in other_names(leaf):
                yield _variable(group, other_name), _variable(group, name)


def _variable(group: str, name: str) -> str:
    return f"{ENV_PREFIX}{group}__{name}".lower()  # as the library knows them


FIRST_VARIABLES: Final = dict(_first_variables())
"""Of a setting with two names: its variable under the other name -> under the first, in lower case."""
