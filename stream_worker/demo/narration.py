"""What a demo has shown, in numbers: minutes, alerts, webhooks, and how soon a mention could be seen."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.time import MINUTE_MS
from stream_worker.demo.brand_table import PREFIX
from stream_worker.demo.latency_probes import VisibleLatency
from stream_worker.demo.webhook_receiver import ReceivedMessage
from stream_worker.quantity import quantity


class Ending(NamedTuple):
    """The numbers at the end."""

    windows_final: int  # minutes that are judged and never change again
    alerts_opened: int
    webhooks_delivered: int  # different messages with a good signature
    crisis_to_webhook_s: float | None  # from its first post to the signed message; None: it did not come
    visible: VisibleLatency

    def as_object(self) -> dict[str, Any]:
        """The same for JSON."""
        return {
            **self._asdict(),
            "visible": self.visible.seen,
            "visible_p50_ms": round(self.visible.p50_ms),
            "visible_p99_ms": round(self.visible.p99_ms),
        }

    def lines(self) -> list[str]:
        """The same for people."""
        took = "none came" if self.crisis_to_webhook_s is None else f"{self.crisis_to_webhook_s:.0f} s"
        found = [
            ("final minutes", self.windows_final, "judged; they never change again"),
            ("alerts", self.alerts_opened, f"from the crisis to its webhook: {took}"),
            ("webhooks", self.webhooks_delivered, "verified by the demo's own receiver"),
            ("visible", f"{self.visible.p50_ms:,.0f} ms", "from producer to Redis, half of the probes"),
            ("", f"{self.visible.p99_ms:,.0f} ms", f"99 of 100, of {quantity(self.visible.seen, 'probe')}"),
        ]
        return [
            f"{what:<14} {number if isinstance(number, str) else format(number, ','):>9}   {meaning}"
            for what, number, meaning in found
        ]


def read_alerts(client: Any) -> list[dict[str, Any]]:
    """Read what was told to people, oldest first: bodies as docs/alerts.md has them."""
    return [json.loads(fields["body"]) for _, fields in client.xrange(f"{PREFIX}:alerts")]


def tell(
    client: Any, receipts: Iterable[ReceivedMessage], crisis: tuple[str, float], visible: VisibleLatency
) -> Ending:
    """Put the story together. `crisis` is its brand and when it began, in seconds since 1970."""
    brand, began_s = crisis
    arrived = list(receipts)
    opened = {alert["id"] for alert in read_alerts(client) if alert["kind"] == "opened"}
    told = [r.received_s for r in arrived if r.body["kind"] == "opened" and r.body["brand"] == brand]
    return Ending(
        windows_final=_final_minutes(client),
        alerts_opened=len(opened),
        webhooks_delivered=len(arrived),
        crisis_to_webhook_s=round(min(told) - began_s, 1) if told else None,
        visible=visible,
    )


def _final_minutes(client: Any) -> int:
    """Minutes from the first one with a mention to the first that some shard has not closed."""
    closed = [int(client.hget(f"{PREFIX}:shard:{k}", "closed") or 0) for k in range(SHARDS)]
    first = [int(value) for value in client.hvals(f"{PREFIX}:brands") if value]
    return max(0, min(closed) - min(first)) // MINUTE_MS if first else 0
