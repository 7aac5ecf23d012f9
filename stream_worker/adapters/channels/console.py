"""Console: each message as one line of JSON, for a pipe or for people at a terminal."""

import sys
from typing import TextIO

from stream_worker.core.alerting.notification_log import Message
from stream_worker.core.alerting.retry_queue import SendOutcome


class Console:
    """Writes bodies to a stream, standard output by default. A closed stream disables the channel."""

    name = "console"

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def send(self, message: Message) -> SendOutcome:
        """Write the body and a line end."""
        try:
            self._stream.write(message.body + "\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # the reader has gone
            return SendOutcome("disabled", type(error).__name__)
        return SendOutcome("delivered")

    def close(self) -> None:
        """Leave the stream to its owner."""
