"""`stream-worker daily` on a real Redis and a folder: counts, parity, the marker, and what may be wrong."""

import csv
import json
import re

import duckdb
import pyarrow.parquet as pq
import pytest

from stream_worker.core.aggregates.measures import MEASURES
from stream_worker.core.archive.days import Day
from stream_worker.core.detection.profiles import decode
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.partition.effects import Apply
from stream_worker.core.time import DAY_MS, HOUR_MS, MINUTE_MS
from tests.builders import score
from tests.unit.daily.world import DAY, FLOOR_MS, TEN, DayWorld, minute, public

BELOW = (FLOOR_MS - DAY.start_ms) // MINUTE_MS
"""Minutes of the day that lie below the floor of Redis: everything before was nobody's business."""


@pytest.fixture
def world(redis_server, tmp_path):
    made = DayWorld(redis_server.url, tmp_path)
    yield made
    made.redis.close()


@pytest.fixture(scope="module")
def finished(redis_server, tmp_path_factory):
    """A day with mentions in two partitions, done and closed, and how to put it back to that."""
    folder = tmp_path_factory.mktemp("day")
    made = DayWorld(redis_server.url, folder)
    made.feed(*public(60))
    made.feed(*public(40, start=1000, brands=("acme", "acme", "lone")), partition=1)
    made.feed({"id": "late", "brand": "acme", "event_time": minute(-30)})
    made.finish()
    yield made, made.snapshot(folder / "kept")
    made.redis.close()


@pytest.fixture
def full(finished, tmp_path):
    """The finished day, as it was at first."""
    made, snapshot = finished
    made.restore(snapshot, tmp_path / "out")
    return made


def recount(world):
    """The same by DuckDB, from the files and the words of the contract alone."""
    files = f"{world.folder}/dt={world.day}/hour=*/*.parquet"
    query = f"""
        select brand, network, epoch_ms(event_time) // 3600000 as hour,
               count(*) filter (not duplicate) as n,
               count(*) filter (not duplicate and label = 0), count(*) filter (not duplicate and label = 1),
               count(*) filter (not duplicate and label = 2), count(*) filter (not duplicate and label = 3),
               count(*) filter (not duplicate and label = 4),
               coalesce(sum(sentiment_micro) filter (not duplicate), 0),
               count(*) filter (not duplicate and repeat), count(*) filter (not duplicate and voice),
               count(*) filter (not duplicate and voice and label = 0),
               count(*) filter (not duplicate and late), count(*) filter (duplicate)
        from read_parquet('{files}') group by all
    """
    with duckdb.connect() as db:
        return {(row[0], row[1], row[2] * 3600): row[3:] for row in db.execute(query).fetchall()}


def written(world):
    rows = pq.read_table(world.file("hours.parquet")).to_pylist()
    names = [*MEASURES, "late", "duplicates"]
    return {
        (row["brand"], row["network"], row["hour"].timestamp()): tuple(row[name] for name in names)
        for row in rows
    }


def test_a_day_is_counted_as_an_independent_reader_counts_it(full):
    code, report, _ = full.daily()

    assert code == 0
    assert written(full) == recount(full)
    assert report["rows"] == 101
    assert report["duplicates"] == 8
    assert report["late"] == 1
    assert (report["counted"], report["objects"]) == (93, 3)


def test_every_minute_of_a_finished_day_agrees_with_what_was_shown(full):
    code, report, _ = full.daily()

    assert (code, report["complete"], report["faults"]) == (0, True, [])
    assert report["parity"] == {
        "minutes": 1440,
        "agree": 155,
        "by_minute": 116,  # hashes lie two hours back from the close, the others were compared by history
        "reasons": {"below the floor": {"minutes": BELOW, "mentions": 0}},
        "unexplained": 0,
    }


