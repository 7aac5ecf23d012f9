"""What the loop does wrong today, made up for, so that the simulator can look beyond it.

Each mend has a test in `test_directed.py` that lives without it and is expected to fail. When the loop is put
right, that test passes, and the mend goes.

1. A poll is handed over after a seek of the same turn: the machine takes records, or an end, from before the
   seek, and the offsets between are never read. `MendedSource` withholds what is stale.
2. Records that a partition does not take (it waits for Redis) are thrown away without a seek back, and the
   next ones, or the end, are taken. `MendedSource` reads them again.
3. `Minutes` keeps the admitted brands while the sealed time stays the same, also over a Redis that went back
   and was sealed again to the same minute. `forget_brands` has them read each turn.
4. Redis lost or gone back: the first cursor decides which log the group is on. A request of the log that was
   deleted may come late and decide wrongly; then nobody ever seals again. `choose_log` decides anew.
5. A skip that died before its manifest is passed over by the next skip to another offset, and stays without
   one. `finish_first` has it finished.
"""

from stream_worker.core.partition import Phase
from stream_worker.ports import Poll
from tests.simulation.broker import SimulatedSource

MENDS = frozenset({"polls", "brands", "log", "skips"})


class MendedSource(SimulatedSource):
    """A source that knows where the machines stand."""

    def poll(self, timeout_s):
        self._take_back()
        before = {partition: fetch.position for partition, fetch in self.fetches.items()}
        poll = super().poll(timeout_s)
        behind = before | {partition: it.offsets[-1] + 1 for partition, it in poll.records.items()}
        records, ends = _Fresh(self.process, before, poll.records), _Fresh(self.process, behind, poll.ends)
        return Poll(poll.revoked, poll.assigned, records, ends, poll.out_of_range)

    def _take_back(self):
        """Read again what the loop threw away since the last poll."""
        for partition, held in self.process.performer.held.items():
            fetch = self.fetches.get(partition)
            if (
                held.machine.phase is Phase.READING
                and fetch
                and (fetch.position or 0) > held.machine.position
            ):
                fetch.position, fetch.end_said = held.machine.position, False


class _Fresh(dict):
    """What a poll brought, but for partitions that stand somewhere else by now."""

    def __init__(self, process, stand, found):
        super().__init__(found)
        self._process, self._stand = process, stand

    def items(self):
        held = self._process.performer.held
        for partition, it in super().items():
            if partition in held and held[partition].machine.position == self._stand.get(partition):
                yield partition, it


def forget_brands(process):
    """Have the brands read anew before the next minute is judged."""
    process.minutes._brands_at_ms = -1


def choose_log(state, topics, log):
    """Put the group on `log` if it is newer than the one that is stored."""
    names = [topic.log.name for topic in topics]
    stored = state.ctl.incarnation
    if log in state.cursors and stored in names and names.index(stored) < names.index(log):
        state.ctl.incarnation, state.ctl.partitions = log, 0


def finish_first(archive, partition, to_offset):
    """Where to skip to: a skip that was begun is finished before another one."""
    chain = archive.find_chain(partition, -1)
    begun = chain.last is not None and chain.last.kind == "skipped" and not chain.done
    return chain.last.end if begun else to_offset
