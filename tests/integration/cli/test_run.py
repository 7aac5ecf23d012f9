"""`stream-worker run`, the process: what it does without."""

import subprocess
import sys


def test_pandas_is_left_out_and_arrow_does_without_it():
    # Given a process that leaves pandas out, though it is installed
    program = (
        "import sys; from stream_worker.process import leave_out; leave_out('pandas'); "
        "import numpy as np, pyarrow as pa; "
        "made = pa.array(['a', None], pa.string()), pa.array(np.arange(2)), pa.array([1, None], pa.int64()); "
        "print([one.to_pylist() for one in made], 'pandas' in sys.modules)"
    )

    # When arrays are made, which is where pyarrow would import it
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=50
    )

    # Then
    assert ran.stdout.strip() == "[['a', None], [0, 1], [1, None]] False"
