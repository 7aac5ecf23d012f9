"""Compare what Redis holds with what the log says, cell by cell."""

from collections import Counter, defaultdict

from tests.e2e.expectation import MEASURES, Difference, counted_cells, log_late_counts
from tests.e2e.oracle import DAY_MS, HOUR_MS, MINUTE_MS

MINUTES_KEPT_MS = 2 * HOUR_MS
HISTORY_OF_MINUTES_MS = 48 * HOUR_MS
HISTORY_OF_HOURS_MS = 35 * DAY_MS
LABELS = ("neg", "neu", "pos", "uncertain", "unscored")
SHARDS = 16
WINDOWS = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "24h": 1440}


def compare_picture(expected, rows, picture):
    """All differences of cursors, closing, minutes and history."""
    cells = counted_cells(expected, rows)
    closed_ms = min(picture.closed_ms.values(), default=-1)
    yield from _cursors(expected, picture)
    yield from _closing(expected, picture, closed_ms)
    yield from _minutes(cells, log_late_counts(expected), picture, closed_ms)
    yield from _notes(picture)
    yield from _history(cells, picture, closed_ms)
    old = sum(cell["n"] for (minute_ms, *_), cell in cells.items() if minute_ms < picture.complete_from_ms)
    if picture.expired > old:  # fewer: some came before the first seal, when there was no floor
        yield Difference("mentions below the floor", "ctl", f"{old} or fewer", picture.expired)
    missing = {brand for _, _, brand in cells} - picture.brands
    if missing:
        yield Difference("admitted brands", "brands", "every brand", f"without {sorted(missing)}")


def _cursors(expected, picture):
    for partition, end in expected.ends.items():
        cursor = picture.cursors.get(partition, {})
        verdicts = expected.verdicts[partition]
        last = verdicts[-1].record.offset + 1 if verdicts else 0
        if not last <= int(cursor.get("next", -1)) <= end:
            yield Difference("cursors", f"partition {partition}", end, cursor)
        wanted = expected.watermarks[partition]
        if wanted is not None and int(cursor.get("wm", -1)) != wanted:
            yield Difference("cursors' watermark", f"partition {partition}", wanted, cursor.get("wm"))


def _closing(expected, picture, closed_ms):
    end_ms = expected.last_minute_ms() + MINUTE_MS
    if picture.sealed_ms < end_ms:
        yield Difference("all minutes are sealed", "ctl", end_ms, picture.sealed_ms)
    if closed_ms < end_ms or len(picture.closed_ms) != SHARDS:
        yield Difference("all minutes are closed", "shards", f"{SHARDS} up to {end_ms}", picture.closed_ms)
    oldest_ms = picture.sealed_ms - HISTORY_OF_HOURS_MS
    if picture.complete_from_ms > oldest_ms + HOUR_MS:
        yield Difference("the floor is below all that is kept", "ctl", oldest_ms, picture.complete_from_ms)


def _minutes(cells, log_late, picture, closed_ms):
    """Frozen and late fields together are the recount; late by the log is late in Redis."""
    kept_ms = closed_ms - MINUTES_KEPT_MS
    wanted = {cell for cell in cells if cell[0] >= kept_ms}
    for cell in sorted(wanted | picture.cells.keys()):
        found = picture.cells.get(cell, {})
        if cell[0] < kept_ms:
            yield Difference("old minutes are deleted", f"{cell}", None, found)
            continue
        both = {it: found.get(it, 0) + found.get(f"late_{it}", 0) for it in MEASURES}
        sums = {it: cells[cell][it] if cell in cells else 0 for it in MEASURES}
        for measure in MEASURES:
            if both[measure] != sums[measure]:
                told = f"{found.get(measure, 0)} + {found.get(f'late_{measure}', 0)} late"
                yield Difference(f"minutes' {measure}", f"{cell}", sums[measure], told)
        if both["n"] != sum(both[label] for label in LABELS):
            yield Difference("labels add up to n", f"{cell}", both["n"], both)
        if found.get("late_n", 0) < log_late[cell]:
            yield Difference("late is counted late", f"{cell}", f"{log_late[cell]} or more", found)


