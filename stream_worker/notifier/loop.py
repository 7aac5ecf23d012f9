"""The notifier's loop: outbox → chain → channels, in one thread that owns all state.

Rules:
1. Sequential, and nothing has to be flushed at the end: whoever comes next reads what is there.
2. Several may run. A lease lets one of them work; truth never needs it.
3. A look comes first in each turn; what is decided from it is decided again when the turn took long.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from stream_worker.core.alerting.delivery import DeliveryMachine
from stream_worker.core.alerting.effects import (
    CreateNotification,
    FreezeMessage,
    Operation,
    PublishAlert,
    ReadNotificationLog,
    RemoveOutboxEntry,
    SendMessage,
    WriteReceipt,
)
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.observability.logs import Repeats
from stream_worker.ports import Channel, NotificationLogs, Outbox

EACH_S: Final = 1.0
TURN_MAX_S: Final = 5.0
LIST_EACH_S: Final = 600.0
LEASE_MS: Final = 15_000

log = structlog.get_logger()


class NotifierRecorder(Protocol):
    """Facts of the loop, as they happen."""

    def turned(self, *, leads: bool, pending: int) -> None:
        """The loop turned."""

    def linked(self, kind: str) -> None:
        """A message of this kind has its link."""

    def sent(self, channel: str, outcome: str, took_s: float) -> None:
        """A channel answered."""

    def dependency(self, name: str, *, up: bool, detail: str = "") -> None:
        """A server answered, or did not."""


class Notifier:
    """One notifier process."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        chains: NotificationLogs,
        channels: Sequence[Channel],
        give_up_s: float,
        owner: str,
        recorder: NotifierRecorder,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._chains, self._recorder = outbox, chains, recorder
        self._channels = {channel.name: channel for channel in channels}
        self._delivery = DeliveryMachine(list(self._channels), give_up_s=give_up_s)
        self._owner, self._now_s = owner, now_s
        self._leads, self._list_again_s = False, 0.0
        self._repeats = Repeats(now_s=now_s)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            self.turn()
            stop.wait(EACH_S)

    def turn(self) -> None:
        """One turn of the loop: look, decide, write, send."""
        begun_s = self._now_s()
        self._look()
        if self._leads:
            self._list(begun_s)
            while self._now_s() - begun_s < TURN_MAX_S:
                operation = self._delivery.next(self._now_s())
                if operation is None or not self._perform(operation):
                    break
        self._recorder.turned(leads=self._leads, pending=self._delivery.pending)

    def _look(self) -> None:
        try:
            leads = self._outbox.lease("notifier", self._owner, LEASE_MS)
            if leads and not self._leads:
                self._delivery.forget()
                self._list_again_s = 0.0
            self._leads = leads
            look = self._outbox.look(self._delivery.brands()) if leads else None
        except Unavailable as error:
            self._say_away("redis", error)
            look = None
        else:
            self._recorder.dependency("redis", up=True)
        self._delivery.looked(look)
        for entry in self._delivery.unreadable:
            if self._repeats.kept_quiet(entry) is not None:
                log.error("outbox entry unreadable", entry=entry)

    def _list(self, now_s: float) -> None:
        """Find links that nobody sent: of a notifier that died, or whose request came late."""
        if now_s < self._list_again_s:
            return
        try:
            self._delivery.chains_are(*self._chains.lists())
        except Unavailable as error:
            self._say_away("archive", error)
        else:
            self._list_again_s = now_s + LIST_EACH_S

    def _perform(self, operation: Operation) -> bool:
        """Perform one operation; False: Redis is away, and this turn is over."""
        match operation:
            case SendMessage():
                self._send(operation)
            case FreezeMessage() | RemoveOutboxEntry() | PublishAlert():
                try:
                    self._ask_redis(operation)
                except Unavailable as error:
                    self._say_away("redis", error)
                    return False
            case _:
                try:
                    self._ask_store(operation)
                except (Unavailable, Unreadable) as error:
                    self._say_away("archive", error)
                    self._delivery.store_is_away(operation.key)
                else:
                    self._recorder.dependency("archive", up=True)
        return True

    def _ask_redis(self, operation: FreezeMessage | RemoveOutboxEntry | PublishAlert) -> None:
        match operation:
            case FreezeMessage(key, event, message):
                fixed = self._outbox.fix(event, message)
                self._delivery.fixed_is(key, event, fixed)
                log.warning("message fixed", message=message.id)
            case RemoveOutboxEntry(key, event, record):
                self._outbox.remove(event, record)
                self._delivery.removed(key, event)
            case PublishAlert(key, message):
                self._outbox.record(message)
                self._delivery.recorded(key)

    def _ask_store(self, operation: ReadNotificationLog | CreateNotification | WriteReceipt) -> None:
        match operation:
            case ReadNotificationLog(key, after):
                self._delivery.chain_is(key, *self._chains.read(key, after))
            case CreateNotification(key, link):
                if self._chains.create(key, link):
                    log.info("message linked", message=link.id, n=link.n)
                    self._recorder.linked(link.kind)
                    self._delivery.link_created(key, link)
                else:
                    self._delivery.link_refused(key)
            case WriteReceipt(key, n, receipt):
                self._chains.write_receipt(key, n, receipt)
                self._delivery.receipt_written(key, n)

    def _send(self, send: SendMessage) -> None:
        begun_s = self._now_s()
        outcome = self._channels[send.channel].send(send.message)
        now_s = self._now_s()
        self._recorder.sent(send.channel, outcome.kind, now_s - begun_s)
        if outcome.kind == "delivered":
            log.info("message delivered", message=send.message.id, channel=send.channel, attempt=send.attempt)
        else:
            log.warning(
                "delivery failed",
                message=send.message.id,
                channel=send.channel,
                attempt=send.attempt,
                kind=outcome.kind,
                why=outcome.why,
            )
        self._delivery.sent(send, outcome, now_s)

    def _say_away(self, name: str, error: Unavailable | Unreadable) -> None:
        self._recorder.dependency(name, up=False, detail=str(error))
        if (quiet := self._repeats.kept_quiet(str(error))) is not None:
            log.warning("notifier troubled", what=name, error=str(error), repeated=quiet)
