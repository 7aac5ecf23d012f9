"""`stream-worker predict` as people run it: whole files, a kill in the middle, S3, and clear refusals."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from stream_worker.cli import app
from stream_worker.predict import inputs, journal, outputs
from stream_worker.predict.formats.job import Job
from tests.checkout import CHECKOUT

TEXTS = ("I love it, great!", "awful, I hate it", "it is a box", 'a "quoted"\nsecond line')


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def told(self):
        return json.loads(self.out)


def start(*arguments, scorer="none", **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_WORKER_")}
    environment = clean | {"STREAM_WORKER_MODEL__SCORER": scorer, "COLUMNS": "200"} | environment
    command = [
        sys.executable,
        "-m",
        "stream_worker",
        "predict",
        *map(str, arguments),
        "--text-column",
        "review",
    ]
    return subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(*arguments, **environment):
    with start(*arguments, **environment) as process:
        out, err = process.communicate(timeout=100)
        return Ran(process.returncode, out, err)


@pytest.fixture
def stream_worker(monkeypatch, capsys):
    """The command in this process: for what ends before anything is scored."""
    for name in [name for name in os.environ if name.startswith("STREAM_WORKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments):
        line = ["stream-worker", "predict", *map(str, arguments), "--text-column", "review"]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as left:
            app.main()
        return Ran(left.value.code or 0, *capsys.readouterr())

    return call


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("id", "review"), *((i, TEXTS[i % 4]) for i in range(rows))])
    return path


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_every_form_is_scored_by_the_shipped_model(tmp_path):
    # Given three inputs, one of them compressed, with some bad rows
    given, out = tmp_path / "in", tmp_path / "out"
    given.mkdir()
    write_csv(given / "a.csv", 20)
    lines = [json.dumps({"review": text, "n": 1}) for text in (*TEXTS, "")] + ["{", '{"review": null}']
    (given / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    pq.write_table(pa.table({"review": [*TEXTS, None], "n": range(5)}), given / "c.parquet")

    # When
    ran = run(given, out, "--json", "--strict", scorer="model")

    # Then every row has one fate, and the classes are told
    told = ran.told
    assert (ran.code, told["rows"], told["rejected"]) == (1, 20 + 7 + 5, 4)
    assert told["reasons"] == {"empty_text": 1, "no_text": 2, "not_json": 1}
    assert told["rows"] == told["scored"] + told["uncertain"] + told["unscored"] + told["rejected"]
    assert told["positive"]
    assert told["negative"]
    # And each file is there in its own form, scored by one model
    assert sorted(path.name for path in out.iterdir()) == [
        "a.csv",
        "b.jsonl.gz",
        "b.jsonl.gz.rejected.jsonl",
        "c.parquet",
        "c.parquet.rejected.jsonl",
    ]
    rows = read_csv(out / "a.csv")
    scored = [json.loads(line) for line in gzip.decompress((out / "b.jsonl.gz").read_bytes()).splitlines()]
    table = pq.read_table(out / "c.parquet").to_pylist()
    assert [row["review"] for row in rows] == [TEXTS[i % 4] for i in range(20)]
    assert (
        [row["label"] for row in rows[:4]]
        == [row["label"] for row in scored]
        == [row["label"] for row in table]
    )
    assert {row["model"] for row in (*rows, *scored, *table)} == {told["model"]}
    assert scored[0]["sentiment"] == pytest.approx(float(rows[0]["sentiment"]), abs=2e-6)


def test_a_run_goes_on_after_a_kill_without_doing_a_chunk_twice(tmp_path, stream_worker):
    # Given a run that is killed when some of its chunks are done
    rows = 700
    given, out = write_csv(tmp_path / "in.csv", rows), tmp_path / "out.csv"
    staging = tmp_path / ".out.csv.predict"
    markers = staging / "_predict" / "000000"
    with start(given, out, "--chunk-rows", 10) as process:
        while process.poll() is None and not (markers.exists() and len(list(markers.iterdir())) >= 5):
            time.sleep(0.002)
        children = [int(pid) for pid in _children(process.pid)]
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it was done before it was killed"
    while any(Path(f"/proc/{pid}/stat").exists() and not _is_zombie(pid) for pid in children):
        time.sleep(0.01)  # what it started ends by itself
    done = {path.name: path.stat().st_mtime_ns for path in (staging / "000000").iterdir()}
    assert 5 <= len(done) < rows // 10
    assert not out.exists()

    # When the same is run again, but otherwise; and as it was
    other = stream_worker(given, out, "--chunk-rows", 11)
    assert (other.code, "--chunk-rows 10" in other.err) == (2, True)
    assert "begin anew with --restart" in other.err
    with start(given, out, "--json", "--chunk-rows", 10) as process:
        seen = {}
        while process.poll() is None:
            try:
                seen |= {path.name: path.stat().st_mtime_ns for path in (staging / "000000").iterdir()}
            except FileNotFoundError:
                break  # it is done, and tidies up
        told = json.loads(process.stdout.read())

    # Then what was done was not done again, and every row is there once, in order
    assert {name: seen[name] for name in done} == done
    assert told["rows"] == rows
    assert told["rows_done_before"] >= 50
    assert [row["id"] for row in read_csv(out)] == [str(i) for i in range(rows)]
    assert list(tmp_path.glob(".*")) == []


def _children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_is_there_already_is_not_written_over(tmp_path, stream_worker):
    # Given a result
    given, out = write_csv(tmp_path / "in.csv", 4), tmp_path / "out.parquet"
    out.write_bytes(b"scored")

    # When the same is asked for
    refused = stream_worker(given, out)

    # Then it stays, and it is said how to have it anew
    assert (refused.code, "write it anew with --restart" in refused.err) == (2, True)
    assert out.read_bytes() == b"scored"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.parquet"]
    assert run(given, out, "--restart", "--processes", 1).out.splitlines()[-1].split() == ["all", "4"]
    assert pq.read_metadata(out).num_rows == 4


@pytest.mark.parametrize(
    ("name", "body", "options", "why"),
    [
        ("a.csv", b"id,text\n1,a\n", (), "no column 'review'; there are: id, text"),
        ("a.csv", b"id;review\n1;a\n", (), "try --delimiter ';'"),
        ("a.csv", b"review,label\na,1\n", (), "--prefix model_"),
        ("a.csv", b"", (), "a heading with the names of the columns is needed"),
        ("a.jsonl", b'{"text": "a"}\n', (), "no column 'review' in the first 1 rows; there are: text"),
        ("a.txt", b"a", (), "its form is not known by its name"),
        ("a.csv", b"review\na\n", ("--delimiter", "ab"), "must be one character"),
        ("a.csv", b"review\na\n", ("--processes", "0"), "greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_told_at_once_with_what_to_do(tmp_path, stream_worker, name, body, options, why):
    # Given an input that does not fit
    (tmp_path / name).write_bytes(body)

    # When
    ran = stream_worker(tmp_path / name, tmp_path / "out.csv", *options)

    # Then
    assert ran.code == 2
    assert why in " ".join(ran.err.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_model_that_is_not_the_pinned_one_is_refused(tmp_path):
    given = write_csv(tmp_path / "in.csv", 4)
    artefact = CHECKOUT / "models/artefacts/sentiment-en.joblib"

    ran = run(
        given,
        tmp_path / "out.csv",
        "--processes",
        1,
        scorer="model",
        STREAM_WORKER_MODEL__PATH=str(artefact),
        STREAM_WORKER_MODEL__PIN="0" * 64,
    )

    assert ran.code == 78
    assert "its sha256 is" in ran.err
    assert not (tmp_path / "out.csv").exists()


def test_objects_are_scored_into_parts_of_their_own(tmp_path, s3, stream_worker, monkeypatch):
    # Given objects in a bucket
    bucket, files = s3.new_bucket(), s3.filesystem()
    pq.write_table(pa.table({"review": [*TEXTS, ""] * 3}), f"{bucket}/in/a.parquet", filesystem=files)
    with files.open_output_stream(f"{bucket}/in/b.csv") as stream:
        stream.write(write_csv(tmp_path / "b.csv", 8).read_bytes())
    keys = {
        "STREAM_WORKER_ARCHIVE__ENDPOINT": s3.endpoint,
        "STREAM_WORKER_ARCHIVE__ACCESS_KEY_ID": s3.access_key,
        "STREAM_WORKER_ARCHIVE__SECRET_ACCESS_KEY": s3.secret_key,
        "STREAM_WORKER_ARCHIVE__REGION": s3.region,
        "STREAM_WORKER_ARCHIVE__ALLOW_HTTP": "true",
    }
    given, out = f"s3://{bucket}/in/*", f"s3://{bucket}/out"

    # When they are scored, and once more
    first = run(given, out, "--json", "--chunk-rows", 6, "--processes", 1, **keys)
    second = run(given, out, "--json", "--chunk-rows", 6, "--processes", 1, **keys)

    # Then every part is a file that any reader takes, and what begins with _ is beside them
    assert (first.code, first.told["rows"], first.told["rejected"]) == (0, 23, 3)
    assert (second.code, second.told["rows"], second.told["rows_done_before"]) == (0, 23, 23)
    assert pq.read_table(f"{bucket}/out/a.parquet/", filesystem=files).num_rows == 12
    with files.open_input_stream(f"{bucket}/out/b.csv/part-000001.csv") as stream:
        assert [row["id"] for row in csv.DictReader(stream.read().decode().splitlines())][:1] == ["6"]
    with files.open_input_stream(f"{bucket}/out/_predict/done.json") as stream:
        assert json.loads(stream.read())["rows"] == 23

    # And another run does not mix with it, until it is asked to replace it
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    other = stream_worker(given, out, "--chunk-rows", 7)
    assert (other.code, "begun otherwise" in other.err) == (2, True)
    anew = run(given, out, "--json", "--chunk-rows", 7, "--restart", "--processes", 1, **keys)
    assert (anew.code, anew.told["rows_done_before"]) == (0, 0)
    assert pq.read_table(f"{bucket}/out/a.parquet/", filesystem=files).num_rows == 12


def test_a_store_that_is_away_is_told_with_exit_code_69(stream_worker, monkeypatch):
    # Given nobody who listens
    monkeypatch.setattr(inputs, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("STREAM_WORKER_ARCHIVE__ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("STREAM_WORKER_ARCHIVE__ALLOW_HTTP", "true")

    # When
    ran = stream_worker("s3://nowhere/in.csv", "s3://nowhere/out")

    # Then
    assert ran.code == 69
    assert ran.err.count("\n") == 1
    assert "s3://nowhere/in.csv cannot be read" in ran.err


def test_only_the_same_run_goes_on():
    # Given what a run was
    job = Job(form="csv", out="csv", text="review")
    known = journal.InputIdentity("in.csv", 10, "a", job)
    head = journal.RunHeader(model="m1", chunk_rows=5, inputs=[known])
    output = outputs.Output("out.csv", outputs.StoreReference("memory:///"), None, [])
    journal.refuse_other(head, head, output)

    # Then each difference is told
    for other, why in (
        (replace(head, model="m2"), "model m1 scored then, m2 would now"),
        (replace(head, inputs=[]), "in.csv was read too, and is not there now"),
        (replace(head, inputs=[known, journal.InputIdentity("b.csv", 1, "b", job)]), "b.csv is new"),
        (
            replace(head, inputs=[journal.InputIdentity("in.csv", 11, "b", job)]),
            r"in.csv has changed since \(10 bytes then",
        ),
        (
            replace(head, inputs=[journal.InputIdentity("in.csv", 10, "a", replace(job, text="t"))]),
            "with other options",
        ),
    ):
        with pytest.raises(inputs.WrongUsage, match=why):
            journal.refuse_other(head, other, output)
