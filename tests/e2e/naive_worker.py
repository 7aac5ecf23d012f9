"""A worker as naive as can be, for the tests of the oracle: all in memory, all flags in quadratic time.

It follows the words of the contract one by one and takes nothing from the oracle but `decode`; where the two
agree, a slip would have to be made twice.
"""

import hashlib
import io
import json
import zlib
from collections import Counter, defaultdict
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from tests.e2e.expectation import MEASURES
from tests.e2e.oracle import DAY_MS, HOUR_MS, MINUTE_MS, Record, Refused, decode
from tests.e2e.stored_archive import COLUMNS, archive_of
from tests.e2e.stored_picture import Picture

TOPIC, LOG, MODEL = "mentions", "mentions.00c0ffee", "naive"


def flagged(records, limits):
    """Of each record of one partition: itself, mention or None, duplicate, repeat, voice, late, watermark."""
    decoded = [(record, _decoded(record, limits)) for record in records]
    told = []
    for index, (record, mention) in enumerate(decoded):
        before = [(other, it) for other, it in decoded[:index] if it is not None]
        times = [min(it.event_time_ms, other.record_time_ms) for other, it in before]
        watermark = max(times) - limits.lateness_ms if times else None
        if mention is None:
            told.append((record, None, False, False, False, False, watermark))
            continue
        near = [
            it
            for other, it in before
            if record.offset - other.offset <= limits.dedup_window_offsets
            and record.record_time_ms - other.record_time_ms <= limits.dedup_window_ms
        ]
        duplicate = any(
            (it.network, it.id, it.brand) == (mention.network, mention.id, mention.brand) for it in near
        )
        repeat = any(it.brand == mention.brand and _said(it.text) == _said(mention.text) for it in near)
        spoke = [it for it in near if mention.author is not None and it.author == mention.author]
        voice = not repeat and len([it for it in spoke if it.brand == mention.brand]) < 3
        late = watermark is not None and watermark >= (mention.event_time_ms // MINUTE_MS + 1) * MINUTE_MS
        told.append((record, mention, duplicate, repeat, voice, late, watermark))
    return told


def _decoded(record, limits):
    try:
        return decode(record, limits)
    except Refused:
        return None


def _said(text):
    """The words that count, read once more from docs/design.md#text-key."""
    kept = []
    for word in text.lower().split():
        if word[:4] == "http" or word[:1] == "@" or word == "rt":
            continue
        kept.append(word)
    return kept


def work(records, limits, chunk=700):
    """What must be found after the log is worked off: (files of the archive, picture, dead letters)."""
    files, letters, counted = {}, [], []
    starts = [0] * len(records)
    files[f"_plans/{LOG}/head.json"] = json.dumps({"v": 1, "policy": "earliest", "starts": starts}).encode()
    picture = Picture()
    for partition, these in records.items():
        told = flagged(these, limits)
        end = these[-1].offset + 1
        last = (
            max(min(it[1].event_time_ms, it[0].record_time_ms) for it in told if it[1]) - limits.lateness_ms
        )
        picture.cursors[partition] = {"next": str(end), "wm": str(last)}
        counted += [it for it in told if it[1] is not None and not it[2]]
        letters += [_letter(it[0]) for it in told if it[1] is None]
        for start in range(0, end, chunk):
            files |= _chunk(partition, start, min(end, start + chunk), told, last)
    _fill(picture, counted)
    return files, picture, letters


def _chunk(partition, start, end, told, last):
    inside = [it for it in told if start <= it[0].offset < end]
    after = [it for it in told if it[0].offset >= end]
    plan = {"v": 1, "kind": "data", "start": start, "end": end, "text_key": 1}
    plan |= {"watermark_start": inside[0][6] or 0, "watermark_end": after[0][6] if after else last}
    outcomes = Counter(
        "rejected" if it[1] is None else ("duplicate" if it[2] else "counted") for it in inside
    )
    hours = defaultdict(list)
    for it in inside:
        if it[1] is not None:
            hours[it[1].event_time_ms // HOUR_MS].append(_row(it))
    files, objects = {}, []
    for hour, rows in sorted(hours.items()):
        moment = datetime.fromtimestamp(hour * 3600, UTC)
        name = f"dt={moment:%Y-%m-%d}/hour={moment:%H}/{LOG}+{partition}+{start:020d}-{end:020d}.parquet"
        files[name] = body = _parquet(rows)
        digest = hashlib.sha256(body).hexdigest()
        objects.append(
            {"name": name, "rows": len(rows), "bytes": len(body), "sha256": digest, "model": MODEL}
        )
    names = ("counted", "duplicate", "rejected")
    told_outcomes = {name: outcomes[name] for name in names} | {"absent": 0, "lost": 0}
    manifest = {"v": 1, "objects": objects, "outcomes": told_outcomes, "partial": False}
    manifest["late"] = sum(it[5] for it in inside)
    files[f"_plans/{LOG}/{partition}/{start:020d}.json"] = json.dumps(plan).encode()
    files[f"_manifests/{LOG}/{partition}/{start:020d}-{end:020d}.json"] = json.dumps(manifest).encode()
    return files


def _score(text):
    """(label, sentiment_micro, p_neg, p_neu, p_pos), all from a checksum of the text."""
    label = zlib.crc32(text.encode()) % 5
    return (4, None, None, None, None) if label == 4 else (label, (label - 1) * 1000, 0.25, 0.25, 0.5)


def _row(it):
    record, mention, duplicate, repeat, voice, late, _ = it
    row = {name: getattr(mention, name, None) for name in COLUMNS}
    row |= {"topic": TOPIC, "partition": record.partition, "offset": record.offset, "schema": 1}
    row |= {"record_time": record.record_time_ms, "event_time": mention.event_time_ms, "model": MODEL}
    row |= {"duplicate": duplicate, "repeat": repeat, "voice": voice, "late": late}
    row |= {"extra": None if mention.extra is None else json.dumps(mention.extra)}
    return row | dict(
        zip(("label", "sentiment_micro", "p_neg", "p_neu", "p_pos"), _score(mention.text), strict=True)
    )


def _parquet(rows):
    arrays = [pa.array([row[name] for row in rows], kind) for name, (kind, _) in COLUMNS.items()]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, list(COLUMNS)), buffer)
    return buffer.getvalue()


