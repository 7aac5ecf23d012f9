"""Alerts as they are shown: messages and records of episodes brought together. Pure functions."""

import json
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

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


class AlertMessage(NamedTuple):
    """A message about an episode: its whole body, and the fields of it that are read here."""

    body: dict[str, object]
    kind: str
    episode: str
    brand: str
    opened: str
    minute: str
    peak_score: float | None
    model: str | None


class RunningEpisode(NamedTuple):
    """An open episode and its brand."""

    brand: str
    episode: Episode


def alerts_of(messages: Mapping[str, str], snapshot: PageSnapshot) -> list[Alert]:
    """Bring messages (id → body as text) and open episodes together: open ones first, then the newest.

    A body that is no JSON object with an episode and a brand is left out; unknown fields are kept.
    """
    by_episode: dict[str, list[AlertMessage]] = {}
    for message in filter(None, map(_read_message, messages.values())):
        by_episode.setdefault(message.episode, []).append(message)
    running = {
        episode.id: RunningEpisode(brand, episode)
        for brand, episode in snapshot.episodes.items()
        if episode.resolved_ms is None
    }
    episodes = dict.fromkeys((*by_episode, *running))  # in this order, each once
    alerts = [_alert(one, by_episode.get(one, ()), running.get(one), snapshot) for one in episodes]
    alerts.sort(key=lambda alert: alert.opened, reverse=True)
    return sorted(alerts, key=lambda alert: alert.ended is not None)


def find_alert(alerts: list[Alert], alert_id: str) -> Alert | None:
    """Return the alert with this id, or with a message of this id."""
    for alert in alerts:
        if alert.id == alert_id or any(message.get("id") == alert_id for message in alert.messages):
            return alert
    return None


def _read_message(text: str) -> AlertMessage | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in _NEEDED):
        return None
    peak_score, model = body.get("peak_score"), body.get("model")
    return AlertMessage(
        body=body,
        kind=body["kind"],
        episode=body["episode"],
        brand=body["brand"],
        opened=body["opened"],
        minute=body["minute"],
        peak_score=peak_score if isinstance(peak_score, int | float) else None,
        model=model if isinstance(model, str) else None,
    )


_NEEDED: Final = ("id", "kind", "episode", "brand", "opened", "minute")


def _alert(
    episode_id: str, messages: Sequence[AlertMessage], running: RunningEpisode | None, snapshot: PageSnapshot
) -> Alert:
    """Build an alert from messages, from the record of an open episode, or from both.

    A long episode has no messages in Redis any more; a closed one has no record.
    """
    messages = sorted(messages, key=_order)
    if messages:
        brand, opened, model = messages[-1].brand, messages[-1].opened, messages[-1].model
    else:
        assert running is not None
        brand, opened, model = running.brand, instant(running.episode.opened_ms), None
    state: AlertState = "escalated" if any(one.kind == "escalated" for one in messages) else "open"
    end = next((one for one in messages if one.kind in _ENDS), None) if running is None else None
    if end is not None:
        state = _ENDS[end.kind]
    scores = [one.peak_score for one in messages if one.peak_score is not None]
    if running is not None:
        scores.append(round(running.episode.peak_score, 2))
    return Alert(
        as_of=instant(snapshot.now_ms),
        final=end is not None,
        revision=snapshot.revision,
        coverage=None,
        model=model,
        id=episode_id,
        brand=brand,
        state=state,
        opened=opened,
        ended=None if end is None else end.minute,
        peak_score=max(scores, default=None),
        messages=[one.body for one in messages],
    )


def _order(message: AlertMessage) -> tuple[str, int]:
    return message.minute, _KINDS.index(message.kind) if message.kind in _KINDS else 0
