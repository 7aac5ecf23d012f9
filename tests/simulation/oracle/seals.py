"""What a seal must say: nothing was still to come, as far as anybody could know (docs/design.md#minutes)."""

MINUTE_MS = 60_000
SEALS_MAX = 240


def check_held(oracle, log, answer, max_hold_ms):
    """Held is who gave no sign of life for too long, and nobody else."""
    seen = oracle.seen
    for partition in range(oracle.state.ctl.partitions):
        key = log, partition
        since = seen.first_seen_ms.setdefault(key, answer.now_ms)
        silent_ms = answer.now_ms - max(since, seen.returned_ms, seen.alive_ms.get(key, 0))
        held = partition in answer.excluded
        oracle.check(held == (silent_ms > max_hold_ms), "held", key, held, silent_ms)
    known = max(number for name, number in seen.first_seen_ms if name == log)
    oracle.check(oracle.state.ctl.partitions > known, "partitions are forgotten", log, known)
    _check_progress(oracle, log, answer)


def _check_progress(oracle, log, answer):
    """What all have passed who are not held is sealed, as far as one call goes."""
    reached = [
        oracle.oracle.recount(log, partition).watermarks(cursor)[0] if cursor is not None else 0
        for partition in range(oracle.state.ctl.partitions)
        if partition not in answer.excluded
        for cursor in [oracle.seen.next.get((log, partition))]
    ]
    least_ms = min(reached, default=0)
    due_ms = min(least_ms - least_ms % MINUTE_MS, (oracle.seen.sealed or 0) + SEALS_MAX * MINUTE_MS)
    sealed_ms = oracle.state.ctl.sealed or 0
    oracle.check(
        sealed_ms >= due_ms, "what all have passed is not sealed", sealed_ms, due_ms, answer.excluded
    )


def check_seal(oracle, log, answer, before, after):
    """Sealed has moved."""
    state, seen = oracle.state, oracle.seen
    oracle.check(after > before, "sealed goes back", before, after)
    oracle.check(state.ctl.incarnation == log, "sealed by another log", log)
    oracle.check(len(answer.excluded) < state.ctl.partitions, "sealed while all are held")
    for minute in sorted(m for m in state.minutes if before <= m < after):
        _take_mark(oracle, minute)
    for minute, cells in seen.cells.items():
        on_time = before <= minute < after and any(not late for _, _, late in cells)
        oracle.check(not on_time or minute in seen.marks, "a minute with mentions is no hole", minute)
    seen.sealed = after
    sealed = [minute for minute in seen.marks if before <= minute < after]
    for partition in range(state.ctl.partitions):
        held = partition in answer.excluded
        for minute in sealed:
            passed = _has_passed(oracle, log, partition, minute + MINUTE_MS, answer.now_ms)
            what = (log, partition, minute)
            oracle.check(passed or not seen.complete[minute], "sealed as complete too early", what)
            oracle.check(passed or held, "sealed before all had passed", what)
        passed = held or _has_passed(oracle, log, partition, after, answer.now_ms)  # holes too
        oracle.check(passed, "sealed before all had passed", log, partition, after)
    if not answer.excluded:
        for minute in sealed:
            below = minute < (state.ctl.floor or 0)
            oracle.check(seen.complete[minute] or below, "sealed incomplete for no reason", minute)


def _take_mark(oracle, minute):
    stored = oracle.state.minutes[minute]
    if stored.seal_id is None:  # in a hole, with late mentions only
        return
    oracle.check(stored.seal_id not in oracle.marks, "a mark names one seal", minute)
    oracle.marks.add(stored.seal_id)
    oracle.bite("sealed again", minute in oracle.sealed_once)
    oracle.bite("sealed incomplete", not stored.complete)
    oracle.sealed_once.add(minute)
    oracle.seen.marks[minute], oracle.seen.complete[minute] = stored.seal_id, stored.complete


def _has_passed(oracle, log, partition, end_ms, now_ms):
    """By its watermark, or because nothing came before that time and the lateness were over."""
    cursor = oracle.seen.next.get((log, partition))
    if cursor is None:
        return False
    recount = oracle.oracle.recount(log, partition)
    if recount.watermarks(cursor)[1] >= end_ms:
        return True
    coming = recount.log.between(cursor, recount.log.end)
    least_ms = coming[0].appended_ms if coming else now_ms
    return least_ms >= end_ms + oracle.world.profile.lateness_ms
