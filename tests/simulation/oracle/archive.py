"""The oracle of the store: every object as it is created, and the whole chain at the end."""

import json
import re
from bisect import bisect_right
from zlib import crc32

HOUR_MS = 3_600_000
_PLAN = re.compile(r"_plans/([^/]+)/(\d+)/(\d{20})\.json")
_MANIFEST = re.compile(r"_manifests/([^/]+)/(\d+)/(\d{20})-(\d{20})\.json")
_ROWS = re.compile(r"dt=[\d-]{10}/hour=\d\d/(.+)\+(\d+)\+(\d{20})-(\d{20})\.parquet")


class ArchiveOracle:
    """Watches the store, the letters and the commits."""

    def __init__(self, world, oracle):
        self._world, self._oracle = world, oracle
        self._plans = {}  # (log, partition) -> plans in order, as plain dictionaries
        self._done = {}  # (log, partition, start) -> manifest

    def check(self, holds, check, *detail):
        self._world.check(holds, check, *detail)

    def boundaries(self, log, partition):
        """Where a cursor may stand: at the log's first offset, and at both ends of every plan."""
        plans = self._plans.get((log, partition), ())
        begins = self._oracle.recount(log, partition).begins
        return {begins, *(plan["start"] for plan in plans), *(plan["end"] for plan in plans)}

    def check_lost_start(self, log, partition, start):
        """A new cursor stands at the last boundary that is a day older than the chain, or before it."""
        plans = self._plans.get((log, partition), ())
        if not plans or not self._oracle.recount(log, partition).whole:
            return
        newest_ms = plans[-1]["watermark_end"] - self._world.profile.day_ms
        old = [plan["start"] for plan in plans if plan["watermark_start"] <= newest_ms]
        latest = max(old, default=plans[0]["start"])
        self.check(start <= latest, "counted again from too late", log, partition, start, latest)

    def end(self, log, partition):
        """Where the finished part of a chain ends."""
        plans = self._plans.get((log, partition))
        if not plans:
            return self._oracle.recount(log, partition).begins
        last = plans[-1]
        return last["end"] if (log, partition, last["start"]) in self._done else last["start"]

    # ------------------------------------------------------------ each object

    def check_new(self, name, body):
        """An object is about to be created."""
        if found := _PLAN.fullmatch(name):
            self._new_plan(found[1], int(found[2]), int(found[3]), json.loads(body))
        elif found := _MANIFEST.fullmatch(name):
            self._new_manifest(found[1], *map(int, found.groups()[1:]), json.loads(body))
        elif found := _ROWS.fullmatch(name):
            self._new_rows(found[1], *map(int, found.groups()[1:]), body)
        else:
            self.check(name.endswith("/head.json"), "an object of no kind", name)

    def check_refused(self, name, body, there):
        """An object was there already."""
        if body == there:
            self._world.bites["object was there"] += 1
        elif _PLAN.fullmatch(name):
            self._world.bites["adopted plan"] += 1
        elif found := _ROWS.fullmatch(name):
            recount = self._oracle.recount(found[1], int(found[2]))
            same = [_flags(row) for row in body] == [_flags(row) for row in there]
            self.check(same or not recount.whole, "rows differ by who writes them", name)
            self._world.bites["rows of another model"] += 1
        elif _MANIFEST.fullmatch(name):
            self._world.bites["manifest of another view"] += 1
            recount = self._oracle.recount(*_log_of(name))
            self.check(not recount.whole, "manifests differ by who writes them", name, body, there)
        else:
            self._world.bites["adopted head"] += 1

    def _new_plan(self, log, partition, start, plan):
        key, recount = (log, partition), self._oracle.recount(log, partition)
        self.check(start == plan["start"] < plan["end"] <= recount.log.end, "plan", key, plan)
        self.check(start == self.end(*key), "a plan begins where the finished chain ends", key, plan)
        plans = self._plans.setdefault(key, [])
        unfinished = plans and (*key, plans[-1]["start"]) not in self._done
        self.check(not unfinished, "a plan before the last manifest", key, plan)
        if plan["kind"] == "skipped":
            recount.left_out(start, plan["end"])
        longest = self._world.profile.span_max
        gap = plan["end"] <= recount.log.start
        gap = gap or plan["kind"] == "skipped"
        self.check(gap or plan["end"] - start <= longest, "a plan is too long", key, plan)
        for side in ("start", "end"):
            low_ms, high_ms = recount.watermarks(plan[side])
            self.check(
                low_ms <= plan[f"watermark_{side}"] <= high_ms,
                "plan's watermark",
                key,
                side,
                plan,
                low_ms,
                high_ms,
            )
        plans.append(plan)

    def _new_rows(self, log, partition, start, end, rows):
        recount = self._oracle.recount(log, partition)
        self.check(self._planned(log, partition, start) == end, "rows without their plan", log, start, end)
        hours = {row.event_time_ms // HOUR_MS for row in rows}
        self.check(len(hours) == 1, "rows of one hour", hours)
        expected = [
            verdict
            for verdict in recount.between(start, end)
            if verdict.mention and verdict.mention.event_time_ms // HOUR_MS in hours
        ]
        stored = {row.offset: row for row in rows}
        self.check(len(stored) == len(rows), "rows twice", log, partition, start)
        for verdict in expected:
            row = stored.pop(verdict.offset, None)
            if row is None:
                self.check(
                    verdict.offset < recount.log.start, "row is missing", log, partition, verdict.offset
                )
            else:
                self._check_row(recount, verdict, row)
        self.check(not stored, "rows that the log does not hold", log, partition, stored)

    def _check_row(self, recount, verdict, row):
        mention = verdict.mention
        told = (
            mention.id,
            mention.brand,
            mention.network,
            mention.author,
            mention.text,
            mention.event_time_ms,
        )
        stored = (row.id, row.brand, row.network, row.author, row.text, row.event_time_ms)
        self.check(told == stored, "row", row, verdict)
        self.check(row.record_time_ms == verdict.record.record_time_ms, "record time of a row", row)
        flags = (verdict.duplicate, verdict.copy, verdict.voice)
        if recount.blurred(verdict):
            self.check(row.duplicate <= verdict.duplicate and row.copy <= verdict.copy, "flags", row, verdict)
        else:
            self.check((row.duplicate, row.copy, row.voice) == flags, "flags", row, verdict)
        if verdict.late_is_sure:
            self.check(row.late == verdict.late, "late", row, verdict)

    def _new_manifest(self, log, partition, start, end, manifest):
        key = log, partition, start
        self.check(self._planned(*key) == end, "manifest without its plan", key, end)
        outcomes = manifest["outcomes"]
        self.check(sum(outcomes.values()) == end - start, "outcomes sum to the range", key, end, outcomes)
        rows = self._rows_of(manifest)
        duplicates = sum(row.duplicate for row in rows)
        counts = len(rows) - duplicates, duplicates
        told = outcomes.get("counted", 0), outcomes.get("duplicate", 0)
        recount = self._oracle.recount(log, partition)
        same = counts == told or (not recount.whole and sum(counts) == sum(told))
        self.check(same, "outcomes are not the rows", key, counts, told)
        late = sum(row.late for row in rows)
        self.check(manifest["late"] == late or not recount.whole, "late rows", key, late, manifest["late"])
        letters = self._world.broker.letters
        rejected = [v for v in recount.between(start, end) if v.mention is None]
        sent = [v for v in rejected if (log, partition, v.offset) in letters]
        lost = outcomes.get("lost", 0)
        self.check(len(sent) == len(rejected) or lost, "letters before the manifest", key, rejected)
        self.check(outcomes.get("rejected", 0) == len(rejected) or lost, "rejected", key, outcomes, rejected)
        self._check_lost(recount, start, end, lost, rows)
        evaluated = {verdict.offset: verdict for verdict in recount.between(start, end)}
        exact = all(_same_flags(row, evaluated[row.offset]) for row in rows)
        self.check(exact or manifest["partial"], "flags without their horizon, and not said so", key)
        self._world.bites.update(f"rejected: {verdict.why}" for verdict in rejected)
        self._world.bites["manifest with lost offsets"] += bool(lost)
        self._world.bites["partial manifest"] += manifest["partial"]
        self._done[key] = manifest

    def _check_lost(self, recount, start, end, lost, rows):
        """Only what retention ate, or an operator skipped, may be missing."""
        self.check(not lost or self._gone(recount, start), "lost, but still in the log", start, lost)
        there = {row.offset for row in rows}
        for verdict in recount.between(start, end):
            if verdict.mention is not None and not (lost and self._gone(recount, verdict.offset)):
                self.check(verdict.offset in there, "a mention is in no row", recount.begins, verdict)

    def _gone(self, recount, offset):
        return offset < recount.log.start or self._skipped(recount, offset)

    def _skipped(self, recount, offset):
        return any(start <= offset < end for start, end in recount.absent)

    def _rows_of(self, manifest):
        rows = []
        for told in manifest["objects"]:
            body = self._world.store.objects.get(told["name"])
            self.check(body is not None, "manifest before its rows", told)
            self.check(_described(told["name"], body) == told, "described wrongly", told)
            rows += body
        return rows

    def _planned(self, log, partition, start):
        return next((p["end"] for p in self._plans.get((log, partition), ()) if p["start"] == start), None)

    def check_letter(self, log, partition, letter):
        recount = self._oracle.recount(log, partition)
        (verdict,) = recount.between(letter.offset, letter.offset + 1)
        self.check(verdict.mention is None, "a mention as dead letter", log, partition, letter)
        self.check(letter.value == verdict.record.value, "a dead letter is unchanged", log, partition, letter)

    def check_commit(self, log, partition, offset):
        starts = [plan["start"] for plan in self._plans.get((log, partition), ())]
        at = bisect_right(starts, offset - 1) - 1
        node = at >= 0 and self._planned(log, partition, starts[at]) == offset
        done = node and (log, partition, starts[at]) in self._done
        self.check(done, "a committed offset is archived", log, partition, offset)

    # ------------------------------------------------------------ at the end

    def check_chain(self, log, partition):
        """Plans chain without gap or overlap; every row object belongs to a manifest."""
        at = self._oracle.recount(log, partition).begins
        listed = set()
        for plan in self._plans.get((log, partition), ()):
            self.check(plan["start"] == at, "the chain has a gap", log, partition, at, plan)
            at = plan["end"]
            manifest = self._done.get((log, partition, plan["start"]), {"objects": []})
            listed |= {told["name"] for told in manifest["objects"]}
            if (log, partition, plan["start"]) in self._done:
                self._check_orphans(log, partition, plan, listed, lost=manifest["outcomes"].get("lost", 0))

    def _check_orphans(self, log, partition, plan, listed, lost):
        """Rows that a chunk has, its manifest names; but of a range that retention ate under way."""
        end = f"/{log}+{partition}+{plan['start']:020d}-{plan['end']:020d}.parquet"
        orphans = [name for name in self._world.store.objects if name.endswith(end) and name not in listed]
        self._world.bites["rows of a chunk that was counted as lost"] += bool(orphans)
        self.check(lost or not orphans, "rows that no manifest names", orphans)


def _described(name, body):
    """What a manifest says of an object of rows."""
    models = "+".join(sorted({row.model for row in body}))
    seal_id = f"{crc32(repr(body).encode()):08x}"
    return {"name": name, "rows": len(body), "bytes": len(body), "sha256": seal_id, "model": models}


def _flags(row):
    return row.offset, row.id, row.duplicate, row.copy, row.voice, row.late


def _same_flags(row, verdict):
    said = (verdict.duplicate, verdict.copy, verdict.voice)
    return (row.duplicate, row.copy, row.voice) == said


def _log_of(name):
    found = _MANIFEST.fullmatch(name)
    return found[1], int(found[2])
