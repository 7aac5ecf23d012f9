"""A stage for the notifier: its world without chance, for directed histories."""

from tests.simulation.world.notifier_closer import MINUTE_MS, episode_id
from tests.simulation.world.notifier_world import NotifierWorld, Process, Profile

BRAND = "acme"


class NotifierStage:
    """One brand with the spikes that the test names; workers that close each minute."""

    def __init__(self):
        self.world = NotifierWorld(Profile(steps=0, spikes=False), seed=1)
        self.world.snapshot()
        self.workers = True

    def spike(self, *spikes):
        """The spikes of this life: [start, end) in minutes since the beginning."""
        self.world.closer.spikes[BRAND] = list(spikes)

    def notifier(self):
        process = Process(self.world, len(self.world.processes) + 1)
        self.world.processes.append(process)
        return process

    def fail(self, what, *kinds):
        self.world.planned.setdefault(what, []).extend(kinds)

    def while_frozen(self, what, story):
        """The next request of this name finds its sender asleep; meanwhile the story happens."""
        self.fail(what, "freeze_before")
        self.world.freeze = lambda process: story()

    def run(self, *processes, minutes=1.0, step_ms=6_000):
        """Let time pass: minutes are closed, notifiers turn."""
        for _ in range(max(1, int(minutes * MINUTE_MS // step_ms))):
            self.world.now_ms += step_ms
            if self.workers:
                self.world.closer.close(1_000)
            for process in processes:
                if process.runs:
                    process.turn()

    def away(self, server, minutes):
        self.world._down_until_ms[server] = self.world.now_ms + minutes * MINUTE_MS

    def snapshot(self):
        self.world.snapshot()
        return self.world._snapshots[-1]

    def go_back(self, snapshot, *spikes):
        """Redis goes back, and this time other minutes spike; its words are others, too."""
        self.world.roll_back(snapshot)
        self.world.closer.seen_as = lambda brand, number, spike: spike
        self.spike(*spikes)

    def notifications(self):
        """The ids in the brand's notification log; a repeated opening with the minute that it is for."""
        account = self.world.oracle.accounts[BRAND]
        return [_short(one["id"]) + _again(one) for one in account.notifications]

    def received(self):
        """The ids that arrived, each once, in the order they first did."""
        return [_short(name) for name in self.world.oracle.received]

    def calm(self):
        self.world.calm()


def minute(number):
    """How `notifications` and `received` name an episode that opened in this minute."""
    return episode_id(BRAND, number)[17:]


def _short(name):
    return name[17:]


def _again(notification):
    return f" for {_short(notification['again_for'])}" if notification.get("again_for") else ""
