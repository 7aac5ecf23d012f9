"""What can stop a producer before it has published anything.

    ProduceError
    ├── Unusable      the file or the configuration cannot be used   exit 78
    └── Unreachable   no broker answers                              exit 69

A mention that is not delivered is no exception: it is counted, and the exit code is 1.
"""


class ProduceError(Exception):
    """One line that says what, where and how to mend."""

    exit_code = 1


class Unusable(ProduceError):
    """The file or the configuration cannot be used."""

    exit_code = 78


class Unreachable(ProduceError):
    """No broker answers."""

    exit_code = 69
