"""Mutants of the notifier: the notification log, adoption, withdrawal, age, receipts.

Each function returns patches; its first line says what is broken. `MUTANTS` is the list, for the catalogue.
"""

from dataclasses import replace
from unittest.mock import patch

import msgspec

from stream_worker.core.alerting import delivery, notification_log, policy
from stream_worker.core.alerting.delivery import DeliveryMachine
from stream_worker.core.alerting.effects import WriteReceipt
from stream_worker.core.alerting.notification_log import NotificationLog, NotifiedEpisode
from stream_worker.core.alerting.policy import BrandSnapshot
from stream_worker.core.alerting.retry_queue import BrandQueue, RetryQueue
from stream_worker.core.alerting.states import DeliveryState
from stream_worker.notifier.effects import DeliveryEffects
from stream_worker.notifier.loop import Notifier
from tests.fakes.redis_outbox import MemoryOutbox
from tests.simulation.mutants.patches import swap
from tests.simulation.mutants.run import Ending, Mutant, ending_of
from tests.simulation.notifier_histories import profile_of
from tests.simulation.world.notifier_stage import NotifierStage
from tests.simulation.world.notifier_world import NotifierWorld


def live_with_notifiers(seed: int) -> Ending:
    """Live through the notifier's history of a seed."""
    return ending_of(NotifierWorld(profile_of(seed), seed).run)


def live_through(story):
    """Return how to live through one directed history of the notifier's stage, whatever the seed."""

    def live(seed: int) -> Ending:
        def run():
            it = NotifierStage()
            with it.world.clock():
                story(it)
                it.calm()

        return ending_of(run)

    return live


def _paged_without_the_store_by_one_that_died(it):
    it.spike((5, 8))
    notifier = it.notifier()
    it.run(notifier, minutes=5)
    it.away("store", minutes=40)
    it.run(notifier, minutes=10)
    it.world.kill(notifier)
    it.run(minutes=40, step_ms=60_000)
    it.run(it.notifier(), minutes=2)


def _removed_over_a_rollback(it):
    it.spike((5, 8))
    it.run(minutes=6)
    before = it.snapshot()
    it.run(minutes=30)
    sleeper = it.notifier()
    it.while_frozen("remove", lambda: (it.go_back(before, (5, 90)), it.run(minutes=1)))
    it.run(sleeper, minutes=2)


def body_not_frozen_first():
    """The body in the outbox is sent, not the body in the notification log."""

    def make(send):
        def mutated(self, brand, now_s):
            effect = send(self, brand, now_s)
            for entry in brand.entries:
                if effect is not None and entry.id == effect.message.id:
                    message = msgspec.structs.replace(effect.message, body=entry.body)
                    return replace(effect, message=message)
            return effect

        return mutated

    return [swap(DeliveryMachine, "_send", make)]


def no_adoption():
    """An episode that opens in another minute after Redis went back is paged anew."""
    return [patch.object(NotifiedEpisode, "adoptable", lambda self, opened_ms: False)]


def adopted_whenever():
    """An episode adopts the latest alert, however long that has been over."""
    return [patch.object(NotifiedEpisode, "adoptable", lambda self, opened_ms: True)]


def no_withdrawal():
    """An alert without an episode in Redis stays open for people."""
    return [patch.object(delivery, "withdrawal", lambda log, brand: None)]


def withdrawn_while_it_goes_on():
    """An open alert is withdrawn although an episode of the brand is open."""
    real = delivery.withdrawal
    return [
        patch.object(
            delivery, "withdrawal", lambda log, brand: real(log, brand._replace(episode_record=None))
        )
    ]


def no_age_check():
    """An old episode that is over is paged."""
    return [patch.object(BrandSnapshot, "worth_a_page", lambda self, entry: True)]


def decided_while_behind():
    """Decisions do not wait until closes are near now."""
    return [patch.object(BrandSnapshot, "caught_up", property(lambda self: True))]


def created_after_the_send():
    """A message is sent before its notification is created."""

    def make(create):
        def mutated(self, effect):
            if effect.notification.kind != "missed":
                for channel in self._channels.values():
                    channel.send(effect.notification.message)
            return create(self, effect)

        return mutated

    return [swap(DeliveryEffects, "_create_notification", make)]


