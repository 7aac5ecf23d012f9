"""Webhook: a message as one signed POST, after the Standard Webhooks specification.

Rules:
1. `webhook-id` is the message's id, the same in all attempts; the body is the notification's, byte for byte.
2. Only a 2xx is delivered. A redirect is a failure; 410 disables the channel. Of a response, only its status
   and `Retry-After` are read.
3. One attempt a call: `core/alerting/retry_queue.py` decides when to try again.
4. Neither the address nor a secret is part of an outcome.
5. The time-out is that of a whole attempt. The client's own time-outs are for each read, so a receiver that
   drips its answer could hold it for ever; its thread is abandoned, and ends with its connection.
"""

import base64
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from functools import cache
from queue import Empty, SimpleQueue
from typing import Final
from urllib.parse import urlsplit

import httpx2
from standardwebhooks import Webhook as Signer

from stream_worker.core.alerting.notification_log import Message
from stream_worker.core.alerting.retry_queue import SendOutcome
from stream_worker.errors import Misconfigured
from stream_worker.version import VERSION

GONE: Final = 410
KEY_BYTES_MIN: Final = 24
KEY_BYTES_MAX: Final = 64


class Webhook:
    """One endpoint. Several secrets sign all at once, so that a receiver can change to a new one.

    With `public_only` the address must be https and lead to public addresses. Raises Misconfigured.
    """

    name = "webhook"

    def __init__(
        self, url: str, secrets: Sequence[str], *, timeout_s: float, public_only: bool = False
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Misconfigured("notify.webhook_url is no http:// or https:// address")
        if public_only and parts.scheme != "https":
            raise Misconfigured("notify.webhook_url must be https:// while notify.public_only is set")
        self._url, self._host, self._public_only = url, parts.hostname, public_only
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._signers = [_signer(secret) for secret in secrets]
        self._timeout_s = timeout_s
        self._client = _client(timeout_s)

    def send(self, message: Message) -> SendOutcome:
        """Send once, within the time-out. Raises nothing for what a receiver may do."""
        if self._public_only and (why := self._private_target()) is not None:
            return SendOutcome("failed", why)
        answer: SimpleQueue[SendOutcome | BaseException] = SimpleQueue()
        client = self._client

        def attempt() -> None:
            try:
                answer.put(self._post(client, message))
            except BaseException as error:  # noqa: BLE001 - raised again by the caller of `send`
                answer.put(error)

        threading.Thread(target=attempt, name="webhook", daemon=True).start()
        try:
            outcome = answer.get(timeout=self._timeout_s)
        except Empty:
            self._client = _client(self._timeout_s)
            client.close()
            return SendOutcome("failed", f"no whole answer within {self._timeout_s:g} s")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def _post(self, client: httpx2.Client, message: Message) -> SendOutcome:
        now = dt.datetime.now(dt.UTC)
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(s.sign(message.id, now, message.body) for s in self._signers),
        }
        try:
            with client.stream("POST", self._url, content=message.body.encode(), headers=headers) as response:
                return _outcome(response, now)
        except httpx2.HTTPError as error:
            return SendOutcome("failed", _cause(error))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _private_target(self) -> str | None:
        """Return why the host is no public target, or None. A name may still change before the request."""
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            return "the host has no address"
        addresses = {ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found}
        if all(_mapped(address).is_global for address in addresses):
            return None
        return "the host leads to an address that is not public (notify.public_only)"


def _client(timeout_s: float) -> httpx2.Client:
    return httpx2.Client(
        timeout=httpx2.Timeout(timeout_s),
        follow_redirects=False,
        verify=_trusted(),
        headers={"user-agent": f"stream-worker/{VERSION}", "content-type": "application/json"},
        limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Return the certificate authorities that the library trusts, read once a process."""
    return httpx2.create_ssl_context()


def _signer(secret: str) -> Signer:
    """Return the signer of a secret; the library itself accepts nearly any text. Raises Misconfigured."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_") + "==", validate=False)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise Misconfigured(
            "notify.webhook_secret cannot be read: write whsec_ and 24 to 64 bytes as base64, "
            "as `openssl rand -base64 32` prints them"
        )
    return Signer(secret)


def _mapped(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return getattr(address, "ipv4_mapped", None) or address


def _outcome(response: httpx2.Response, now: dt.datetime) -> SendOutcome:
    status = response.status_code
    if response.is_success:
        return SendOutcome("delivered", str(status))
    if status == GONE:
        return SendOutcome("disabled", "410 Gone")
    return SendOutcome("failed", f"status {status}", _retry_after_s(response.headers.get("retry-after"), now))


def _retry_after_s(text: str | None, now: dt.datetime) -> float | None:
    """Read `Retry-After`: seconds, or a date; None when it is neither."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _cause(error: BaseException) -> str:
    """Name a failure without the message of the client, which may hold the address."""
    name = type(error).__name__
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return f"{name}: {inner.strerror}"
        inner = inner.__cause__ or inner.__context__
    return name
