"""The notifier's loop: outbox → notification log → channels, in one thread that owns all state.

Rules:
1. Sequential, and nothing has to be flushed at the end: a successor reads what is stored.
2. Several may run. A lease lets one of them work; truth never needs it.
3. A damaged field stops the alerts of its brand. While a control key is damaged, the notifier waits, as while
   Redis is away.
4. Each turn begins with a snapshot of Redis. A long turn ends early, so that what is left is decided on a
   newer one.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from stream_worker.core.alerting.delivery import DeliveryMachine
from stream_worker.core.alerting.inputs import (
    LeaseGained,
    NotificationLogsListed,
    OutboxNotRead,
    OutboxRead,
)
from stream_worker.errors import Unavailable, Unreadable
from stream_worker.notifier.dependencies import Dependencies, NotifierRecorder
from stream_worker.notifier.effects import DeliveryEffects
from stream_worker.observability.damage_log import DamageLog
from stream_worker.ports import Channel, NotificationLogs, Outbox

TURN_EVERY_S: Final = 1.0
TURN_MAX_S: Final = 5.0
LIST_EVERY_S: Final = 600.0
LEASE_MS: Final = 15_000


class Notifier:
    """One notifier process."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        logs: NotificationLogs,
        channels: Sequence[Channel],
        give_up_s: float,
        owner: str,
        recorder: NotifierRecorder,
        prefix: str = "{sw}",
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._logs, self._recorder = outbox, logs, recorder
        self._owner, self._now_s = owner, now_s
        self._machine = DeliveryMachine([channel.name for channel in channels], give_up_s=give_up_s)
        self._dependencies = Dependencies(recorder, now_s)
        self._damage_log = DamageLog(prefix, recorder)
        self._effects = DeliveryEffects(
            outbox=outbox,
            logs=logs,
            channels=channels,
            recorder=recorder,
            dependencies=self._dependencies,
            now_s=now_s,
        )
        self._leads, self._list_again_s = False, 0.0

    def run(self, stop: threading.Event) -> None:
        """Take turns until `stop` is set."""
        while not stop.is_set():
            self.turn()
            stop.wait(TURN_EVERY_S)

    def turn(self) -> None:
        """Read the outbox; then run effects until none is left, or the turn has taken too long."""
        begun_s = self._now_s()
        self._read_outbox()
        if self._leads:
            self._list_logs(begun_s)
            self._run_effects(begun_s)
        self._recorder.turned(leads=self._leads, pending=self._machine.pending)

    def _read_outbox(self) -> None:
        try:
            self._renew_lease()
            snapshot = self._outbox.read(self._machine.brands_to_read()) if self._leads else None
        except (Unavailable, Unreadable) as error:
            self._dependencies.failed("redis", error)
            snapshot = None
        else:
            self._dependencies.answered("redis")
        for damage in snapshot.damaged if snapshot is not None else ():
            self._damage_log.note(damage)
        self._machine.handle(OutboxNotRead() if snapshot is None else OutboxRead(snapshot))
        for entry in self._machine.unreadable_entries:
            self._dependencies.unreadable_entry(entry)

    def _renew_lease(self) -> None:
        leads = self._outbox.lease("notifier", self._owner, LEASE_MS)
        if leads and not self._leads:
            self._machine.handle(LeaseGained())
            self._list_again_s = 0.0
        self._leads = leads

    def _list_logs(self, now_s: float) -> None:
        """Find notifications that nobody sent: their notifier died, or their creation arrived late."""
        if now_s < self._list_again_s:
            return
        try:
            listed = NotificationLogsListed(*self._logs.list_logs())
        except Unavailable as error:
            self._dependencies.failed("archive", error)
        else:
            self._machine.handle(listed)
            self._list_again_s = now_s + LIST_EVERY_S

    def _run_effects(self, begun_s: float) -> None:
        while self._now_s() - begun_s < TURN_MAX_S:
            effect = self._machine.next_effect(self._now_s())
            if effect is None:
                return
            self._machine.handle(self._effects.run(effect))