def refused_notification_ignored():
    """A notifier whose notification was refused goes on as if it had been created."""

    def make(create):
        def mutated(self, effect):
            return replace(create(self, effect), created=True)

        return mutated

    return [swap(DeliveryEffects, "_create_notification", make)]


def log_not_read_again():
    """The notification log is read once; later notifications of others are not known when it is decided."""

    def make(choose):
        def mutated(self, brand, now_s):
            if brand.log.last and brand.state is DeliveryState.LOG_UNKNOWN:
                brand.state = DeliveryState.LOG_KNOWN
            if brand.log.last:
                brand.read_for = brand.entry_versions
            return choose(self, brand, now_s)

        return mutated

    return [swap(DeliveryMachine, "_choose", make)]


def sent_without_freezing():
    """With the store away a message is sent without being frozen in Redis."""

    def make(choose_without_store):
        def mutated(self, brand, known):
            effect = choose_without_store(self, brand, known)
            if effect is not None:
                self._enqueue(brand, effect.message, None)
                brand.frozen[effect.entry.id] = effect.message

        return mutated

    return [swap(DeliveryMachine, "_choose_without_store", make)]


def frozen_and_decided_again():
    """A message that was sent while the store was away is decided again when it is back."""

    def make(decide):
        def mutated(self, brand, log):
            brand.frozen = {}
            return decide(self, brand, log)

        return mutated

    return [swap(DeliveryMachine, "_decide", make)]


def removed_without_comparison():
    """An entry leaves the outbox although it, or its brand's record, is not what was read."""

    def remove(self, entry, episode_record):
        self.state.outbox.pop(entry.id, None)
        self.state.fixed.pop(entry.id, None)

    return [patch.object(MemoryOutbox, "remove", remove)]


def receipt_before_the_send():
    """A message gets its receipt although no channel has it yet."""

    def make(choose_with_store):
        def mutated(self, brand):
            for one in brand.queue.queued:
                if one.n is not None:
                    receipt = notification_log.Receipt(id=one.message.id, at_ms=0, channels={})
                    return WriteReceipt(brand.key, one.n, receipt)
            return choose_with_store(self, brand)

        return mutated

    return [swap(DeliveryMachine, "_choose_with_store", make)]


def two_ends():
    """An alert that has its end is ended again."""

    def make(add):
        def mutated(self, message):
            add(self, message)
            for alert in self.alerts:
                alert.end = None

        return mutated

    return [swap(NotificationLog, "add", make)]


def logs_never_listed():
    """Nobody looks for notifications that a dead notifier created and did not send."""
    return [patch.object(Notifier, "_list_logs", lambda self, now_s: None)]


def an_episode_overtakes_itself():
    """The messages of an episode do not wait for each other."""

    def make(due):
        def mutated(self, queue, now_s):
            for one in reversed(queue.queued):
                alone = BrandQueue([one])
                if (found := due(self, alone, now_s)) is not None:
                    return found
            return None

        return mutated

    return [swap(RetryQueue, "due", make)]


def adopted_body_not_rewritten():
    """The end of an episode that adopted an alert is reported under the name of the episode."""
    return [patch.object(policy, "_message_of_alert", lambda alert, entry: policy._message(entry))]


MUTANTS = [
    *(
        Mutant(patches, live=live_with_notifiers)
        for patches in (
            body_not_frozen_first,
            no_adoption,
            adopted_whenever,
            no_withdrawal,
            withdrawn_while_it_goes_on,
            no_age_check,
            decided_while_behind,
            created_after_the_send,
            refused_notification_ignored,
            log_not_read_again,
            sent_without_freezing,
            receipt_before_the_send,
            two_ends,
            logs_never_listed,
            an_episode_overtakes_itself,
            adopted_body_not_rewritten,
        )
    ),
    Mutant(frozen_and_decided_again, live=live_through(_paged_without_the_store_by_one_that_died)),
    Mutant(removed_without_comparison, live=live_through(_removed_over_a_rollback)),
]
