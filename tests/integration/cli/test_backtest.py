"""The backtest: the worker's own detector over counts and archives, and clear words for bad files."""

import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stream_worker.backtest import service
from stream_worker.backtest.counts import BrandMinuteCounts, count_archive, read_counts
from stream_worker.cli.app import app
from stream_worker.core.detection import episodes
from stream_worker.core.detection.detector import OPEN_AT, Observation
from stream_worker.core.detection.replay import CountSeries, replay
from stream_worker.core.detection.share_detector import ShareDetector
from stream_worker.core.time import MINUTE_MS
from stream_worker.errors import Misconfigured

FIRST = 29_000_000
DAY = 1_440


@pytest.fixture(scope="module")
def past():
    """Two brands over 30 hours: a crisis of `acme` from minute 1,500 on, of two hours."""
    rng = np.random.default_rng(3)
    minutes = np.arange(FIRST, FIRST + 1_800)
    columns = {"brand": [], "minute": [], "mentions": [], "negative": []}
    for brand, crisis in (("acme", True), ("calm", False)):
        share = np.where((np.arange(1_800) >= 1_500) & (np.arange(1_800) < 1_620) & crisis, 0.6, 0.15)
        mentions = rng.poisson(20, 1_800)
        columns["brand"] += [brand] * 1_800
        columns["minute"].append(minutes)
        columns["mentions"].append(mentions)
        columns["negative"].append(rng.binomial(mentions, share))
    return pa.table(
        {name: values if name == "brand" else np.concatenate(values) for name, values in columns.items()}
    )


def stored(table, folder):
    path = folder / "counts.parquet"
    pq.write_table(table, path)
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["alerts", "backtest", *map(str, arguments)], catch_exceptions=False)


def test_one_object_per_episode(past, tmp_path):
    answer = run("--counts", stored(past, tmp_path), "--sensitivity", "0.25", "--json")

    (episode,) = json.loads(answer.stdout)
    assert answer.exit_code == 0
    assert episode["brand"] == "acme"
    opened = dt.datetime.fromisoformat(episode["opened_at"]).timestamp() // 60 - FIRST
    resolved = dt.datetime.fromisoformat(episode["resolved_at"]).timestamp() // 60 - FIRST
    assert 1_500 <= opened < 1_510
    assert 1_620 < resolved < 1_790
    assert episode["peak_score"] > OPEN_AT
    assert episode["notifications"] == 2 + episode["escalated"]


def test_it_is_what_the_worker_would_have_said(past):
    # Given the series of one brand
    rows = past.filter(pa.compute.equal(past["brand"], "acme")).to_pydict()

    # When the worker's own functions are fed by hand
    detector, numbers, episode, told = ShareDetector(), ShareDetector().start(), None, []
    for minute, n, negative in zip(rows["minute"], rows["mentions"], rows["negative"], strict=True):
        numbers, verdict = detector.step(
            numbers, Observation(minute * MINUTE_MS, n, negative, n, negative, True, 0)
        )
        judged = episodes.EvaluatedMinute("acme", minute * MINUTE_MS, verdict, "", None, complete=True)
        episode, event = episodes.advance(episode, judged)
        told += [(event.kind, judged.minute_ms)] if event else []

    # Then the replay says the same
    arrays = [np.array(rows[name]) for name in ("minute", "mentions", "negative", "mentions", "negative")]
    (one,) = replay("acme", CountSeries(*arrays), ShareDetector()).episodes[0.25]
    assert told[0] == ("opened", one.opened_ms)
    assert told[-1] == ("resolved", one.ended_ms)
    assert one.notifications == len(told)


def test_the_text_tells_episodes_rates_other_sensitivities_and_what_was_found(past, tmp_path):
    at = [f"{dt.datetime.fromtimestamp((FIRST + m) * 60, dt.UTC):%Y-%m-%dT%H:%M:%SZ}" for m in (1_500, 1_620)]
    incidents = tmp_path / "incidents.csv"
    incidents.write_text(f"brand,from,to\nacme,{at[0]},{at[1]}\ncalm,{at[0]},{at[1]}\n")
    picture = tmp_path / "acme.svg"

    answer = run(
        "--counts", stored(past, tmp_path), "--incidents", incidents, "--brand", "acme", "--plot", picture
    )

    assert answer.exit_code == 0
    assert "acme" in answer.stdout
    assert "episodes: 1, of 1 brand in 0.2 brand-weeks" in answer.stdout
    assert "at 0.1 for all: 1 episode, " in answer.stdout
    assert "1 of 2 incidents was found (50.0%); 1 of 1 episode opened in one" in answer.stdout
    assert picture.read_text().startswith("<?xml")


