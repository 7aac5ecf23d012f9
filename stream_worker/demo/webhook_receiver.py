"""The demo's own webhook receiver: it takes the notifier's messages, and only those with a good signature.

Each message is kept as a file, so that anybody can count and verify them again.
"""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from stream_worker.demo.brand_table import AlertBody
from stream_worker.devservers.child_process import LOOPBACK

BODY_BYTES_MAX: Final = 20_000  # docs/alerts.md
SIGNED: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


class ReceivedMessage(NamedTuple):
    """One message with a good signature; `received_s` is since 1970, of its first arrival."""

    id: str
    received_s: float
    body: AlertBody


class Receiver:
    """An HTTP server at a free port of 127.0.0.1; a context manager."""

    def __init__(self, secret: str, folder: Path) -> None:
        self.receipts: dict[str, ReceivedMessage] = {}
        self.refused = 0  # requests without a good signature
        folder.mkdir(parents=True, exist_ok=True)
        receiver, webhook = self, Webhook(secret)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(min(size, BODY_BYTES_MAX))
                headers = {name: self.headers.get(name, "") for name in SIGNED}
                try:
                    message = webhook.verify(body, headers)
                except WebhookVerificationError:
                    receiver.refused += 1
                    self.send_error(401)
                    return
                receipt = ReceivedMessage(headers["webhook-id"], time.time(), message)
                if receiver.receipts.setdefault(receipt.id, receipt) is receipt:
                    kept = {"headers": headers, "body": body.decode()}
                    (folder / f"{receipt.id}.json").write_text(json.dumps(kept, indent=2))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass  # the terminal shows what arrived

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
