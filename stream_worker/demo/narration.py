"""The demo in numbers: minutes, alerts, webhooks, and how soon a mention could be seen."""

import json
from collections.abc import Iterable
from typing import NamedTuple

from stream_worker.adapters.redis.keys import AlertField, ShardField
from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.time import MINUTE_MS
from stream_worker.demo.brand_table import KEYS, AlertBody
from stream_worker.demo.latency_probes import VisibleLatency
from stream_worker.demo.text_redis import TextRedis
from stream_worker.demo.webhook_receiver import ReceivedMessage
from stream_worker.quantity import quantity


class Ending(NamedTuple):
    """The numbers at the end."""

    windows_final: int  # minutes that are evaluated and never change again
    alerts_opened: int
    webhooks_delivered: int  # different messages with a good signature
    crisis_to_webhook_s: float | None  # from its first mention to the signed message; None: none came
    visible: VisibleLatency

    def as_object(self) -> dict[str, object]:
        """Return the numbers as JSON has them."""
        return {
            **self._asdict(),
            "visible": self.visible.seen,
            "visible_p50_ms": round(self.visible.p50_ms),
            "visible_p99_ms": round(self.visible.p99_ms),
        }

    def lines(self) -> list[str]:
        """Return the numbers as lines for people."""
        took = "none came" if self.crisis_to_webhook_s is None else f"{self.crisis_to_webhook_s:.0f} s"
        rows = [
            ("final minutes", self.windows_final, "evaluated; they never change again"),
            ("alerts", self.alerts_opened, f"from the crisis to its webhook: {took}"),
            ("webhooks", self.webhooks_delivered, "verified by the demo's own receiver"),
            ("visible", f"{self.visible.p50_ms:,.0f} ms", "from producer to Redis, half of the probes"),
            ("", f"{self.visible.p99_ms:,.0f} ms", f"99 of 100, of {quantity(self.visible.seen, 'probe')}"),
        ]
        return [
            f"{what:<14} {number if isinstance(number, str) else format(number, ','):>9}   {meaning}"
            for what, number, meaning in rows
        ]


def read_alerts(client: TextRedis) -> list[AlertBody]:
    """Read the messages that people were sent, oldest first."""
    return [json.loads(fields[AlertField.BODY]) for _, fields in client.xrange(KEYS.alerts)]


def summarise(
    client: TextRedis, receipts: Iterable[ReceivedMessage], crisis: tuple[str, float], visible: VisibleLatency
) -> Ending:
    """Put the numbers together. `crisis` is its brand and its beginning, in seconds since 1970."""
    brand, began_s = crisis
    arrived = list(receipts)
    opened = {alert["id"] for alert in read_alerts(client) if alert["kind"] == "opened"}
    heard_s = [r.received_s for r in arrived if r.body["kind"] == "opened" and r.body["brand"] == brand]
    return Ending(
        windows_final=_final_minutes(client),
        alerts_opened=len(opened),
        webhooks_delivered=len(arrived),
        crisis_to_webhook_s=round(min(heard_s) - began_s, 1) if heard_s else None,
        visible=visible,
    )


def _final_minutes(client: TextRedis) -> int:
    """Count the minutes from the first with a mention to the first that some shard has not closed."""
    closed = [int(client.hget(KEYS.shard(k), ShardField.CLOSED) or 0) for k in range(SHARDS)]
    first = [int(value) for value in client.hvals(KEYS.brands) if value]
    return max(0, min(closed) - min(first)) // MINUTE_MS if first else 0