def test_the_sensitivity_of_each_brand_is_taken_from_the_settings(past, tmp_path):
    config = tmp_path / "some.toml"
    config.write_text("[alerts]\nsensitivity = 1\n[alerts.brands]\nacme = 0.1\n")

    answer = run("--counts", stored(past, tmp_path), "--config", config, "--json")

    assert "about 1.1 false alerts a week over 2 brands" in answer.stderr


def changed(past, **columns):
    return pa.table({**{name: past[name] for name in past.column_names}, **columns})


def at_row(past, name, row, value, kind):
    values = past[name].to_pylist()
    values[row] = value
    return changed(past, **{name: pa.array(values, kind)})


def test_rows_in_any_order_whole_floats_and_dictionaries_are_the_same(past, tmp_path):
    shuffled = past.take(np.random.default_rng(1).permutation(past.num_rows))
    disguised = changed(
        shuffled,
        brand=shuffled["brand"].dictionary_encode(),
        minute=pa.compute.cast(shuffled["minute"], pa.float64()),
    )

    whole = dict(read_counts(stored(past, tmp_path)))
    again = dict(read_counts(stored(disguised, tmp_path)))

    assert list(whole) == list(again) == ["acme", "calm"]
    for brand, series in whole.items():
        assert all((one == other).all() for one, other in zip(series, again[brand], strict=True))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.drop_columns("mentions"), "no column mentions"),
        (lambda t: changed(t, surprise=t["minute"]), "unknown column 'surprise'"),
        (lambda t: changed(t, unique_mentions=t["mentions"]), "go together"),
        (lambda t: at_row(t, "mentions", 7, -1, pa.int64()), "row 7: mentions is -1"),
        (lambda t: at_row(t, "negative", 9, 1.5, pa.float64()), "row 9: negative is 1.5, not a whole number"),
        (lambda t: at_row(t, "negative", 9, float("nan"), pa.float64()), "row 9: negative is nan"),
        (lambda t: at_row(t, "minute", 5, None, pa.int64()), "row 5: no minute"),
        (lambda t: at_row(t, "brand", 5, None, pa.string()), "row 5: no brand"),
        (lambda t: at_row(t, "minute", 5, 1_700_000_000_000, pa.int64()), "row 5: minute is 1700000000000"),
        (lambda t: at_row(t, "minute", 11, FIRST + 3, pa.int64()), "of 'acme' is in row 3 already"),
        (lambda t: at_row(t, "negative", 4, 9_999, pa.int64()), "row 4: negative is 9999, mentions only"),
        (lambda t: changed(t, minute=pa.compute.cast(t["minute"], pa.string())), "minute is string"),
        (lambda t: changed(t, brand=t["minute"]), "brand is int64, not text"),
    ],
)
def test_a_bad_file_is_refused_with_its_row(past, tmp_path, spoil, said):
    path = stored(spoil(past), tmp_path)

    with pytest.raises(Misconfigured) as refused:
        list(read_counts(path))

    assert said in str(refused.value)
    assert "counts.parquet" in str(refused.value)


def test_what_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "counts.parquet"
    path.write_text("brand,minute\n")

    with pytest.raises(Misconfigured, match="cannot be read as Parquet"):
        list(read_counts(path))


def test_a_sensitivity_that_nobody_measured_is_refused(past, tmp_path):
    answer = run("--counts", stored(past, tmp_path), "--sensitivity", "0.3")

    assert answer.exit_code == 2
    assert "1, 0.5, 0.25, 0.1" in answer.stderr


