"""From settings to adapters: the only place that knows both."""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from obstore.store import ObjectStore

from stream_worker.adapters.kafka.topic import Topic, open_admin, refuse_unfit
from stream_worker.adapters.kafka.topic import describe as describe_topic
from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.objects import Objects, open_store
from stream_worker.adapters.redis.aggregates import RedisAggregates
from stream_worker.adapters.redis.snapshot import RedisSnapshots
from stream_worker.core.aggregates.damage import Damage
from stream_worker.core.archive.layout import PROFILES, Log, parse_profiles_name
from stream_worker.core.detection import profiles
from stream_worker.core.detection.detector import Detector
from stream_worker.core.records.limits import Limits
from stream_worker.errors import Unreadable
from stream_worker.settings.kafka import client_properties
from stream_worker.settings.schema import Settings
from stream_worker.settings.units import in_ms

log = structlog.get_logger()


def limits_of(settings: Settings) -> Limits:
    """Return the limits that verdicts depend on, as they stand in every plan."""
    windows = settings.windows
    return Limits(
        dedup_window_offsets=windows.horizon_records,
        dedup_window_ms=in_ms(windows.horizon),
        lateness_ms=in_ms(windows.lateness),
        future_ms=in_ms(windows.future),
        value_bytes_max=windows.value_bytes_max,
    )


def open_archive_store(settings: Settings) -> ObjectStore:
    """Open the store of the archive."""
    archive, secret = settings.archive, settings.archive.secret_access_key
    return open_store(
        archive.url,
        endpoint=archive.endpoint,
        access_key_id=archive.access_key_id,
        secret_access_key=None if secret is None else secret.get_secret_value(),
        region=archive.region,
        allow_http=archive.allow_http,
    )


def open_archive(settings: Settings, topic: Topic) -> ObjectArchive:
    """Open the archive of a log."""
    log_of, store = Log(topic.name, topic.incarnation), open_archive_store(settings)
    return ObjectArchive(store, log_of, max_span=settings.archive.span_max)


def open_aggregates(
    settings: Settings,
    topic: Topic,
    owner: str,
    on_damage: Callable[[Damage], None] = lambda _damage: None,
) -> RedisAggregates:
    """Open the rolling picture of a log."""
    return RedisAggregates(
        settings.redis.url.get_secret_value(),
        Log(topic.name, topic.incarnation),
        prefix=settings.redis.prefix,
        max_brands=settings.redis.max_brands,
        owner=owner,
        socket_timeout_s=settings.redis.socket_timeout.total_seconds(),
        on_damage=on_damage,
    )


def open_snapshots(settings: Settings, logs: Sequence[Log]) -> RedisSnapshots:
    """Open the reader of consistent snapshots of these logs."""
    redis = settings.redis
    return RedisSnapshots(
        redis.url.get_secret_value(),
        [log.name for log in logs],
        prefix=redis.prefix,
        socket_timeout_s=redis.socket_timeout.total_seconds(),
    )


def open_profiles(
    settings: Settings, detector: Detector[Any], on_damage: Callable[[Damage], None] = lambda _damage: None
) -> dict[str, str]:
    """Read the newest profiles that `daily` left in the archive: brand -> state. Raises Unavailable.

    A profile is a help, no truth: one that is damaged is left out, and reported.
    """
    objects = Objects(open_archive_store(settings))
    names = [name for name in objects.names(PROFILES) if parse_profiles_name(name)]
    data = objects.read(max(names)) if names else None
    if data is None:
        return {}
    try:
        readable, damaged = profiles.readable(data, detector)
    except Unreadable:
        on_damage(Damage("profile", max(names)))
        return {}
    for brand in damaged:
        on_damage(Damage("profile", max(names), brand))
    return readable


def find_topic(settings: Settings) -> Topic:
    """Describe the topic, and refuse one that cannot carry the guarantee."""
    kafka = settings.kafka
    admin = open_admin(client_properties(kafka))
    topic = describe_topic(admin, kafka.topic, kafka.bootstrap_servers)
    warning = refuse_unfit(topic, in_ms(settings.windows.horizon), kafka.broker_time)
    if warning:
        log.warning("clocks trusted", why=warning)
    return topic
