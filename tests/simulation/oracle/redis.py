"""The oracle of Redis: an account of all scripts that ran, kept from the recount, against what is stored.

The account goes back in time when Redis does. Where retention has blurred the log, Redis is believed.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from tests.simulation.oracle.damage import DamageOracle
from tests.simulation.oracle.evaluations import check_close
from tests.simulation.oracle.picture import check_history, check_log
from tests.simulation.oracle.seals import check_held, check_seal
from tests.simulation.world.scores import score_of

MINUTE_MS = 60_000
MEASURES = ("n", "neg", "neu", "pos", "uncertain", "unscored", "sum", "repeats", "voices", "neg_voices")


@dataclass(slots=True)
class Seen:
    """What Redis must hold."""

    next: dict = field(default_factory=dict)  # (log, partition) -> cursor
    alive_ms: dict = field(default_factory=dict)  # (log, partition) -> last progress, proof or pause
    jumped: list = field(default_factory=list)  # (log, partition, from, to)
    first_seen_ms: dict = field(default_factory=dict)  # (log, partition) -> first seal that knew of it
    script_ms: int = 0
    returned_ms: int = 0  # the group was away until then
    cells: dict = field(default_factory=lambda: defaultdict(dict))  # minute -> (network, brand, late) -> sums
    models: dict = field(default_factory=lambda: defaultdict(set))
    first: dict = field(default_factory=dict)  # brand -> its first on-time minute
    untold: set = field(default_factory=set)  # minutes that are in history only, and cannot be recounted
    expired: int = 0
    sealed: int | None = None
    marks: dict = field(default_factory=dict)  # minute -> mark of its seal
    complete: dict = field(default_factory=dict)
    closed: list = field(default_factory=lambda: [-1] * 16)
    fed: dict = field(default_factory=dict)  # brand -> what its detector was fed
    episodes: dict = field(default_factory=dict)
    outbox: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)  # brand -> its episode record before it was damaged


class RollingOracle:
    """Watches the scripts."""

    def __init__(self, world, oracle):
        self.world, self.oracle = world, oracle
        self.seen = Seen()
        self.damage = DamageOracle(self)
        self.marks = set()  # of all seals there ever were
        self.sealed_once = set()

    @property
    def state(self):
        return self.world.redis.state

    def clear(self):
        self.seen = Seen()

    def check(self, holds, check, *detail):
        self.world.check(holds, check, *detail)

    def bite(self, what, times=1):
        if times:
            self.world.bites[what] += times

    def script_runs(self):
        """Any script notes that the group returns after 30 s without one."""
        now_ms = self.world.now_ms + 1  # the clock of Redis moves with every script
        if self.seen.script_ms and now_ms - self.seen.script_ms > 30_000:
            self.seen.returned_ms = now_ms
            self.bite("the group returned")
        self.seen.script_ms = now_ms

    def look(self, log, name, args):
        """What is stored before a script runs: the cursor it is about, sealed, floor."""
        partition = args[0].partition if name == "apply_one" else args[0]
        row = self.state.cursors.get(log, {}).get(partition) if name in _OF_A_CURSOR else None
        ctl = self.state.ctl
        return (None if row is None else row.next), ctl.sealed or 0, ctl.floor or 0, ctl.incarnation

    # ------------------------------------------------------------ cursors

    def create_cursor(self, log, look, answer, partition, start, watermark_ms, complete_from_ms):
        if look[0] is not None:
            self.check(answer.next == look[0], "a cursor was created over another", log, partition)
            return
        group = self.state.ctl.incarnation
        self.check(group == (look[3] or log), "a cursor moves the group", log, look[3], group)
        key, recount = (log, partition), self.oracle.recount(log, partition)
        self.bite("cursor created after a loss", self.oracle.archive.end(log, partition) > recount.begins)
        self._check_boundary(log, partition, start, watermark_ms)
        for verdict in recount.between(recount.begins, start):
            held_wholly = verdict.mention and verdict.mention.minute_ms >= self.state.ctl.floor
            self.check(not held_wholly or not recount.whole, "floor below what is not counted", key, start)
        self._check_floor(watermark_ms)
        self.oracle.archive.check_lost_start(log, partition, start)
        self.seen.next[key] = start
        if self.seen.sealed is None:
            self.seen.sealed = self.state.ctl.sealed

    def advance_cursor(self, log, look, answer, partition, expected, to, watermark_ms, complete_from_ms):
        if look[0] != expected:
            self.bite("jump refused")
            now = None if answer is None else answer.next
            self.check(now == look[0], "a refused jump changes nothing", log, partition, look[0], now)
            return
        self.bite("cursor jumped")
        self.check(to > expected, "a jump goes forward", log, partition, expected, to)
        self._check_boundary(log, partition, to, watermark_ms)
        self._check_floor(watermark_ms)
        self.seen.next[log, partition] = to
        self.seen.jumped.append((log, partition, expected, to))
        self.seen.alive_ms[log, partition] = self.world.now_ms

    def _check_floor(self, watermark_ms):
        """The first minute behind all that an event time may have reached before that watermark."""
        least_ms = watermark_ms + self.world.profile.lateness_ms + 5 * MINUTE_MS
        self.check(self.state.ctl.floor > least_ms, "floor", self.state.ctl.floor, watermark_ms)

    def _check_boundary(self, log, partition, offset, watermark_ms):
        boundaries = self.oracle.archive.boundaries(log, partition)
        self.check(offset in boundaries, "a cursor stands on a boundary", log, partition, offset)
        self._check_watermark(log, partition, offset, watermark_ms)

    def _check_watermark(self, log, partition, offset, watermark_ms):
        low_ms, high_ms = self.oracle.recount(log, partition).watermarks(offset)
        self.check(
            low_ms <= watermark_ms <= high_ms,
            "watermark",
            log,
            partition,
            offset,
            watermark_ms,
            low_ms,
            high_ms,
        )

    # ------------------------------------------------------------ counting

    def apply_one(self, log, look, answer, call):
        stored, sealed, floor, _ = look
        key = log, call.partition
        self.check(stored == self.seen.next.get(key), "the stored cursor moved by itself", key, stored)
        if stored != call.expected:
            self.check(not answer.applied, "applied to another cursor", key, stored, call.expected)
            behind = stored is None or stored < call.expected
            self.bite("no cursor found" if stored is None else "redis found behind" if behind else "CAS miss")
            return
        self.check(answer.applied, "not applied to the expected cursor", key, stored)
        self.check(call.expected <= call.next <= self._log_end(key), "cursor past the log", key, call.next)
        if call.next != call.expected or call.paused or call.proof_t0_ms is not None:
            self.seen.alive_ms[key] = self.world.now_ms
        self.bite("proof of idleness", call.proof_t0_ms is not None)
        self.bite("pause of a partition that is ahead", call.paused)
        self.seen.next[key] = call.next
        self._check_watermark(
            log, call.partition, call.next, self.state.cursors[log][call.partition].watermark
        )
        if call.next > call.expected:
            self._count(key, call, sealed, floor)

    def _log_end(self, key):
        return self.oracle.recount(*key).log.end

    def _count(self, key, call, sealed, floor):
        recount, touched, blurred = self.oracle.recount(*key), set(), set()
        model = call.delta.model if call.delta is not None else ""
        verdicts = recount.between(call.expected, call.next)
        told = int(call.delta.measures[:, 0].sum()) if call.delta is not None else 0
        least = sum(verdict.mention is not None and not verdict.duplicate for verdict in verdicts)
        self.check(told >= least, "counted less than the log holds", key, call.expected, call.next)
        for verdict in verdicts:
            mention = verdict.mention
            if mention is None:
                continue
            minute = mention.minute_ms
            if minute >= floor and (recount.blurred(verdict) or not verdict.late_is_sure):
                blurred.add(minute)
                continue
            self.bite("duplicate", verdict.duplicate)
            self.bite("repeat", verdict.copy)
            if verdict.duplicate:
                continue
            if minute < floor:
                self.seen.expired += 1
                self.bite("expired")
                continue
            self.bite("late by its own watermark", verdict.late)
            self.bite("late after the seal", not verdict.late and minute < sealed)
            self.bite("late, and its minute is in history only", minute < self.state.ctl.trimmed)
            self._add(verdict, model, late=verdict.late or minute < sealed)
            touched.add(minute)
        for minute in blurred:
            self._take_over(minute)
        for minute in touched - blurred:
            self.check_minute(minute)

    def _add(self, verdict, model, *, late):
        mention = verdict.mention
        minute, brand = mention.minute_ms, self.admitted(mention.brand)
        sums = self.seen.cells[minute].setdefault((mention.network, brand, late), [0] * 10)
        label, micro = score_of(mention.text, model)
        sums[0] += 1
        sums[1 + label] += 1
        sums[6] += micro
        sums[7] += verdict.copy
        sums[8] += verdict.voice
        sums[9] += verdict.voice and label == 0
        if not late:
            self.seen.models[minute].add(model)
            self.seen.first[brand] = min(minute, self.seen.first.get(brand, minute))

    def admitted(self, brand):
        """The name a brand is counted under; which ones are refused is the register's choice."""
        self.check(len(self.state.brands) <= self.world.profile.max_brands, "too many brands admitted")
        if brand not in self.state.brands:
            self.bite("brand refused")
            return ""
        return brand

    def check_minute(self, minute):
        """Compare what is stored of a minute; a field that sums to zero may be absent."""
        if minute < self.state.ctl.trimmed:
            return
        expected = {
            f"{'late_' if late else ''}{measure}:{network}:{brand}": value
            for (network, brand, late), sums in self.seen.cells[minute].items()
            for measure, value in zip(MEASURES, sums, strict=True)
            if value
        }
        stored = self.state.minutes.get(minute)
        fields, stored_models = ({}, ()) if stored is None else (stored.fields, stored.models)
        fields = {name: value for name, value in fields.items() if value and name.count(":") > 1}
        wrong = {
            k: (expected.get(k), fields.get(k))
            for k in expected.keys() | fields.keys()
            if expected.get(k) != fields.get(k) and (minute, k.split(":", 2)[2]) not in self.damage.counts
        }
        self.check(not wrong, "window", minute, "expected and stored:", wrong)
        models = self.seen.models[minute]
        self.check(set(stored_models) == models, "models", minute, stored_models, models)

    def _take_over(self, minute):
        """Believe what is stored of a minute that cannot be recounted exactly any more."""
        cells = self.seen.cells[minute] = {}
        if minute not in self.state.minutes:
            if minute < self.state.ctl.trimmed:
                self.seen.untold.add(minute)
            return
        for name, value in self.state.minutes[minute].fields.items():
            measure, network, brand = (*name.split(":", 2), "", "")[:3]
            late, measure = measure.startswith("late_"), measure.removeprefix("late_")
            if name.count(":") > 1 and isinstance(value, int):
                cells.setdefault((network, brand, late), [0] * 10)[MEASURES.index(measure)] = value
                if not late:
                    self.seen.first[brand] = min(minute, self.seen.first.get(brand, minute))
        self.seen.models[minute] = set(self.state.minutes[minute].models)

    # ------------------------------------------------------------ sealing and judging

    def seal(self, log, look, answer, partition_count, lateness_ms, max_hold_ms, older_log):
        self.bite("partition held", len(answer.excluded))
        self._check_group(log, look[3])
        if self.state.ctl.incarnation == log:
            check_held(self, log, answer, max_hold_ms)
        if (self.state.ctl.sealed or 0) != look[1]:
            check_seal(self, log, answer, look[1], self.state.ctl.sealed)

    def _check_group(self, log, before):
        """The group goes from one log to another only forward, by a seal of the newer one."""
        after, names = self.state.ctl.incarnation, [topic.log.name for topic in self.world.broker.topics]
        if after != before:
            self.bite("the group was taken from an older log")
            forward = before in names and names.index(before) < names.index(after)
            self.check(after == log and forward, "the group goes back to an older log", before, after)

    def close(self, log, look, answer, call):
        if not answer:
            self.bite("close refused")
            return
        check_close(self, call)

    # ------------------------------------------------------------ at the end

    def waits_for(self, end_ms):
        if (self.seen.sealed or 0) < end_ms - end_ms % MINUTE_MS:
            return f"sealed {self.seen.sealed}, not {end_ms}; {self.state.cursors}; {self.state.ctl}"
        last = max(self.seen.marks, default=-MINUTE_MS)
        behind = [k for k, closed in enumerate(self.seen.closed) if closed != last + MINUTE_MS]
        return f"shards {behind} to close {last}: {self.seen.closed}" if behind and self.seen.marks else ""

    def check_all(self):
        for minute in list(self.seen.cells):
            self.check_minute(minute)
        check_log(self)
        check_history(self)


_OF_A_CURSOR = {"apply_one", "create_cursor", "advance_cursor"}