def test_the_archive_is_counted_by_minute_with_zeros_and_holes():
    # minute   0    1    2 …   40 (no row of anybody: a hole)   41
    # acme     2    .                                            1
    # b             1 (and a duplicate, and a late one)
    rows = [(0, "acme", 0, True), (0, "acme", 1, False), (1, "b", 0, True), (41, "acme", 2, True)]
    table = pa.table(
        {
            "brand": [row[1] for row in rows] + ["b", "b"],
            "event_time": pa.array(
                [(FIRST + row[0]) * MINUTE_MS for row in rows] + [FIRST * MINUTE_MS] * 2
            ).cast(pa.timestamp("ms", "UTC")),
            "label": pa.array([row[2] for row in rows] + [0, 0], pa.int8()),
            "voice": [row[3] for row in rows] + [True, True],
            "duplicate": [False] * 4 + [True, False],
            "late": [False] * 4 + [False, True],
        }
    )

    found = {brand: [column.tolist() for column in series] for brand, series in count_archive([table])}

    minutes = [FIRST, FIRST + 1, FIRST + 41]
    assert found["acme"] == [minutes, [2, 0, 1], [1, 0, 0], [1, 0, 1], [1, 0, 0]]
    assert found["b"] == [minutes[1:], [1, 0], [1, 0], [1, 0], [1, 0]]
    assert service.backtest(count_archive([]), lambda _: 0.25).minutes == 0


def test_a_change_of_model_in_the_archive_is_no_crisis_and_its_minutes_of_two_are_a_hole():
    # minute    0 … 599   600    601 … 799
    # model     old       both   new
    # negative  4 of 40          14 of 40
    rows = [(minute, n < 4, "old") for minute in range(601) for n in range(40)]
    rows += [(minute, n < 14, "new") for minute in range(600, 800) for n in range(40)]

    def table(names):
        return pa.table(
            {
                "brand": ["acme"] * len(rows),
                "event_time": pa.array(
                    [(FIRST + m) * MINUTE_MS for m, _, _ in rows], pa.timestamp("ms", "UTC")
                ),
                "label": pa.array([0 if negative else 1 for _, negative, _ in rows], pa.int8()),
                "voice": [True] * len(rows),
                "duplicate": [False] * len(rows),
                "late": [False] * len(rows),
                "model": [names.get(model, model) for _, _, model in rows],
            }
        )

    def episodes_of(names):
        counting = BrandMinuteCounts()
        for part in range(0, len(rows), 5_000):
            counting.add(table(names).slice(part, 5_000))
        result = service.backtest(counting.series(), lambda _: 0.25, counting.artefacts)
        return result.episodes, result.minutes

    assert episodes_of({}) == ([], 799)
    told, minutes = episodes_of({"new": "old"})
    assert (len(told), minutes) == (1, 800)


def test_the_archive_of_a_folder_is_replayed(past, tmp_path, monkeypatch):
    # Given the mentions of the last minutes before the crisis and of its first hour, as rows by hour
    rows = [row for row in past.to_pylist() if row["brand"] == "acme" and row["minute"] < FIRST + 1_560]
    hours = {}
    for row in rows:
        hours.setdefault(row["minute"] // 60, []).append(row)
    for hour, minutes in hours.items():
        at = dt.datetime.fromtimestamp(hour * 3_600, dt.UTC)
        told = [(row["minute"], n < row["negative"]) for row in minutes for n in range(row["mentions"])]
        table = pa.table(
            {
                "brand": ["acme"] * len(told),
                "event_time": pa.array([m * MINUTE_MS for m, _ in told], pa.timestamp("ms", "UTC")),
                "label": pa.array([0 if negative else 1 for _, negative in told], pa.int8()),
                "voice": [True] * len(told),
                "duplicate": [False] * len(told),
                "late": [False] * len(told),
                "model": ["0123456789ab-k1"] * len(told),
            }
        )
        folder = tmp_path / f"dt={at:%Y-%m-%d}" / f"hour={at:%H}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "rows.parquet")
    monkeypatch.setenv("STREAM_WORKER_ARCHIVE__URL", tmp_path.as_uri())

    answer = run("--sensitivity", "0.25", "--json")

    # Then its episode is found
    (episode,) = json.loads(answer.stdout)
    opened = dt.datetime.fromisoformat(episode["opened_at"]).timestamp() // 60 - FIRST
    assert 1_500 <= opened < 1_560
