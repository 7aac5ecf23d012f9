"""Write the golden files anew: `python -m tests.stored_formats --write`; without it, say what differs.

`--write-old-state` also replaces what an older release has left behind. That release is gone: do it only when
a stored format was changed with a migration, and say so in the change log.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pytest

from tests.servers import redis as redis_places
from tests.servers.choice import Absent
from tests.stored_formats import golden, old_state, scenario


def main(arguments=None):
    """Run the scenario; returns the exit code: 1 when something differs and was not written."""
    parser = argparse.ArgumentParser(prog="python -m tests.stored_formats", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the golden files")
    parser.add_argument("--write-old-state", action="store_true", help="replace the state of the old release")
    told = parser.parse_args(arguments)
    server = _server()
    try:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
            return _run(server.url, Path(folder), monkeypatch, told)
    finally:
        server.close()


def _run(url, folder, monkeypatch, told):
    with scenario.system(url, folder / "archive", monkeypatch) as system:
        scenario.play_until_killed(system)
        if told.write_old_state:
            old_state.write(system)
        scenario.play_on(system)
        found = golden.collect(system, folder / "out", monkeypatch)
    differing = 0
    for name, value in found.items():
        path, text = golden.GOLDEN / name, golden.render(value)
        if difference := golden.difference(
            name, text, path.read_text(encoding="utf-8") if path.exists() else ""
        ):
            differing += 1
            print(f"{name} {'is replaced' if told.write else difference}")
        if told.write:
            path.write_text(text, encoding="utf-8")
    return 1 if differing and not told.write else 0


def _server():
    reasons = []
    for place in redis_places.SHARED:
        try:
            return place.find()
        except Absent as reason:
            reasons.append(f"{place.name}: {reason}")
    sys.exit("no Redis: " + "; ".join(reasons))


if __name__ == "__main__":
    sys.exit(main())
