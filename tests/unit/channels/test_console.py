"""The console: one JSON a line, and quiet once nobody reads."""

import io
import json

from stream_worker.adapters.channels.console import Console
from stream_worker.core.alerting.notification_log import Message
from tests.unit.channels.receivers import body_of

MESSAGE = Message(id="e.opened", kind="opened", brand="Bär", episode="e", body=body_of())


def test_each_message_is_one_line_of_json():
    stream = io.StringIO()
    console = Console(stream)

    assert [console.send(MESSAGE).kind for _ in range(2)] == ["delivered", "delivered"]
    assert [json.loads(line)["brand"] for line in stream.getvalue().splitlines()] == ["Bär", "Bär"]


def test_a_reader_that_has_gone_disables_it():
    stream = io.StringIO()
    stream.close()

    assert Console(stream).send(MESSAGE).kind == "disabled"
