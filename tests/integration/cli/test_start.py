"""The first moment of a command: Ctrl-C while it is loaded, and standard streams that are closed."""

import shlex
import subprocess
import sys

import pytest

from tests.checkout import CHECKOUT

CTRL_C_AT_THE_FIRST_LIBRARY = """
import runpy, sys

class Impatient:
    def find_spec(name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient)
runpy.run_module("stream_worker", run_name="__main__")
"""


def run(*command):
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)


def test_ctrl_c_while_the_program_is_loaded_is_quiet():
    ran = run(sys.executable, "-c", CTRL_C_AT_THE_FIRST_LIBRARY)

    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize(("closed", "open_"), [(">&-", "stderr"), ("2>&-", "stdout")])
def test_a_standard_stream_may_be_closed(closed, open_):
    ran = run("sh", "-c", f"{shlex.quote(sys.executable)} -m stream_worker config show --json {closed}")

    assert ran.returncode == 0
    said = getattr(ran, open_)
    assert said.startswith("[{") if open_ == "stdout" else said == ""