def _notes(picture):
    """What stands beside the cells of a minute: its totals, its model, its seal."""
    totals = defaultdict(Counter)
    for (minute_ms, *_), sums in picture.cells.items():
        totals[minute_ms].update(mentions=sums.get("n", 0), late_mentions=sums.get("late_n", 0))
    for minute_ms, notes in picture.notes.items():
        found = {name: int(notes.get(name, 0)) for name in ("mentions", "late_mentions")}
        if found != {name: totals[minute_ms][name] for name in found}:
            yield Difference("minutes' totals", f"{minute_ms}", dict(totals[minute_ms]), found)
        of_models = [int(it) for name, it in notes.items() if name.startswith("model:")]
        if sum(of_models) != found["mentions"] or len(of_models) > 1:
            yield Difference("minutes' models", f"{minute_ms}", found["mentions"], notes)
        sealed = bool(notes.get("mark")), notes.get("complete")
        if found["mentions"] and minute_ms < picture.sealed_ms and sealed != (True, "1"):
            yield Difference("sealed and complete", f"{minute_ms}", "a mark, complete = 1", notes)


def compare_now(expected, rows, picture):
    """The rolling windows of a brand, once all is quiet, are its last so many minutes up to the newest."""
    sums = defaultdict(Counter)
    for (minute_ms, _, brand), cell in counted_cells(expected, rows).items():
        sums[minute_ms, brand].update(cell)
    for brand in sorted(picture.brands | picture.now.keys()):
        found = picture.now.get(brand, {})
        for window, minutes in WINDOWS.items():
            end_ms = int(found.get("newest", 0)) + MINUTE_MS
            within = [
                it for at, it in sums.items() if at[1] == brand and 0 < end_ms - at[0] <= minutes * MINUTE_MS
            ]
            wanted = {name: sum(it[name] for it in within) for name in MEASURES}
            told = {name: int(found.get(f"{window}:{name}", -1)) for name in MEASURES}
            if told != wanted:
                yield Difference("rolling windows", f"{brand!r} {window}", wanted, told)


def _history(cells, picture, closed_ms):
    """Minutes for 48 hours and hours for 35 days, summed over networks; zeros need not be there."""
    minutes, hours = defaultdict(Counter), defaultdict(Counter)
    for (minute_ms, _, brand), sums in cells.items():
        minutes[minute_ms, brand].update(sums)
        hours[minute_ms - minute_ms % HOUR_MS, brand].update(sums)
    for name, kept_ms, unit_ms, wanted, found in (
        ("minutes' history", HISTORY_OF_MINUTES_MS, HOUR_MS, minutes, picture.minutes),
        ("hours' history", HISTORY_OF_HOURS_MS, DAY_MS, hours, picture.hours),
    ):
        oldest_ms = closed_ms - kept_ms + unit_ms  # a key goes as a whole: leave out the one in between
        flat = {(at, brand): sums for (_, brand), these in found.items() for at, sums in these.items()}
        for (start_ms, brand), these in found.items():
            astray = [at for at in these if not start_ms <= at < start_ms + unit_ms]
            if astray:
                yield Difference(
                    f"{name}: fields' place", f"{(start_ms, brand)}", f"within {unit_ms} ms", astray
                )
        for at in sorted(it for it in wanted.keys() | flat.keys() if it[0] >= oldest_ms):
            sums = tuple(wanted[at][it] if at in wanted else 0 for it in MEASURES)
            if flat.get(at, (0,) * len(MEASURES)) != sums:
                yield Difference(name, f"{at}", sums, flat.get(at))


def compare_frozen(snapshots, picture):
    """On-time fields of sealed minutes, as they were read during the run, never change again.

    `snapshots`: minute -> {(network, brand): {measure: int}}, of minutes sealed when they were read.
    """
    at_the_end = defaultdict(dict)
    for (minute_ms, *cell), fields in picture.cells.items():
        on_time = {name: it for name, it in fields.items() if not name.startswith("late_") and it}
        if on_time:
            at_the_end[minute_ms][tuple(cell)] = on_time
    for minute_ms, frozen in snapshots.items():
        if minute_ms not in picture.notes:
            continue  # deleted by age in the meantime
        for cell in sorted(frozen.keys() | at_the_end[minute_ms].keys()):
            before, after = frozen.get(cell), at_the_end[minute_ms].get(cell)
            if before != after:
                yield Difference("frozen fields", f"{(minute_ms, *cell)}", before, after)
