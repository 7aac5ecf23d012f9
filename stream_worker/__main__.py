"""`stream-worker`, also as `python -m stream_worker`: Ctrl-C is quiet even while the program is loaded."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    try:
        from stream_worker import cli  # noqa: PLC0415  it takes a moment, in which Ctrl-C may come

        cli.main()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