def _letter(record):
    headers = {"sw-reason": "x", "sw-topic": TOPIC, "sw-partition": str(record.partition)}
    headers |= {"sw-offset": str(record.offset), "sw-record-time": str(record.record_time_ms)}
    return Record(
        0, 0, 0, record.key, record.value, tuple((name, it.encode()) for name, it in headers.items())
    )


def _fill(picture, counted):
    """Cells of all minutes, their history, and everything closed."""
    cells = defaultdict(Counter)
    for _, mention, _, repeat, voice, late, _ in counted:
        label, micro, *_ = _score(mention.text)
        add = {
            "n": 1,
            MEASURES[1 + label]: 1,
            "sum": micro or 0,
            "repeats": int(repeat),
            "voices": int(voice),
        }
        add["neg_voices"] = int(voice and label == 0)
        cells[mention.minute_ms, mention.network, mention.brand].update(
            {("late_" if late else "") + name: it for name, it in add.items()}
        )
    newest_ms = max(minute for minute, _, _ in cells) + MINUTE_MS
    history = defaultdict(Counter)
    for (minute_ms, network, brand), sums in cells.items():
        if minute_ms >= newest_ms - 2 * HOUR_MS:
            picture.cells[minute_ms, network, brand] = dict(sums)
            notes = picture.notes.setdefault(minute_ms, {"mark": "m", "complete": "1"})
            for name, total in (("n", "mentions"), ("late_n", "late_mentions"), ("n", f"model:{MODEL}")):
                notes[total] = str(int(notes.get(total, 0)) + sums[name])
        for name, it in sums.items():
            history[minute_ms, brand][name.removeprefix("late_")] += it
    hours = defaultdict(Counter)
    for (minute_ms, brand), sums in history.items():
        hours[minute_ms - minute_ms % HOUR_MS, brand].update(sums)
    for unit_ms, from_, into in ((HOUR_MS, history, picture.minutes), (DAY_MS, hours, picture.hours)):
        for (at, brand), sums in from_.items():
            into.setdefault((at - at % unit_ms, brand), {})[at] = tuple(sums[name] for name in MEASURES)
    oldest_ms = newest_ms - 35 * DAY_MS
    picture.expired = sum(it["n"] + it["late_n"] for (at, *_), it in cells.items() if at < oldest_ms)
    picture.brands = {brand for _, _, brand in cells}
    picture.sealed_ms, picture.complete_from_ms = newest_ms, oldest_ms
    picture.closed_ms = dict.fromkeys(range(16), newest_ms)


def stored(files):
    """The files as the reader of the archive hands them over."""
    return archive_of(files, LOG)
