"""At the end: the whole picture against the whole log, and history against the windows."""

from collections import defaultdict

COUNTS = {"n": 0, "repeats": 7, "voices": 8}  # measures that need no model: their places in a tally


def check_log(oracle):
    """Every minute that Redis claims to hold wholly equals the log's counted mentions."""
    expected, blurred = defaultdict(lambda: [0, 0, 0]), set()
    for (log, partition), cursor in oracle.seen.next.items():
        recount = oracle.oracle.recount(log, partition)
        jumped = [it[2:] for it in oracle.seen.jumped if it[:2] == (log, partition)]
        for verdict in recount.between(recount.begins, cursor):
            if verdict.mention is not None:
                _expect(oracle, verdict, expected)
                gone = any(low <= verdict.offset < high for low, high in [*jumped, *recount.absent])
                if gone or recount.blurred(verdict):
                    blurred.add(verdict.mention.minute_ms)
    found = defaultdict(lambda: [0, 0, 0])
    for minute, cells in oracle.seen.cells.items():
        for (network, brand, _), sums in cells.items():
            cell = found[minute, network, brand]
            for i, measure in enumerate(COUNTS.values()):
                cell[i] += sums[measure]
    for cell in expected.keys() | found.keys():
        if cell[0] >= (oracle.state.ctl.floor or 0) and cell[0] not in blurred:
            same = expected[cell] == found[cell]
            oracle.check(same, "a window is not the log", cell, expected[cell], found[cell])


def _expect(oracle, verdict, expected):
    mention = verdict.mention
    if not verdict.duplicate:
        cell = expected[mention.minute_ms, mention.network, oracle.admitted(mention.brand)]
        for i, value in enumerate((1, verdict.copy, verdict.voice)):
            cell[i] += value


def check_history(oracle):
    """Closed minutes in history are the sums over networks, on-time and late together."""
    for minute in oracle.seen.marks.keys() - oracle.seen.untold:
        sums = defaultdict(lambda: [0] * 10)
        for (_, brand, _), cell in oracle.seen.cells.get(minute, {}).items():
            for i, value in enumerate(cell):
                sums[brand][i] += value
        for brand, expected in sums.items():
            if (minute, brand) in oracle.damage.history | oracle.damage.counts:
                continue
            stored = oracle.state.by_minute.get(brand, {}).get(minute)
            oracle.check(list(stored or ()) == expected, "history", minute, brand, stored, expected)
