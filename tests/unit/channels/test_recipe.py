"""The recipe of docs/alerts.md for a receiver: it runs as it stands there."""

import asyncio
import re

import pytest
from starlette.requests import Request

from stream_worker.adapters.channels.webhook import Webhook
from stream_worker.core.alerting.notification_log import Message
from tests.checkout import CHECKOUT
from tests.unit.channels.receivers import SECRET, Receiver, body_of

PAGE = CHECKOUT / "docs/alerts.md"


@pytest.fixture
def hook(monkeypatch):
    monkeypatch.setenv("SECRET", SECRET)
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "@app" in block
    )
    names = {}
    exec(compile(code, "docs/alerts.md", "exec"), names)
    return names["hook"]


def request_of(arrived, **changed):
    headers = {**arrived.headers, **changed}
    scope = {"type": "http", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}

    async def receive():
        return {"type": "http.request", "body": arrived.body.encode(), "more_body": False}

    return Request(scope, receive)


def test_it_verifies_and_wakes_somebody_once(hook, capsys):
    # Given a message that arrived twice
    receiver = Receiver()
    webhook = Webhook(receiver.url, [SECRET], timeout_s=5)
    message = Message(id="e.opened", kind="opened", brand="Bär", episode="e", body=body_of(reason="because"))
    for _ in range(2):
        webhook.send(message)
    webhook.close()
    receiver.close()

    # When the recipe gets both, and one with another signature
    for arrived in receiver.arrived:
        asyncio.run(hook(request_of(arrived)))
    with pytest.raises(Exception, match="signature"):
        asyncio.run(hook(request_of(receiver.arrived[0], **{"webhook-signature": "v1,AAAA"})))

    # Then it woke somebody once
    assert capsys.readouterr().out == "wake somebody: Bär because\n"
