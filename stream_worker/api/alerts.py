"""Alerts as they are shown: messages and records of episodes brought together. Pure functions."""

import json
from collections.abc import Mapping
from typing import Any, Final

from stream_worker.api.schemas import Alert, AlertState, instant
from stream_worker.api.snapshot import PageSnapshot
from stream_worker.core.detection.episodes import Episode

_KINDS: Final = ("opened", "escalated", "reminder", "missed", "resolved", "expired", "withdrawn")
_ENDS: Final[dict[str, AlertState]] = {
    "resolved": "resolved",
    "expired": "expired",
    "withdrawn": "withdrawn",
    "missed": "missed",
}


def alerts_of(messages: Mapping[str, str], look: PageSnapshot) -> list[Alert]:
    """Bring messages (id → body as text) and open episodes together: open ones first, then the newest.

    A body that is no JSON object with an episode and a brand is left out; fields nobody knows are kept.
    """
    told: dict[str, list[dict[str, Any]]] = {}
    for body in filter(None, map(_body, messages.values())):
        told.setdefault(str(body["episode"]), []).append(body)
    running = {of.id: (brand, of) for brand, of in look.episodes.items() if of.resolved_ms is None}
    alerts = [_alert(of, running.get(name), look) for name, of in told.items()]
    alerts += [_untold(*running[name], look) for name in running.keys() - told.keys()]
    alerts.sort(key=lambda alert: alert.opened, reverse=True)
    return sorted(alerts, key=lambda alert: alert.ended is not None)


def find_alert(alerts: list[Alert], wanted: str) -> Alert | None:
    """Return the alert with this id, or with a message of this id."""
    for alert in alerts:
        if alert.id == wanted or any(message.get("id") == wanted for message in alert.messages):
            return alert
    return None


def _body(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in _NEEDED):
        return None
    return body


_NEEDED: Final = ("id", "kind", "episode", "brand", "opened", "minute")


def _alert(told: list[dict[str, Any]], running: tuple[str, Episode] | None, look: PageSnapshot) -> Alert:
    def order(body: dict[str, Any]) -> tuple[str, int]:
        kind = body["kind"]
        return body["minute"], _KINDS.index(kind) if kind in _KINDS else 0

    told = sorted(told, key=order)
    newest, kinds = told[-1], [body["kind"] for body in told]
    end = next((body for body in told if body["kind"] in _ENDS), None)
    state: AlertState = "escalated" if "escalated" in kinds else "open"
    if end is not None and running is None:
        state = _ENDS[end["kind"]]
    scores = [body["peak_score"] for body in told if isinstance(body.get("peak_score"), int | float)]
    if running is not None:
        scores.append(round(running[1].peak_score, 2))
    return Alert(
        id=newest["episode"],
        brand=newest["brand"],
        state=state,
        opened=newest["opened"],
        ended=end["minute"] if end is not None and running is None else None,
        peak_score=max(scores) if scores else None,
        messages=told,
        **_fresh(look, final=end is not None and running is None, model=newest.get("model")),
    )


def _untold(brand: str, episode: Episode, look: PageSnapshot) -> Alert:
    """An episode whose messages are no longer in Redis."""
    return Alert(
        id=episode.id,
        brand=brand,
        state="open",
        opened=instant(episode.opened_ms),
        ended=None,
        peak_score=round(episode.peak_score, 2),
        messages=[],
        **_fresh(look, final=False, model=None),
    )


def _fresh(look: PageSnapshot, *, final: bool, model: object) -> dict[str, Any]:
    return {
        "as_of": instant(look.now_ms),
        "final": final,
        "revision": look.revision,
        "coverage": None,
        "model": model if isinstance(model, str) else None,
    }
