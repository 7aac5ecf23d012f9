"""What must be in the archive and in Redis, by the rules and brute force, and whether it is."""

from collections import defaultdict

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.records.batch import Records
from stream_worker.core.records.decode import decode
from stream_worker.core.records.dedup import text_key_bytes
from stream_worker.core.records.watermark import late, watermarks_ms, window_starts_ms
from tests.builders import score


def rows_of(columns, flags, scores):
    """What the archive keeps of each row, as tuples that begin with the offset."""
    minutes = window_starts_ms(columns.event_times_ms).tolist()
    flag_columns = (flags.duplicate, flags.copy, flags.voice, flags.late)
    return list(
        zip(
            columns.offsets.tolist(),
            *map(_plain, (columns.ids, columns.brands, columns.networks)),
            minutes,
            *(flag.tolist() for flag in flag_columns),
            scores.label.tolist(),
            scores.sentiment_micro.tolist(),
            strict=True,
        )
    )


def _plain(texts):
    """A list, of one or of what is packed for the archive."""
    return texts if isinstance(texts, list) else texts.to_pylist()


def expected_rows(log, limits):
    """Rows, rejected offsets and (offset, watermark before it) of a whole log, by the rules and brute force.

    The last watermark is that behind the log.
    """
    records = Records(*map(list, zip(*log, strict=True))) if log else Records([], [], [])
    columns, rejected = decode(records, limits)
    before_ms, after_ms = watermarks_ms(columns, 0, limits.lateness_ms)
    is_late, minutes = late(columns, before_ms).tolist(), window_starts_ms(columns.event_times_ms).tolist()
    scores, rows = score(columns.texts), []
    times_ms, offsets = columns.record_times_ms.tolist(), columns.offsets.tolist()
    for i, offset in enumerate(offsets):
        earlier = [
            j
            for j in range(i)
            if offset - offsets[j] <= limits.dedup_window_offsets
            and times_ms[i] - times_ms[j] <= limits.dedup_window_ms
            and columns.brands[j] == columns.brands[i]
        ]
        identity, text = (columns.networks[i], columns.ids[i]), _key(columns, i)
        duplicate = any((columns.networks[j], columns.ids[j]) == identity for j in earlier)
        copy = any(_key(columns, j) == text for j in earlier)
        said = sum(
            columns.authors[i] is not None and columns.authors[j] == columns.authors[i] for j in earlier
        )
        rows.append(
            (
                offset,
                columns.ids[i],
                columns.brands[i],
                columns.networks[i],
                minutes[i],
                duplicate,
                copy,
                not copy and said < 3,
                is_late[i],
                int(scores.label[i]),
                int(scores.sentiment_micro[i]),
            )
        )
    watermarks = [*zip(offsets, before_ms.tolist(), strict=True), (2**63, after_ms)]
    return rows, [letter.offset for letter in rejected], watermarks


def _key(columns, row):
    return text_key_bytes(columns.brands[row], columns.texts[row])


def cells_of_rows(rows, complete_from_ms=0):
    """Ten sums per (minute, network, brand), on-time and late together, of minutes from the floor on."""
    cells = defaultdict(lambda: [0] * len(MEASURES))
    for _, _, brand, network, minute, duplicate, copy, voice, _, label, micro in rows:
        if duplicate or minute < complete_from_ms:
            continue
        values = [1, *(label == k for k in range(5)), micro, copy, voice, voice and label == 0]
        cell = cells[minute, network, brand]
        for position, value in enumerate(values):
            cell[position] += value
    return dict(cells)


def cells_of_state(state, complete_from_ms=0):
    """The same of what Redis holds."""
    cells = defaultdict(lambda: [0] * len(MEASURES))
    for minute, held in state.minutes.items():
        for name, value in held.fields.items():
            measure, _, rest = name.removeprefix("late_").partition(":")
            if measure in MEASURES and rest and minute >= complete_from_ms:
                network, _, brand = rest.partition(":")
                cells[minute, network, brand][MEASURES.index(measure)] += value
    return dict(cells)


def check_exact(world):
    """Every record is in exactly one place, in the store and in Redis alike, and plans chain."""
    store, complete_from_ms = world.store, world.state.ctl.floor or 0
    assert store.differences == []
    everything = []
    for partition in range(world.topic.partitions):
        rows, rejected, watermarks = expected_rows(world.log[partition], world.limits)
        everything += rows
        kept = [row for key, chunk in sorted(store.rows.items()) if key[0] == partition for row in chunk]
        assert kept == rows
        assert sorted(offset for p, offset in store.letters if p == partition) == rejected
        plans = store.chain(partition)
        assert [plan.start for plan in plans] == [0, *(plan.end for plan in plans)][: len(plans)]
        for plan in plans:
            outcomes = store.manifests[partition, plan.start, plan.end].outcomes
            counts = {name: getattr(outcomes, name) for name in outcomes.__struct_fields__}
            assert sum(counts.values()) == plan.end - plan.start
            inside = [row for row in rows if plan.start <= row[0] < plan.end]
            assert counts["duplicate"] == sum(row[5] for row in inside)
            assert counts["counted"] == len(inside) - counts["duplicate"]
            assert counts["lost"] == 0
            ends = (plan.watermark_start, plan.watermark_end)
            assert ends == (_watermark_at(watermarks, plan.start), _watermark_at(watermarks, plan.end))
        log_end = world.topic.position(partition).log_end
        assert world.cursor(partition) == (log_end, watermarks[-1][1])
        assert not plans or plans[-1].end == log_end
    assert cells_of_state(world.state, complete_from_ms) == cells_of_rows(everything, complete_from_ms)


def _watermark_at(watermarks, offset):
    return next(watermark_ms for at, watermark_ms in watermarks if at >= offset)
