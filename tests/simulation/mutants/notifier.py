"""Mutants of the notifier: links, adoption, withdrawal, age, receipts.

Each function returns patches; its first line says what is broken. `MUTANTS` is the list, for the catalogue.
"""

from unittest.mock import patch

import msgspec

from stream_worker.core.alerting import delivery, notification_log
from stream_worker.core.alerting.delivery import DeliveryMachine
from stream_worker.core.alerting.effects import CreateNotification, WriteReceipt
from stream_worker.core.alerting.notification_log import NotificationLog, NotifiedEpisode
from stream_worker.core.alerting.policy import BrandSnapshot
from stream_worker.core.alerting.retry_queue import BrandQueue, RetryQueue
from stream_worker.notifier.loop import Notifier
from tests.fakes.redis_outbox import MemoryOutbox
from tests.simulation.mutants.run import Ending, Mutant, ending_of
from tests.simulation.notifier_histories import profile_of
from tests.simulation.world.notifier_stage import NotifyingStage
from tests.simulation.world.notifier_world import NotifyingWorld


def live_with_notifiers(seed: int) -> Ending:
    """Live through the notifier's history of a seed."""
    return ending_of(NotifyingWorld(profile_of(seed), seed).run)


def live_through(story):
    """Return how to live through one story of the notifier's stage, whatever the seed."""

    def live(seed: int) -> Ending:
        def run():
            it = NotifyingStage()
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


def _swap(owner, name, make):
    return patch.object(owner, name, make(getattr(owner, name)))


def body_not_fixed_first():
    """What is sent is what stands in the outbox now, not what stands in the link."""

    def make(send):
        def mutated(self, operation):
            for event in self._delivery._brands[operation.key].events:
                if event.id == operation.message.id:
                    message = msgspec.structs.replace(operation.message, body=event.body)
                    operation = type(operation)(operation.key, operation.channel, message, operation.attempt)
            return send(self, operation)

        return mutated

    return [_swap(Notifier, "_send", make)]


def no_adoption():
    """An episode that opens in another minute after Redis went back is paged anew."""
    return [patch.object(NotifiedEpisode, "adoptable", lambda self, opened_ms: False)]


def adopted_whenever():
    """An episode adopts the latest alert, however long that has been over."""
    return [patch.object(NotifiedEpisode, "adoptable", lambda self, opened_ms: True)]


def no_withdrawal():
    """An alert that nothing stands for any more stays open for people."""
    return [patch.object(delivery, "withdrawal", lambda chain, view: None)]


def withdrawn_while_it_goes_on():
    """An open alert is taken back although an episode of the brand is open."""
    real = delivery.withdrawal
    return [patch.object(delivery, "withdrawal", lambda chain, view: real(chain, view._replace(record=None)))]


def no_age_check():
    """What is over and old is paged."""
    return [patch.object(BrandSnapshot, "worth_a_page", lambda self, event: True)]


def decided_while_behind():
    """Nobody waits until closes are near now."""
    return [patch.object(BrandSnapshot, "caught_up", property(lambda self: True))]


def link_after_the_send():
    """A message is sent before its link is written."""

    def make(ask_store):
        def mutated(self, operation):
            if isinstance(operation, CreateNotification) and operation.link.kind != "missed":
                for channel in self._channels.values():
                    channel.send(operation.link.message)
            return ask_store(self, operation)

        return mutated

    return [_swap(Notifier, "_ask_store", make)]


def refused_link_ignored():
    """Whose link was refused goes on as if it were there."""

    def make(ask_store):
        def mutated(self, operation):
            if isinstance(operation, CreateNotification):
                self._chains.create(operation.key, operation.link)
                return self._delivery.link_created(operation.key, operation.link)
            return ask_store(self, operation)

        return mutated

    return [_swap(Notifier, "_ask_store", make)]


def chain_not_read_again():
    """The chain is read once; what others have written since is decided without."""

    def make(step):
        def mutated(self, brand):
            if brand.chain is not None:
                brand.must_read, brand.read_for = False, brand.entries
            return step(self, brand)

        return mutated

    return [_swap(DeliveryMachine, "_with_the_store", make)]


def sent_without_fixing():
    """With the store away a message is sent without being fixed in Redis."""

    def make(without_the_store):
        def mutated(self, brand):
            operation = without_the_store(self, brand)
            if operation is not None:
                self._enqueue(brand, operation.message, None)
                brand.fixed[operation.event.id] = operation.message

        return mutated

    return [_swap(DeliveryMachine, "_without_the_store", make)]


def fixed_and_decided_again():
    """What was sent while the store was away is decided again when it is back."""

    def make(decide):
        def mutated(self, brand, chain):
            brand.fixed = {}
            return decide(self, brand, chain)

        return mutated

    return [_swap(DeliveryMachine, "_decide", make)]


def removed_whatever_it_is_now():
    """An entry leaves the outbox although it, or its brand's record, is not what was read."""

    def remove(self, event, record):
        self.state.outbox.pop(event.id, None)
        self.state.fixed.pop(event.id, None)

    return [patch.object(MemoryOutbox, "remove", remove)]


def receipt_before_the_send():
    """The receipt says that every channel has it, and none has it yet."""

    def make(with_the_store):
        def mutated(self, brand):
            for one in brand.line.waiting:
                if one.n is not None and brand.chain is not None and not brand.must_read:
                    told = notification_log.Receipt(id=one.message.id, at_ms=0, channels={})
                    return WriteReceipt(brand.key, one.n, told)
            return with_the_store(self, brand)

        return mutated

    return [_swap(DeliveryMachine, "_with_the_store", make)]


def two_ends():
    """An alert that has its end is ended again."""

    def make(add):
        def mutated(self, message):
            add(self, message)
            for alert in self.alerts:
                alert.end = None

        return mutated

    return [_swap(NotificationLog, "add", make)]


def chains_never_listed():
    """What a dead notifier linked and did not send is never looked for."""
    return [patch.object(Notifier, "_list", lambda self, now_s: None)]


def an_episode_overtakes_itself():
    """The messages of an episode do not wait for each other."""

    def make(due):
        def mutated(self, line, now_s):
            for one in reversed(line.waiting):
                alone = BrandQueue([one])
                if (found := due(self, alone, now_s)) is not None:
                    return found
            return None

        return mutated

    return [_swap(RetryQueue, "due", make)]


def adopted_body_not_rewritten():
    """The end of an episode that adopted an alert is told under its own name."""

    def told_of(alert, event):
        return notification_log.Message(
            id=event.id, kind=event.kind, brand=event.brand, episode=event.episode, body=event.body
        )

    return [patch("stream_worker.core.alerting.policy._told_of", told_of)]


MUTANTS = [
    *(
        Mutant(patches, live=live_with_notifiers)
        for patches in (
            body_not_fixed_first,
            no_adoption,
            adopted_whenever,
            no_withdrawal,
            withdrawn_while_it_goes_on,
            no_age_check,
            decided_while_behind,
            link_after_the_send,
            refused_link_ignored,
            chain_not_read_again,
            sent_without_fixing,
            receipt_before_the_send,
            two_ends,
            chains_never_listed,
            an_episode_overtakes_itself,
            adopted_body_not_rewritten,
        )
    ),
    Mutant(fixed_and_decided_again, live=live_through(_paged_without_the_store_by_one_that_died)),
    Mutant(removed_whatever_it_is_now, live=live_through(_removed_over_a_rollback)),
]
