"""The API over a real Redis that the real scripts filled; `ask` and `listen` speak plain HTTP to it."""

import asyncio
import http.client
import json
import secrets
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from stream_worker.api.server import Serving
from stream_worker.settings.loader import load
from tests.integration.api.scene import Scene


@contextmanager
def served(**settings):
    """Serve with these settings (`redis__url=…`) in a thread; yields `ask`, `listen` and the port."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"api__port": "0", **settings}.items():
            patch.setenv(f"STREAM_WORKER_{name.upper()}", str(value))
        serving = Serving(load().settings)
    thread = threading.Thread(target=lambda: asyncio.run(serving.run()))
    thread.start()
    wait_for(lambda: serving.server.started)
    try:
        yield Client(serving.port, serving)
    finally:
        serving.stop()
        thread.join(10)
        assert not thread.is_alive()


class Client:
    """A client of one server."""

    def __init__(self, port, serving):
        self.port, self.serving, self.feed = port, serving, serving.feed

    def ask(self, path, method="GET", **headers):
        """Ask for a path exactly as it is written: `.status`, `.headers`, `.body` and `.json`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        kind = answer.getheader("content-type", "")
        return SimpleNamespace(
            status=answer.status,
            headers=answer.headers,
            body=body,
            json=json.loads(body) if "json" in kind else None,
        )

    @contextmanager
    def listen(self, path="/api/v1/live", **headers):
        """Listen to the live feed; yields `next(name)`, which waits for the next event of that name."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=named)
        answer = connection.getresponse()
        try:
            assert answer.status == 200, answer.read()
            yield Events(answer)
        finally:
            answer.close()
            connection.close()


class Events:
    """Events of a feed, read as a browser reads them."""

    def __init__(self, answer):
        self._answer, self.last_id, self.seen, self.headers = answer, "", [], answer.headers

    def next(self, *names):
        """The next event with one of these names; others are remembered in `seen`."""
        while True:
            event = {"event": "message", "data": ""}
            while line := self._answer.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                event[name] = value
            if "id" in event:
                self.last_id = event["id"]
            if event["event"] == "message":
                continue
            self.seen.append(event["event"])
            if event["event"] in names or not names:
                return SimpleNamespace(
                    name=event["event"], id=event.get("id"), data=json.loads(event["data"])
                )


def wait_for(true, within_s=10.0):
    """Wait until it is true."""
    end_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def scene(redis_server):
    """Two hours of the town up to now, below a prefix of its own; tests add to it."""
    prefix = f"{{t{secrets.token_hex(6)}}}"
    made = Scene(redis_server.url, prefix).play(115)
    made.prefix = prefix
    yield made
    with redis_server.client() as client:
        for key in list(client.scan_iter(f"{prefix}*", count=1000)):
            client.delete(key)
    made.aggregates._client.close()


@pytest.fixture(scope="session")
def api(redis_server, scene):
    """The API over that scene, once it knows what is usual."""
    with served(redis__url=redis_server.url, redis__prefix=scene.prefix, api__clients_max="6") as client:
        wait_for(lambda: client.ask("/api/v1/brands").json["brands"][0]["usual"])
        yield client
