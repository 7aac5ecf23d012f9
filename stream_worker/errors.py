"""The tree of errors, named by what the caller must do.

StreamWorkerError
├── Misconfigured      do not start; exit 78, the message says what to mend
├── Unavailable        a dependency is away or its answer is unknown: try the same again; exit 69 at start
└── Unreadable         something that must be readable is not: that partition stops, the rest goes on

BrokenInvariant         a bug of ours: the process ends, and nothing is lost
"""


class StreamWorkerError(Exception):
    """Any error of ours; its message is one line for people: what, where, how to mend it."""

    exit_code = 1


class Misconfigured(StreamWorkerError):
    """A setting, a right or a model does not fit; trying again cannot help."""

    exit_code = 78


class Unavailable(StreamWorkerError):
    """A server did not answer in time; the request may or may not have been done (docs/design.md#r5)."""

    exit_code = 69


class Unreadable(StreamWorkerError):
    """Something stored cannot be read as what it must be; going on would guess."""


class BrokenInvariant(AssertionError):
    """The program contradicts its own design; going on could lose or double records. Never caught."""
