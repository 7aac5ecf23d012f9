"""Settings of Kafka, and the client properties that are made of them."""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, SecretStr, model_validator

from stream_worker.settings.fields import Duration, SettingsGroup, setting

PROTOCOL_PROPERTIES: Final = frozenset(
    {
        "auto.commit.enable",
        "auto.offset.reset",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.partition.eof",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "partition.assignment.strategy",
        "enable.idempotence",
        "acks",
        "message.timeout.ms",
    }
)
"""librdkafka properties that the delivery protocol rests on."""


def _no_protocol_property(extra: dict[str, str]) -> dict[str, str]:
    typed = {key.replace("_", ".") for key in KafkaSettings.model_fields}
    for key in extra:
        if key in PROTOCOL_PROPERTIES:
            raise ValueError(f"must not have {key}: the guarantee rests on it; take it out")
        if key in typed:
            raise ValueError(f"must not have {key}: set kafka.{key.replace('.', '_')} instead")
    return extra


class KafkaSettings(SettingsGroup):
    """Where the mentions come from."""

    bootstrap_servers: str = setting("localhost:9092", "Brokers, host:port, comma-separated.", min_length=1)
    topic: str = setting("mentions", "The topic of the mentions.", min_length=1, max_length=249)
    group: str = setting(
        "stream-worker", "The consumer group; all workers of one system share it.", min_length=1
    )
    dead_letter_topic: str = setting(
        "mentions.dead-letters",
        "Where rejected records go; created if missing.",
        min_length=1,
        max_length=249,
    )
    start: Literal["earliest", "latest"] = setting(
        "earliest", "Where the very first start begins; afterwards the archive decides."
    )
    session_timeout: Duration = setting(
        "45s", "A worker silent for this long loses its partitions.", ge="1s", le="30m"
    )
    broker_time: Literal["require", "warn", "ignore"] = setting(
        "warn", "What to do when the topic lets producers set record times more than 5 minutes ahead."
    )
    batch_records_max: int = setting(5_000, "Records of one poll at most.", ge=1, le=20_000)
    security_protocol: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = setting(
        "plaintext", "How clients connect to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = setting(
        None, "How clients authenticate, with a sasl protocol."
    )
    sasl_username: str | None = setting(None, "User, with a sasl protocol.")
    sasl_password: SecretStr | None = setting(None, "Password, with a sasl protocol.")
    ssl_ca_location: str | None = setting(None, "File of the authorities to trust; the system's if absent.")
    ssl_certificate_location: str | None = setting(None, "File of the worker's own certificate, PEM.")
    ssl_key_location: str | None = setting(None, "File of its private key, PEM.")
    ssl_key_password: SecretStr | None = setting(None, "Password of that key.")
    extra: Annotated[dict[str, str], AfterValidator(_no_protocol_property)] = setting(
        {}, "Any other librdkafka property, but those the guarantee rests on."
    )

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Self:
        named = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
        if self.security_protocol.startswith("sasl") and None in named:
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_mechanism, _username and _password"
            )
        return self


def client_properties(kafka: KafkaSettings) -> dict[str, str]:
    """Return the librdkafka properties of any client: brokers, security and the extra ones.

    The library's own log is off: it would write to stderr, many lines a second while a broker is away. Errors
    and callbacks report the same.
    """
    typed = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "sasl.mechanism": kafka.sasl_mechanism,
        "sasl.username": kafka.sasl_username,
        "sasl.password": _revealed(kafka.sasl_password),
        "ssl.ca.location": kafka.ssl_ca_location,
        "ssl.certificate.location": kafka.ssl_certificate_location,
        "ssl.key.location": kafka.ssl_key_location,
        "ssl.key.password": _revealed(kafka.ssl_key_password),
    }
    return {
        "log_level": "0",
        **kafka.extra,
        **{key: value for key, value in typed.items() if value is not None},
    }


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
