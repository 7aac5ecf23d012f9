"""Runs the effects of the delivery machine, and returns their replies.

Rules:
1. An effect without an answer has the reply `effect.failure`: its outcome is unknown (docs/design.md#r5).
2. A failed attempt to send is an outcome like any other; the retry queue decides what follows.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

import structlog

from stream_worker.core.alerting.effects import (
    CreateNotification,
    Effect,
    FreezeMessage,
    PublishAlert,
    ReadNotificationLog,
    RedisEffect,
    RemoveOutboxEntry,
    SendMessage,
    StoreEffect,
    WriteReceipt,
)
from stream_worker.core.alerting.inputs import (
    AlertPublished,
    MessageFrozen,
    MessageSent,
    NotificationCreated,
    NotificationLogRead,
    OutboxEntryRemoved,
    ReceiptWritten,
    Reply,
)
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.notifier.dependencies import Dependencies, NotifierRecorder
from stream_worker.ports import Channel, NotificationLogs, Outbox

log = structlog.get_logger()


class DeliveryEffects:
    """The outside world of one delivery machine."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        logs: NotificationLogs,
        channels: Sequence[Channel],
        recorder: NotifierRecorder,
        dependencies: Dependencies,
        now_s: Callable[[], float],
    ) -> None:
        self._outbox, self._logs = outbox, logs
        self._channels = {channel.name: channel for channel in channels}
        self._recorder, self._dependencies, self._now_s = recorder, dependencies, now_s

    def run(self, effect: Effect) -> Reply:
        """Run an effect and return its reply. Raises nothing for what a server or a receiver may do."""
        match effect:
            case SendMessage():
                return self._send(effect)
            case FreezeMessage() | RemoveOutboxEntry() | PublishAlert():
                return self._run_on_redis(effect)
            case ReadNotificationLog() | CreateNotification() | WriteReceipt():
                return self._run_on_store(effect)
            case _:
                assert_never(effect)

    def _run_on_redis(self, effect: RedisEffect) -> Reply:
        try:
            match effect:
                case FreezeMessage():
                    return self._freeze(effect)
                case RemoveOutboxEntry():
                    return self._remove(effect)
                case PublishAlert():
                    return self._publish(effect)
                case _:
                    assert_never(effect)
        except (Unavailable, Unreadable) as error:
            self._dependencies.failed("redis", error)
            return effect.failure(effect.key)

    def _run_on_store(self, effect: StoreEffect) -> Reply:
        reply: Reply
        try:
            match effect:
                case ReadNotificationLog():
                    reply = self._read_log(effect)
                case CreateNotification():
                    reply = self._create_notification(effect)
                case WriteReceipt():
                    reply = self._write_receipt(effect)
                case _:
                    assert_never(effect)
        except (Unavailable, Unreadable) as error:
            self._dependencies.failed("archive", error)
            return effect.failure(effect.key)
        self._dependencies.answered("archive")
        return reply

    def _freeze(self, effect: FreezeMessage) -> MessageFrozen:
        frozen = self._outbox.freeze(effect.entry, effect.message)
        if frozen is not None:
            log.warning("message fixed", message=frozen.id)
        return effect.reply(effect.key, frozen)

    def _remove(self, effect: RemoveOutboxEntry) -> OutboxEntryRemoved:
        self._outbox.remove(effect.entry, effect.episode_record)
        return effect.reply(effect.key)

    def _publish(self, effect: PublishAlert) -> AlertPublished:
        self._outbox.publish(effect.message)
        return effect.reply(effect.key)

    def _read_log(self, effect: ReadNotificationLog) -> NotificationLogRead:
        return effect.reply(effect.key, *self._logs.read(effect.key, effect.after))

    def _create_notification(self, effect: CreateNotification) -> NotificationCreated:
        notification = effect.notification
        created = self._logs.create(effect.key, notification)
        if created:
            log.info("message linked", message=notification.id, n=notification.n)
            self._recorder.notification_created(notification.kind)
        return effect.reply(effect.key, created)

    def _write_receipt(self, effect: WriteReceipt) -> ReceiptWritten:
        self._logs.write_receipt(effect.key, effect.n, effect.receipt)
        return effect.reply(effect.key)

    def _send(self, effect: SendMessage) -> MessageSent:
        begun_s = self._now_s()
        outcome = self._channels[effect.channel].send(effect.message)
        now_s = self._now_s()
        self._recorder.sent(effect.channel, outcome.kind, now_s - begun_s)
        attempt = {"message": effect.message.id, "channel": effect.channel, "attempt": effect.attempt}
        if outcome.kind == "delivered":
            log.info("message delivered", **attempt)
        else:
            log.warning("delivery failed", **attempt, kind=outcome.kind, why=outcome.why)
        return effect.reply(effect.key, outcome, now_s)