def test_a_complete_day_is_marked_once_and_what_comes_later_is_said(full):
    # Given
    full.daily()
    marker = full.folder / "_days" / f"{DAY}.json"
    first = marker.read_bytes()
    assert json.loads(first) == {
        "v": 1,
        "date": str(DAY),
        "rows": 101,
        "counted": 93,
        "duplicates": 8,
        "objects": 3,
        "logs": {
            "mentions.0a1b2c3d": {
                str(partition): {"end": full.archived[partition], "watermark": full.watermark[partition]}
                for partition in (0, 1)
            }
        },
    }

    # And what the detector has learned by its end is kept for workers that begin without Redis
    profiles = full.folder / "_profiles" / f"{DAY}.json"
    learned = profiles.read_bytes()
    assert decode(learned, ShareDetector()).keys() == {row[0] for row in recount(full)}

    # When a mention of that day comes after all
    full.feed({"id": "very late", "brand": "acme", "event_time": minute(3)})
    code, report, _ = full.daily()

    # Then it is counted in both places, and the marker stays
    assert (code, report["unexplained"], report["rows"]) == (0, 0, 102)
    assert "1 row came after the day was marked complete" in report["incomplete"]
    assert (marker.read_bytes(), profiles.read_bytes()) == (first, learned)


def test_the_same_archive_gives_the_same_files(full):
    full.daily()
    before = {name: full.file(name).read_bytes() for name in ("hours.parquet", "hours.csv", "report.html")}
    full.daily()

    assert {name: full.file(name).read_bytes() for name in before} == before


@pytest.mark.parametrize("name", ["minute", "history"])
def test_a_count_that_nothing_explains_is_a_difference_with_its_place(full, name):
    # Given one mention too many in Redis, in a minute that has a hash or in one that has not
    client, prefix = full.redis.client, full.redis.prefix
    if name == "minute":
        at = max(int(text) for text in client.zrange(f"{prefix}:minutes", 0, -1) if int(text) < DAY.end_ms)
        client.hset(f"{prefix}:m:{at}", "n:x:acme", 1)
    else:
        key = f"{prefix}:hm:{TEN}:acme"
        sums = client.hget(key, minute(1)).decode().split(",")
        client.hset(key, minute(1), ",".join([str(int(sums[0]) + 1), *sums[1:]]))

    # When
    code, report, _ = full.daily()

    # Then
    assert (code, report["unexplained"], report["parity"]["agree"]) == (1, 1, 154)
    place = "23:59, network x" if name == "minute" else "22:01"
    assert re.fullmatch(rf"{place}, brand 'acme': n: archive \d+, Redis \d+", report["differences"][0])
    assert "differs from what was shown live" in full.file("report.html").read_text()


def test_a_mention_that_redis_has_not_is_never_explained_by_what_is_not_archived(full):
    # Given a mention too few, while Redis is ahead of the archive
    full.feed({"id": "ahead", "brand": "acme", "event_time": DAY.end_ms + HOUR_MS}, store=False)
    key = f"{full.redis.prefix}:hm:{TEN}:acme"
    sums = full.redis.client.hget(key, minute(1)).decode().split(",")
    full.redis.client.hset(key, minute(1), ",".join([str(int(sums[0]) - 1), *sums[1:]]))

    assert full.daily()[1]["unexplained"] == 1


def test_what_redis_has_counted_and_nobody_archived_yet_is_explained(full):
    # Given two mentions on their way to the archive
    full.feed(
        {"id": "on its way", "brand": "acme", "event_time": minute(4)},
        {"id": "too", "brand": "acme", "event_time": minute(4)},
        store=False,
    )

    # When
    code, report, _ = full.daily()

    # Then
    assert code == 0
    assert report["parity"]["reasons"]["not yet archived"] == {"minutes": 1, "mentions": 2}
    assert report["complete"]  # their partition's watermark had passed the day's end before


def test_rows_above_the_cursor_of_redis_are_told_and_not_missed_in_it(full):
    # Given what the archive has and Redis, which went back, will count again
    full.feed({"id": "again", "brand": "acme", "event_time": minute(4)}, count=False)

    code, report, _ = full.daily()

    assert (code, report["unexplained"]) == (0, 0)
    assert report["parity"]["reasons"]["not yet in Redis"] == {"minutes": 1, "mentions": 1}


def test_a_day_is_open_while_a_partition_may_bring_more(world):
    # Given a partition that has got as far as ten
    world.feed(*public(20))
    world.feed({"id": "1", "brand": "lone", "event_time": minute(10)}, partition=1)
    world.close()

    # When
    code, report, _ = world.daily()

    # Then
    assert (code, report["complete"]) == (0, False)
    assert report["why_not_complete"][1] == (
        "partition 1 of mentions.0a1b2c3d is archived up to 2025-11-22 22:09,"
        " and Redis has not sealed the day"
    )
    assert report["parity"]["reasons"].keys() == {"below the floor", "not closed yet"}
    assert not (world.folder / "_days").exists()
    assert not (world.folder / "_profiles").exists()
    assert "numbers may still change" in world.file("report.html").read_text()


