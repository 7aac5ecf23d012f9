"""What goes wrong today, made up for, so that the simulator can look beyond it.

Each mend has a test in `test_unmended.py` that lives without it and is expected to fail. When what it shows
is put right, that test passes, and the mend goes.

brands  `Minutes` keeps the admitted brands while the sealed time stays the same, also over a Redis that went
        back and was sealed again to the same minute. `forget_brands` has them read each turn.
log     Redis lost or gone back: the first cursor decides which log the group is on. A request of the log that
        was deleted may come late and decide wrongly; then nobody ever seals again. `choose_log` decides anew.
skips   A skip that died before its manifest is passed over by the next skip to another offset, and stays
        without one. `finish_first` has it finished.
"""

MENDS = frozenset({"brands", "log", "skips"})


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
