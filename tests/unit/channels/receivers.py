"""A receiver of webhooks on loopback, which answers as a test requests and verifies signatures."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from standardwebhooks import Webhook as Verifier

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


class Arrived(NamedTuple):
    """One request."""

    id: str
    body: str
    headers: dict


class Receiver:
    """`answers` are statuses, or (status, headers), for the next requests; then 204."""

    def __init__(self):
        self.answers, self.arrived = [], []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.receiver = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks?token=of-the-address"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def ids(self):
        return [one.id for one in self.arrived]

    def verify(self, secret=SECRET):
        """Verify all that arrived; returns the bodies as JSON."""
        return [Verifier(secret).verify(one.body, one.headers) for one in self.arrived]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver.arrived.append(Arrived(headers["webhook-id"], body, headers))
        answer = receiver.answers.pop(0) if receiver.answers else 204
        status, more = answer if isinstance(answer, tuple) else (answer, {})
        if status == "hang up":
            self.close_connection = True
            self.connection.close()
            return
        if status == "hang":
            threading.Event().wait(more)
            status, more = 204, {}
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()


def body_of(name="opened", episode="0123456789abcdef-20251122T1200", brand="Bär", **more):
    """A body as a close puts it into the outbox."""
    fields = {"id": f"{episode}.{name}", "kind": name.split(".")[0], "episode": episode, "brand": brand}
    times = {"opened": "2025-11-22T12:00:00Z", "minute": "2025-11-22T12:00:00Z"}
    return json.dumps(fields | times | more, ensure_ascii=False)