def test_a_partition_that_is_quiet_keeps_no_day_open_once_redis_has_sealed_it(redis_server, tmp_path):
    # Given a partition without any mention, that was proven to be idle
    world = DayWorld(redis_server.url, tmp_path, complete_from_ms=DAY.end_ms - 2 * MINUTE_MS)
    for at in (-MINUTE_MS, MINUTE_MS):
        world.feed({"id": str(at), "brand": "acme", "event_time": DAY.end_ms + at})
    assert not world.daily()[1]["complete"]
    world.redis.advance(DAY_MS)
    world.aggregates.apply([Apply(1, 0, 0, 0, 0, None, proof_t0_ms=world.redis.now_ms)])
    world.close()

    # Then
    assert world.daily()[1]["complete"]
    world.redis.close()


def test_minutes_below_the_floor_are_told_and_not_compared(redis_server, tmp_path):
    # Given a Redis that begins two minutes after ten, though the archive has all
    world = DayWorld(redis_server.url, tmp_path, complete_from_ms=minute(2))
    world.feed(*public(60))
    world.finish(minute(15))

    code, report, _ = world.daily()
    world.redis.close()

    # Then
    assert code == 0
    reasons = report["parity"]["reasons"]
    assert reasons["below the floor"] == {"minutes": 22 * 60 + 2, "mentions": 22}
    assert report["parity"]["agree"] == 15 - 2


def test_an_emptied_redis_explains_everything_and_compares_nothing(full):
    full.redis.empty()

    code, report, _ = full.daily()

    assert (code, report["parity"]["agree"]) == (0, 0)
    assert report["parity"]["reasons"]["Redis is empty"] == {"minutes": 1440, "mentions": 93}


def test_after_two_days_hours_are_compared_instead_of_minutes(full):
    # Given what is left 50 hours later: the history of hours
    client, prefix = full.redis.client, full.redis.prefix
    later = DAY.end_ms + 50 * HOUR_MS
    client.hset(f"{prefix}:ctl", mapping={"sealed": later, "trimmed": later - 2 * HOUR_MS})
    for shard in range(16):
        client.hset(f"{prefix}:shard:{shard}", "closed", later)
    client.delete(f"{prefix}:minutes", *client.keys(f"{prefix}:hm:*"), *client.keys(f"{prefix}:m:*"))

    # Then the hours above the floor are the same still
    parity = full.daily()[1]["parity"]
    assert (parity["agree"], parity["by_minute"], parity["unexplained"]) == (120, 0, 0)
    assert parity["reasons"]["no longer kept"]["minutes"] == 35

    # And a count that is wrong is found
    key = f"{prefix}:hd:{DAY.start_ms}:acme"
    sums = client.hget(key, TEN).decode().split(",")
    client.hset(key, TEN, ",".join([sums[0], str(int(sums[1]) + 1), *sums[2:]]))
    assert full.daily()[1]["unexplained"] == 1


def test_two_models_in_a_minute_are_compared_by_counts_only(world):
    # Given a minute of two models, whose sentiment Redis shows as it must not
    world.feed(*public(6))
    world.feed(*public(6, start=500), model="fedcba012345-sk")
    world.finish(minute(5))
    key = f"{world.redis.prefix}:hm:{TEN}:acme"
    sums = world.redis.client.hget(key, TEN).decode().split(",")
    world.redis.client.hset(key, TEN, ",".join([*sums[:6], "1", *sums[7:]]))

    code, report, _ = world.daily()

    assert (code, report["unexplained"], report["models"]) == (0, 0, 2)
    assert any("only its counts are compared" in line for line in report["incomplete"])


