"""The command line: data on stdout, messages on stderr, one line per error, exit codes with a meaning."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from stream_worker.admin import check as admin_check
from stream_worker.admin import dead_letters, skip
from stream_worker.cli import app
from stream_worker.errors import Misconfigured, Unavailable
from stream_worker.settings.schema import Settings
from stream_worker.worker import process
from tests.checkout import CHECKOUT

PLANTED = "hunter2-planted"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("STREAM_WORKER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stream_worker(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["stream-worker", *arguments])
        with pytest.raises(SystemExit) as left:
            app.main()
        return Ran(left.value.code or 0, *capsys.readouterr())

    return call


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )


def test_help_is_quick_because_it_imports_no_adapter():
    # When the help is printed by a fresh process
    heavy = ("pydantic", "pyarrow", "redis", "confluent_kafka", "obstore", "sklearn", "numpy", "structlog")
    code = (
        "import sys\nfrom stream_worker.cli import app\nsys.argv = ['stream-worker', '--help']\n"
        "try:\n    app.main()\nexcept SystemExit as left:\n    assert not left.code\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)"
    )
    ran = python("-c", code)

    # Then it is there, and nothing heavy was loaded for it
    assert "run" in ran.stdout
    assert ran.stderr.strip() == "[]"


def test_the_module_is_the_command():
    ran = python("-m", "stream_worker", "--version")

    assert ran.stdout.strip()
    assert ran.stderr == ""


@pytest.mark.parametrize("arguments", [("nosuch",), ("run", "--nosuch"), ("skip", "--partition", "-1"), ()])
def test_wrong_usage_leaves_with_2(stream_worker, arguments):
    ran = stream_worker(*arguments)

    assert ran.code == 2


def test_a_wrong_setting_leaves_with_78_and_one_line(stream_worker, monkeypatch):
    monkeypatch.setenv("STREAM_WORKER_HTTP__PORT", "many")

    for arguments in (["run"], ["check"], ["config", "show"], ["config", "check"], ["model", "info"]):
        ran = stream_worker(*arguments)
        assert ran.code == 78
        assert ran.out == ""
        assert ran.err.count("\n") == 1
        assert ran.err.startswith("stream-worker: http.port (environment STREAM_WORKER_HTTP__PORT): 'many'")


def test_a_server_that_does_not_answer_leaves_with_69_and_one_line(stream_worker, monkeypatch):
    def run_worker(settings):
        raise Unavailable("http.port 8081 at 127.0.0.1 is in use;\nset another one")

    monkeypatch.setattr(process, "run_worker", run_worker)

    ran = stream_worker("run")

    assert ran.code == 69
    assert ran.err == "stream-worker: http.port 8081 at 127.0.0.1 is in use; set another one\n"


def test_a_bug_shows_where_it_is_but_neither_its_words_nor_a_traceback(stream_worker, monkeypatch):
    # Given a bug whose message has a mention's text in it
    def run_worker(settings):
        raise KeyError(PLANTED)

    monkeypatch.setattr(process, "run_worker", run_worker)

    # When it happens
    ran = stream_worker("run")

    # Then there is one line, without that text
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "unexpected KeyError at test_cli.py:" in ran.err
    assert PLANTED not in ran.err

    # And --debug, anywhere, shows all
    for arguments in (["--debug", "run"], ["run", "--debug"]):
        ran = stream_worker(*arguments)
        assert ran.code == 1
        assert "Traceback" in ran.err


def test_run_leaves_with_the_workers_code_and_gets_the_settings_of_the_file(
    stream_worker, monkeypatch, tmp_path
):
    seen = []
    monkeypatch.setattr(process, "run_worker", lambda settings: seen.append(settings) or 3)
    (tmp_path / "c.toml").write_text('[kafka]\ntopic = "posts"\n', encoding="utf-8")

    ran = stream_worker("run", "--config", str(tmp_path / "c.toml"))

    assert ran.code == 3
    assert seen[0].kafka.topic == "posts"


def test_config_show_prints_value_and_origin_and_no_secret(stream_worker, monkeypatch, tmp_path):
    # Given secrets in every place they can be
    (tmp_path / "secret").write_text(PLANTED, encoding="utf-8")
    monkeypatch.setenv("STREAM_WORKER_REDIS__URL", f"redis://user:{PLANTED}@redis:6379/2")
    monkeypatch.setenv("STREAM_WORKER_KAFKA__SASL_PASSWORD_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv(
        "STREAM_WORKER_KAFKA__EXTRA", json.dumps({"client.id": "me", "ssl.keystore.password": PLANTED})
    )
    monkeypatch.setenv("STREAM_WORKER_ARCHIVE__ENDPOINT", f"https://key:{PLANTED}@s3.example")

    # When the settings are shown, for people and for programs
    table, ran = stream_worker("config", "show"), stream_worker("config", "show", "--json")

    # Then all is there but the secrets
    assert (table.code, ran.code) == (0, 0)
    assert PLANTED not in table.out + table.err + ran.out + ran.err
    rows = {row["setting"]: row for row in json.loads(ran.out)}
    assert rows["redis.url"]["value"] == "redis://***@redis:6379/2"
    assert rows["redis.url"]["from"] == "environment STREAM_WORKER_REDIS__URL"
    assert rows["kafka.sasl_password"]["value"] == "[hidden]"
    assert rows["kafka.sasl_password"]["from"] == "environment STREAM_WORKER_KAFKA__SASL_PASSWORD_FILE"
    assert rows["kafka.extra"]["value"] == {"client.id": "me", "ssl.keystore.password": "[hidden]"}
    assert rows["archive.bytes_max"] == {"setting": "archive.bytes_max", "value": "16MiB", "from": "default"}
    assert rows["windows.lateness"]["value"] == "30s"
    assert "kafka.topic" in table.out


def test_config_check_says_so_on_stderr(stream_worker):
    ran = stream_worker("config", "check")

    assert (ran.code, ran.out) == (0, "")
    assert "can be used" in ran.err


def test_config_schema_is_a_json_schema_with_every_group(stream_worker):
    schema = json.loads(stream_worker("config", "schema").out)

    assert set(schema["properties"]) == set(Settings.model_fields)
    assert {"kafka", "redis", "archive", "windows", "alerts", "model", "log"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("failing", "code"), [((), 0), (("redis",), 69), (("model",), 78), (("model", "kafka"), 78)]
)
def test_check_leaves_with_what_must_be_mended(stream_worker, monkeypatch, failing, code):
    def check(settings, *, connect):
        assert connect
        return [
            admin_check.CheckResult(name, name not in failing, f"{name} looked at", 1.25)
            for name in ("model", "kafka", "redis")
        ]

    monkeypatch.setattr(admin_check, "check", check)

    ran = stream_worker("check", "--connect", "--json")
    assert ran.code == code
    rows = json.loads(ran.out)
    assert [row["name"] for row in rows] == ["settings", "model", "kafka", "redis"]
    assert {row["name"] for row in rows if not row["ok"]} == set(failing)

    table = stream_worker("check", "--connect")
    assert table.code == code
    assert table.out.count("FAILED") == len(failing)


LETTER = dead_letters.RejectedRecord(
    topic="mentions",
    partition="1",
    offset="7",
    time="2026-07-16T12:07:00Z",
    reason="not_json",
    field="",
    error="malformed\n\x1b[31m",
    bytes=12,
)


def test_dead_letters_are_listed_for_people_and_programs(stream_worker, monkeypatch):
    limits = []
    monkeypatch.setattr(
        dead_letters,
        "newest_dead_letters",
        lambda settings, limit: limits.append(limit) or [LETTER],
    )

    table = stream_worker("dead-letters", "list", "--limit", "5")
    assert table.out.splitlines()[0].split()[:3] == ["TOPIC", "PARTITION", "OFFSET"]
    assert "malformed??[31m" in table.out  # what somebody sent does not steer a terminal
    assert len(table.out.splitlines()) == 2

    assert json.loads(stream_worker("dead-letters", "list", "--json").out) == [LETTER._asdict()]
    assert limits == [5, 20]


def test_no_dead_letters_are_no_output_and_a_message(stream_worker, monkeypatch):
    monkeypatch.setattr(dead_letters, "newest_dead_letters", lambda settings, limit: [])

    ran = stream_worker("dead-letters", "list")

    assert (ran.code, ran.out, ran.err) == (0, "", "no dead letters\n")


def test_model_info_tells_the_shipped_model_without_loading_it(stream_worker):
    ran = stream_worker("model", "info", "--json")

    facts = json.loads(ran.out)
    assert ran.code == 0
    assert len(facts["pin"]) == 64
    assert facts["manifest"]["sha256"] == facts["pin"]
    assert facts["version"].startswith(facts["pin"][:12])
    assert "version" in stream_worker("model", "info").out


def test_model_info_of_a_refused_model_leaves_with_78(stream_worker, monkeypatch, tmp_path):
    monkeypatch.setenv("STREAM_WORKER_MODEL__PATH", str(tmp_path / "absent.joblib"))

    ran = stream_worker("model", "info")

    assert ran.code == 78
    assert "refused: model" in ran.err


def test_skip_asks_back_unless_told_not_to(stream_worker, monkeypatch):
    done = []
    monkeypatch.setattr(skip, "skip_records", lambda *arguments: done.append(arguments[1:]) or "left out")
    arguments = ("skip", "--partition", "2", "--to-offset", "900", "--why", "poison")

    # When nobody is there to be asked
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    ran = stream_worker(*arguments)
    assert ran.code == 2
    assert "--yes" in ran.err
    assert done == []

    # And when it was said in advance
    ran = stream_worker(*arguments, "--yes")
    assert (ran.code, ran.err) == (0, "left out\n")
    assert done == [(2, 900, "poison")]


def test_skip_needs_a_reason(stream_worker):
    ran = stream_worker("skip", "--partition", "2", "--to-offset", "900", "--why", " ", "--yes")

    assert ran.code == 2


def test_errors_of_wiring_keep_their_exit_code(stream_worker, monkeypatch):
    def refuse(*arguments):
        raise Misconfigured("offset 900 lies behind the end 80; name a smaller one")

    monkeypatch.setattr(skip, "skip_records", refuse)

    ran = stream_worker("skip", "--partition", "2", "--to-offset", "900", "--why", "poison", "--yes")

    assert ran.code == 78
    assert ran.err == "stream-worker: offset 900 lies behind the end 80; name a smaller one\n"
