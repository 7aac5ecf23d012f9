"""`python -m tests.simulation.mutants`: see run.py."""

import sys

from tests.simulation.mutants.run import main

if __name__ == "__main__":
    sys.exit(main())
