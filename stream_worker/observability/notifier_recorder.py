"""Records what the notifier does as metrics and health."""

from stream_worker.core.aggregates.damage import DamageKind
from stream_worker.observability.health import Health
from stream_worker.observability.metrics import Metrics


class NotifierMetrics:
    """One method for each event of the notifier."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self._metrics, self._health = metrics, health

    def turned(self, *, leads: bool, pending: int) -> None:
        """The loop turned."""
        self._metrics.notifier_leads.set(leads)
        self._metrics.undelivered_messages.set(pending)
        self._health.turned()

    def notification_created(self, kind: str) -> None:
        """A message of this kind is in its notification log."""
        self._metrics.alerts_total.labels(kind).inc()

    def sent(self, channel: str, outcome: str, took_s: float) -> None:
        """A channel answered."""
        self._metrics.deliveries_total.labels(channel, outcome).inc()
        self._metrics.delivery_seconds.labels(channel).observe(took_s)
        self._health.report(channel, ok=outcome == "delivered", detail=outcome)

    def damaged(self, kind: DamageKind) -> None:
        """A field that cannot be read was left out."""
        self._metrics.damaged_fields_total.labels(kind).inc()

    def dependency(self, name: str, *, up: bool, detail: str = "") -> None:
        """A server answered, or did not."""
        self._metrics.dependency_up.labels(name).set(up)
        self._health.report(name, ok=up, detail=detail)
