"""The settings of the Kafka producer, from the command line, the environment and a file.

Rules:
1. What delivery rests on cannot be changed: idempotence, all acknowledgements, no transactions.
2. Secrets come from a file, never from a flag, where `ps` and the shell's history would show them.
3. Later wins: our defaults, the file, `--set`, `--bootstrap-servers` (or its environment variable).
"""

from collections.abc import Iterable
from pathlib import Path

from producers.errors import Unusable

BOOTSTRAP_DEFAULT = "localhost:9092"
MESSAGE_TIMEOUT_MS = 30_000
"""After so long without the broker's word a record counts as not delivered (unknown)."""
QUEUE_RECORDS_MAX = 100_000
QUEUE_KBYTES_MAX = 65_536

_DEFAULTS = {
    "client.id": "produce-mentions",
    "compression.type": "lz4",
    "linger.ms": "20",
    "message.timeout.ms": str(MESSAGE_TIMEOUT_MS),
    # The partition that a Java producer gives the same brand, so that both kinds can feed one topic.
    "partitioner": "murmur2_random",
    "queue.buffering.max.kbytes": str(QUEUE_KBYTES_MAX),
    "queue.buffering.max.messages": str(QUEUE_RECORDS_MAX),
    # librdkafka would write its own lines between ours; what went wrong comes back by call-back.
    "log_level": "0",
}
_FIXED = {"enable.idempotence": "true", "acks": "all"}
_FIXED_ALIASES = frozenset({*_FIXED, "request.required.acks", "transactional.id", "dr_cb", "dr_msg_cb"})
_ALIASES = {"delivery.timeout.ms": "message.timeout.ms", "metadata.broker.list": "bootstrap.servers"}
_SECRET_WORDS = ("password", "secret", "sasl.oauthbearer.config", "ssl.key.pem")


def producer_settings(bootstrap: str | None, pairs: Iterable[str], properties: Path | None) -> dict[str, str]:
    """Return librdkafka's properties (see the rules); raise `Unusable` on one that may not be given."""
    settings = dict(_DEFAULTS)
    if properties is not None:
        settings.update(_read_properties(properties))
    for pair in pairs:
        key, value = _split("--set", pair)
        if any(word in key for word in _SECRET_WORDS):
            raise Unusable(
                f"--set {key}: secrets never in flags; put the line into a file and use --properties"
            )
        settings[key] = value
    if bootstrap is not None:
        settings["bootstrap.servers"] = bootstrap
    settings.setdefault("bootstrap.servers", BOOTSTRAP_DEFAULT)
    if not settings["message.timeout.ms"].isdecimal() or int(settings["message.timeout.ms"]) == 0:
        raise Unusable("message.timeout.ms is a whole number of milliseconds above 0: nothing waits for ever")
    return {**settings, **_FIXED}


def _read_properties(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"{file}: properties cannot be read: {error}") from error
    lines = (line.strip() for line in text.splitlines())
    return dict(_split(str(file), line) for line in lines if line and not line.startswith(("#", "!")))


def _split(where: str, pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    key = key.strip()
    if not equals or not key:
        # The line itself is not shown: it may hold a secret.
        raise Unusable(f"{where}: a property is written key=value")
    if key in _FIXED_ALIASES:
        raise Unusable(f"{where}: {key} is fixed: delivery rests on an idempotent producer with acks=all")
    return _ALIASES.get(key, key), value.strip()
