"""The errors of this package, named by what the caller must do.

ModelError
├── ModelRefused     do not start, do not join the group; exit 78, the message says what to mend
├── DataUnusable     a data file cannot be read as labelled texts; exit 1
├── KernelMissing    the native library is not here: go on without it
└── Uncompilable     the kernel does not know such a pipeline: go on with scikit-learn
"""


class ModelError(Exception):
    """Any error of this package; its message is one line for people: what, where, how to mend it."""

    exit_code = 1


class ModelRefused(ModelError):
    """The artefact is not what was pinned, or cannot run here; trying again cannot help."""

    exit_code = 78


class DataUnusable(ModelError):
    """A data file is missing or is not a table of texts and labels."""


class KernelMissing(ModelError):
    """The native library is not here; scikit-learn and Python do its work."""


class Uncompilable(ModelError):
    """The kernel does not know such a pipeline; scikit-learn scores it."""
