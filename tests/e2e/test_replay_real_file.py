"""Files of posts, replayed as users do it, and recounted by DuckDB from the file, the archive and Redis."""

import datetime as dt
import json
import subprocess
import sys

import duckdb
import pytest

from tests.e2e.stored_picture import read_closed, read_history
from tests.e2e.workers import CHECKOUT, settings, staff, wait_until

REAL_FILE = CHECKOUT.parent / "shared" / "data" / "mentions" / "spotify_support_2017.parquet"
CSV_OF_POSTS = """
COPY (
    SELECT
        'post-' || (i % 950) AS id,                       -- the last 50 say again what the first 50 said
        ['Acme', 'Globex: the "next" one', 'Ünï 🦊', 'a,b'][1 + i % 950 % 7 % 4] AS brand,
        'forum' AS source,
        'user ' || (i % 950 % 40) AS author,
        'post ' || (i % 950) || ', it is ' || ['great', 'awful', 'there'][1 + i % 950 % 3] AS text,
        TIMESTAMP '2024-02-29 21:00:00' + INTERVAL (i * 11) SECOND AS created_at
    FROM range(1000) AS posts(i)
) TO '{file}' (HEADER, DELIMITER ',')
"""


def replay(kafka, topic, file, *options):
    """`produce-mentions replay` as fast as it can; returns the counts it prints."""
    program = "from producers.cli import main; main()"
    command = [sys.executable, "-c", program, "replay", str(file), "--speed", "max", "--json", "-t", topic]
    done = subprocess.run(
        [*command, "-b", kafka.bootstrap, *options],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def ending_just_now():
    """Options that move the last mention into the last full minute, so that it can be closed at once."""
    now = dt.datetime.now(dt.UTC)
    last = now.replace(second=0, microsecond=0) - dt.timedelta(seconds=1)
    return "--rebase", last.isoformat(), "--anchor", "last"


def rows_in(folder):
    """How many rows the archive has by now."""
    if not any(folder.glob("_manifests/*/*/*.json")):
        return 0
    told = [json.loads(it.read_text()) for it in folder.glob("_manifests/*/*/*.json")]
    return sum(it["outcomes"]["counted"] + it["outcomes"]["duplicate"] for it in told)


def brands_of_file(file, where="true"):
    return dict(
        duckdb.sql(f"SELECT brand, count(DISTINCT id) FROM '{file}' WHERE {where} GROUP BY 1").fetchall()
    )


def brands_of_archive(folder):
    rows = f"'{folder}/dt=*/hour=*/*.parquet'"
    return dict(duckdb.sql(f"SELECT brand, count(*) FROM {rows} WHERE NOT duplicate GROUP BY 1").fetchall())


def brands_and_hours(client, prefix):
    """From the history in Redis: brand -> mentions, and (brand, hour) -> mentions."""
    totals, hours = {}, {}
    for (_, brand), history in read_history(client, prefix, "hd").items():
        for hour_ms, (n, *_) in history.items():
            totals[brand] = totals.get(brand, 0) + n
            if n:
                hours[brand, hour_ms] = n
    return totals, hours


def hours_of_archive(folder):
    rows = f"'{folder}/dt=*/hour=*/*.parquet'"
    hour_ms = "epoch_ms(event_time) // 3600000 * 3600000"
    found = duckdb.sql(
        f"SELECT brand, {hour_ms}, count(*) FROM {rows} WHERE NOT duplicate GROUP BY ALL"
    ).fetchall()
    return {(brand, hour): n for brand, hour, n in found}


def last_minute_end_ms(folder):
    ((newest,),) = duckdb.sql(
        f"SELECT epoch_ms(max(event_time)) FROM '{folder}/dt=*/hour=*/*.parquet'"
    ).fetchall()
    return newest - newest % 60_000 + 60_000


@pytest.fixture
def replayed(kafka, redis_server, redis_prefix, tmp_path):
    """Replay a file through one worker; returns the folder of the archive when `rows` are in it."""
    topic, folder = kafka.new_topic(partitions=2), tmp_path / "archive"
    client = redis_server.client()
    archive = {"archive__url": folder.as_uri()}
    more = {"windows__horizon_records": "50000", "windows__horizon": "60m"}

    def run(file, *options, closed):
        counts = replay(kafka, topic, file, *options)
        print(f"servers: {kafka} · {redis_server} · folder; replayed {counts}")
        with staff(settings(kafka, topic, redis_server, redis_prefix, archive, **more), tmp_path) as start:
            worker = start("only")
            published = counts["delivered"]
            wait_until(lambda: rows_in(folder) == published, f"{published} rows", 40, [worker])
            if closed:
                end_ms = last_minute_end_ms(folder)
                wait_until(
                    lambda: min(read_closed(client, redis_prefix).values()) >= end_ms,
                    "all minutes are closed",
                    90,
                    [worker],
                )
            worker.stop()
        return folder

    return run


@pytest.mark.timeout(180)
def test_a_csv_of_posts_is_counted_alike_in_the_file_the_archive_and_redis(
    replayed, redis_server, redis_prefix, tmp_path
):
    # Given three hours of posts, some of them twice
    file = tmp_path / "posts.csv"
    duckdb.sql(CSV_OF_POSTS.format(file=file))

    # When they are replayed with times that end just now
    folder = replayed(file, *ending_just_now(), closed=True)

    # Then each brand has as many distinct posts everywhere, and each hour in Redis as in the archive
    totals, hours = brands_and_hours(redis_server.client(), redis_prefix)
    assert sum(totals.values()) == 950
    assert brands_of_file(file) == brands_of_archive(folder) == totals
    assert hours == hours_of_archive(folder)


@pytest.mark.timeout(180)
@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the real file of posts may not be shipped, and is not here"
)
def test_a_day_of_a_real_file_is_counted_alike_in_the_file_the_archive_and_redis(
    replayed, redis_server, redis_prefix
):
    # When the last day of a real file is replayed with times that end just now
    since = "2017-12-03T00:00:00+00:00"
    folder = replayed(REAL_FILE, "--since", since, *ending_just_now(), closed=True)

    # Then the brand has as many distinct posts everywhere, and each hour in Redis as in the archive
    totals, hours = brands_and_hours(redis_server.client(), redis_prefix)
    assert sum(totals.values()) > 100
    assert brands_of_file(REAL_FILE, f"created_at >= '{since}'") == brands_of_archive(folder) == totals
    assert hours == hours_of_archive(folder)


@pytest.mark.timeout(180)
@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the real file of posts may not be shipped, and is not here"
)
def test_weeks_of_a_real_file_with_their_own_times_are_in_the_archive_by_day(replayed):
    # When weeks of 2017 are replayed with their own times, long past what Redis keeps
    since = "2017-11-20T00:00:00+00:00"
    folder = replayed(REAL_FILE, "--since", since, closed=False)

    # Then each day of the archive has the posts of that day in the file
    day = "strftime(created_at AT TIME ZONE 'UTC', '%Y-%m-%d')"
    rows = f"'{folder}/dt=*/hour=*/*.parquet'"
    of_file = f"SELECT {day}, count(*) FROM '{REAL_FILE}' WHERE created_at >= '{since}' GROUP BY 1"
    of_archive = f"SELECT CAST(dt AS VARCHAR), count(*) FROM {rows} GROUP BY 1"
    found = dict(duckdb.sql(of_archive).fetchall())
    assert len(found) == 14
    assert found == dict(duckdb.sql(of_file).fetchall())