@pytest.mark.parametrize("kind", ["damaged", "forged", "missing"])
def test_an_object_that_cannot_be_used_is_named_and_the_rest_is_counted(full, kind):
    # Given
    (path,) = (full.folder / f"dt={DAY}" / "hour=22").glob("*+1+*.parquet")
    body = bytearray(path.read_bytes())
    path.unlink()
    if kind == "damaged":
        body[len(body) // 2] ^= 1
        path.write_bytes(body)
    if kind == "forged":  # whole and of the same size, yet not what was written
        path.write_bytes(body.replace(b"parquet-cpp-arrow", b"parquet-cpp-arroW"))

    # When
    code, report, _ = full.daily()

    # Then
    assert (code, report["rows"], report["complete"]) == (1, 61, False)
    assert path.name in report["faults"][0]
    assert report["unexplained"] == 0
    assert report["parity"]["reasons"]["unreadable object"]["minutes"] == 60
    assert not (full.folder / "_days").exists()


def test_hostile_names_and_texts_are_shown_and_never_run(world):
    # Given
    evil = "<script>alert(1)</script>"
    world.feed(
        *(
            {"id": str(n), "brand": f'{evil}"', "text": f"{evil} &amp; \u202e", "event_time": minute(n)}
            for n in range(3)
        ),
        {"id": "f", "brand": "=cmd|'/c calc'!A0", "event_time": minute(1)},
    )
    world.pass_time(DAY.end_ms + 10 * MINUTE_MS)

    # When
    code, _, _ = world.daily()

    # Then
    html = world.file("report.html").read_text()
    assert code == 0
    assert "<script" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp;" in html
    with world.file("hours.csv").open(newline="") as lines:
        brands = {row["brand"] for row in csv.DictReader(lines)}
    assert brands == {f'{evil}"', "'=cmd|'/c calc'!A0"}


def test_a_day_is_told_against_the_day_before(full):
    # Given the next day, with a brand that is hated now
    angry = [text for n in range(3000) if score([text := f"t {n}"]).label[0] == 0][:60]
    full.day = Day(DAY.end_ms)
    full.feed(
        *(
            {"id": f"n{n}", "brand": "acme", "text": text, "event_time": TEN + DAY_MS + n * 1000}
            for n, text in enumerate(angry)
        )
    )
    full.pass_time(full.day.end_ms + 10 * MINUTE_MS)

    # When
    code, report, said = full.daily()

    # Then
    assert (code, report["complete"]) == (0, True)
    assert f"counting {DAY} for the comparison" in said
    html = full.file("report.html").read_text()
    assert re.search(
        r"The negative share of <bdi>acme</bdi> rose most: \d+ % the day before, 100 % now", html
    )

    # And with the report of that day at hand nothing is counted again
    full.day = DAY
    full.daily()
    full.day = Day(DAY.end_ms)
    assert "counting" not in full.daily()[2]
    assert full.file("report.html").read_text() == html


def test_an_empty_day_is_reported_as_such_and_not_marked(full):
    code, report, _ = full.daily("--date", "2025-11-01")

    assert (code, report["rows"], report["counted"], report["complete"]) == (0, 0, 0, False)
    assert report["why_not_complete"][-1] == "no row of this day is archived"
    assert "No mention of this day is archived" in (full.out / "2025-11-01" / "report.html").read_text()
    assert not (full.folder / "_days").exists()


def test_today_is_reported_as_far_as_it_is(world):
    code, report, _ = world.daily("--date", "today", "--no-compare")

    assert (code, report["complete"], report["parity"]) == (0, False, None)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["--date", "soon"], {}, 2, "'soon' is no date"),
        (["--date", "2999-01-01"], {}, 2, "has not begun yet"),
        ([], {"STREAM_WORKER_KAFKA__TOPIC": "other"}, 78, "no worker has ever archived topic other"),
        ([], {"STREAM_WORKER_REDIS__URL": "redis://127.0.0.1:1/0"}, 69, "did not answer"),
        (["--out", "/proc/nowhere"], {}, 69, "cannot be written to /proc/nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line_with_its_exit_code(full, arguments, environment, code, says):
    found, _, said = full.daily(*arguments, **environment)

    assert found == code
    assert says in " ".join(said.replace("│", " ").split())


def test_people_read_it_in_a_few_lines(full):
    said = full.invoke().stdout.splitlines()

    assert said[0] == "2025-11-22: complete"
    assert said[1] == "93 mentions of 4 brands, 1 of them late; 8 duplicates beside them; 3 objects"
    assert said[2] == "live: 155 of 1,440 minutes agree"
    assert said[3] == "  below the floor: 1,285 minutes, 0 mentions"
    assert [line.rpartition("/")[2] for line in said[4:]] == ["hours.parquet", "hours.csv", "report.html"]
