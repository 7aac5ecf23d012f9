"""`stream-worker notify`: the notifier and all it needs, until it is stopped; and the newest messages.

It needs Redis and the store, and neither Kafka nor the model, so that it may run anywhere and more than once.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import msgspec
import structlog

from stream_worker.adapters.channels.console import Console
from stream_worker.adapters.channels.webhook import Webhook
from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.adapters.object_store.notification_log import StoredNotificationLogs
from stream_worker.adapters.redis.outbox import RedisOutbox
from stream_worker.bootstrap import open_archive_store
from stream_worker.core.archive.layout import Log
from stream_worker.errors import Unavailable
from stream_worker.notifier.loop import Notifier
from stream_worker.observability.health import Health, HealthServer
from stream_worker.observability.logs import configure
from stream_worker.observability.metrics import Metrics
from stream_worker.observability.notifier_recorder import NotifierMetrics
from stream_worker.process import owner, stop_at_signals
from stream_worker.settings.schema import Settings
from stream_worker.version import VERSION

log = structlog.get_logger()


def run_notifier(settings: Settings) -> int:
    """Run one notifier until SIGTERM or SIGINT; returns the exit code. Raises Misconfigured at the start."""
    configure(settings.log.format, settings.log.level)
    stop = stop_at_signals()
    metrics, health = Metrics(), Health(required=())
    metrics.expose_process()
    metrics.build_info.labels(VERSION).set(1)
    with ExitStack() as open_until_the_end:
        channels = open_channels(settings)
        for channel in channels:
            open_until_the_end.callback(channel.close)
        notifier = Notifier(
            outbox=open_outbox(settings),
            logs=open_notification_logs(settings),
            channels=channels,
            give_up_s=settings.notify.give_up_after.total_seconds(),
            owner=owner(),
            recorder=NotifierMetrics(metrics, health),
            prefix=settings.redis.prefix,
        )
        server = open_until_the_end.enter_context(
            HealthServer(settings.http.host, settings.http.port, health, metrics.registry)
        )
        log.info("probes opened", host=settings.http.host, port=server.port)
        log.info("notifier started", channels=[channel.name for channel in channels])
        notifier.run(stop)
        log.info("notifier stopped")
    return 0


def open_channels(settings: Settings) -> list[Console | Webhook]:
    """Open the channels that the settings name. Raises Misconfigured."""
    notify = settings.notify
    channels: list[Console | Webhook] = [Console()] if notify.console else []
    if notify.webhook_url is not None and notify.webhook_secret is not None:
        webhook = Webhook(
            notify.webhook_url.get_secret_value(),
            notify.webhook_secret.get_secret_value().split(),
            timeout_s=notify.timeout.total_seconds(),
            public_only=notify.public_only,
        )
        channels.append(webhook)
    return channels


def open_outbox(settings: Settings) -> RedisOutbox:
    """Open the notifier's side of Redis."""
    redis = settings.redis
    return RedisOutbox(
        redis.url.get_secret_value(),
        prefix=redis.prefix,
        socket_timeout_s=redis.socket_timeout.total_seconds(),
    )


def open_notification_logs(settings: Settings) -> StoredNotificationLogs:
    """Open the notification logs. Raises Misconfigured for a store that overwrites, if it answers."""
    store = open_archive_store(settings)
    try:
        ObjectArchive(store, Log("", "")).probe()
    except Unavailable as error:  # the notifier can begin without it, and creates the notifications later
        log.warning("notifier troubled", what="archive", error=str(error), repeated=0)
    return StoredNotificationLogs(store)


def newest_messages(settings: Settings, limit: int) -> list[Mapping[str, Any]]:
    """The newest messages to people, oldest first, each once. Raises Unavailable."""
    bodies = dict(open_outbox(settings).shown(limit))
    return [msgspec.json.decode(body) for body in bodies.values()]
