"""The version of what is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("stream-worker")
except PackageNotFoundError:  # a checkout that was not installed
    VERSION = "0+unknown"
