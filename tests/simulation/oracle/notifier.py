"""Invariants of alerts by docs/design.md#deliver and its formats, without code of the notifier.

The oracle watches every close, snapshot, notification and delivery, and keeps its own account of each brand's
alerts.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from zlib import crc32

from tests.simulation.world.faults import Violation

AGE_MS = 600_000
ENDS = ("resolved", "expired", "withdrawn")


@dataclass
class Alert:
    """One alert as its notification log holds it."""

    episode: str
    body: str
    episodes: set
    ids: list
    end: dict | None = None  # the body that ended it


@dataclass
class Account:
    """One brand's notification log."""

    notifications: list = field(default_factory=list)
    alerts: list = field(default_factory=list)
    missed: set = field(default_factory=set)

    def alert_of(self, episode):
        return next((alert for alert in reversed(self.alerts) if episode in alert.episodes), None)

    def named(self, episode):
        return next((alert for alert in reversed(self.alerts) if alert.episode == episode), None)


def ms(instant):
    return int(datetime.fromisoformat(instant).timestamp() * 1000)


class Oracle:
    """All that is watched in one history."""

    def __init__(self, world):
        self.world = world
        self.accounts = defaultdict(Account)  # by brand
        self.received = {}  # id -> body
        self._order = defaultdict(list)  # episode -> ids in the order they first arrived
        self._put = defaultdict(set)  # id -> bodies that a close put into the outbox, in any life
        self._life = []  # bodies put in this life, in order
        self._frozen = {}  # id -> bodies
        self._frozen_brands = set()

    def check(self, holds, check, *detail):
        if not holds:
            raise Violation(check, " ".join(map(str, detail)))

    # Redis

    def entry_put(self, text):
        self._put[json.loads(text)["id"]].add(text)
        self._life.append(text)

    def life(self):
        return list(self._life)

    def goes_back(self, life):
        self._life = list(life)

    def message_frozen(self, message):
        self.world.bites["message frozen"] += 1
        self._frozen_brands.add(message.brand)
        self._frozen.setdefault(message.id, set()).add(message.body)

    def snapshot_read(self, process):
        """A process sees Redis as it is now: its next decisions must be right by this."""
        state, now_ms = self.world.redis, self.world.now_ms
        process.seen = {}
        for brand in self.world.closer.spikes:
            shard = state.shards[crc32(brand.encode()) % 16]
            process.seen[brand] = (now_ms, shard.closed_ms, self._open(brand))

    def _open(self, brand):
        shard = self.world.redis.shards[crc32(brand.encode()) % 16]
        record = json.loads(shard.episodes.get(brand, "null"))
        return record["id"] if record and record.get("resolved_ms") is None else None

    def _excused(self, brand):
        """Both store away for long and Redis gone back: only then something may be reported twice."""
        went_back = self.world.bites["redis rolled back"] + self.world.bites["redis emptied"]
        return went_back and brand in self._frozen_brands

    # The store

    def notification_created(self, name, body, seen):
        entry = json.loads(body)
        brand, sent = entry["brand"], json.loads(entry["body"])
        account = self.accounts[brand]
        key = sha256(brand.encode()).hexdigest()[:16]
        n = len(account.notifications) + 1
        named = name == f"_alerts/{key}/{n:08d}.json" and entry["n"] == n
        self.check(named, "notification log without holes", name)
        for field_ in ("id", "kind", "brand", "episode"):
            self.check(entry[field_] == sent[field_], "a notification and its body agree", name, field_)
        others = {other["body"] for other in account.notifications if other["id"] == entry["id"]}
        self.check(not others or others == {entry["body"]}, "one body per id", entry["id"])
        reported = {(other["id"], other.get("again_for")) for other in account.notifications}
        self.check((entry["id"], entry.get("again_for")) not in reported, "reported once", entry["id"])
        account.notifications.append(entry)
        self.world.bites[f"notification {entry['kind']}"] += 1
        late = entry["body"] in self._frozen.get(entry["id"], ())  # it was sent while the store was away
        now_ms, closed_ms, is_open = seen[brand]
        caught_up = closed_ms >= now_ms - AGE_MS
        self.check(late or caught_up, "decided while closes were behind", entry["id"])
        if entry["kind"] == "opened":
            self._opening(account, entry, sent, late, worth=self._worth(sent, now_ms, is_open))
        elif entry["kind"] == "missed":
            worth = self._worth(sent, now_ms, is_open)
            self.check(not worth, "missed what was to be paged", entry["id"])
            self.check(self._was_put(sent, "opened"), "missed what is no episode", entry["id"])
            paged = f"{entry['episode']}.opened" in self.received
            self.check(not paged or self._excused(brand), "missed what was paged", entry["id"])
            account.missed.add(entry["episode"])
        else:
            self._follows(account, entry, sent, closed_ms, is_open)

    def _worth(self, sent, now_ms, is_open):
        return is_open == sent["episode"] or ms(sent["minute"]) >= now_ms - AGE_MS

    def _was_put(self, sent, kind, episode=None):
        name = sent["id"].replace(".missed", f".{kind}").replace(sent["episode"], episode or sent["episode"])
        strip = lambda body: {k: v for k, v in body.items() if k not in ("id", "kind", "episode", "opened")}  # noqa: E731
        return any(strip(json.loads(text)) == strip(sent) for text in self._put[name])

    def _opening(self, account, entry, sent, late, *, worth):
        excused = self._excused(entry["brand"])
        if entry.get("again_for"):
            self._adoption(account, entry, excused=excused)
            return
        self.check(entry["body"] in self._put[entry["id"]], "paged what is no episode", entry["id"])
        self.check(late or worth, "paged what is old and over", entry["id"])
        known = account.alert_of(entry["episode"])
        self.check(known is None or excused, "an episode is reported once", entry["id"])
        for alert in account.alerts:
            self.check(alert.end or excused, "two alerts of a brand at once", entry["id"], alert.episode)
            if alert.end and alert.end["kind"] != "withdrawn" and not excused:
                over = ms(alert.end["minute"]) < ms(sent["opened"])
                self.check(over, "paged what was reported already", entry["id"], alert.episode)
        if account.named(entry["episode"]) is None:
            ends = (
                one
                for one in account.notifications
                if one["episode"] == entry["episode"] and one["kind"] in ENDS
            )
            # An end that was sent without the store may be logged before its opening.
            end = next((json.loads(one["body"]) for one in ends), None)
            account.alerts.append(_alert(entry, end))

    def _adoption(self, account, entry, *, excused):
        alert, again = account.named(entry["episode"]), entry["again_for"]
        if alert is None and excused:  # its first page is forgotten
            alert = _alert(entry)
            account.alerts.append(alert)
        self.check(alert is not None, "adopted what was never reported", entry["id"])
        self.check(f"{again}.opened" in self._put, "adopted for what is no episode", again)
        known = account.alert_of(again)
        self.check(known is None or excused, "an episode is reported once", again)
        withdrawn = alert.end is not None and alert.end["kind"] == "withdrawn"
        self.check(not withdrawn or excused, "adopted what was withdrawn", again)
        alert.episodes.add(again)
        self.world.bites["adopted"] += 1

    def _follows(self, account, entry, sent, closed_ms, is_open):
        alert, kind = account.named(entry["episode"]), entry["kind"]
        if alert is None and self._excused(entry["brand"]):
            return  # its page is forgotten
        self.check(alert is not None, "reported without a page", entry["id"])
        twice_allowed = self._excused(entry["brand"])
        self.check(alert.end is None or twice_allowed, "one end of an alert", entry["id"], alert.end)
        if kind == "withdrawn":
            quiet = is_open is None and closed_ms > ms(json.loads(alert.body)["opened"])
            self.check(quiet or alert is not account.alerts[-1], "withdrawn while it goes on", entry["id"])
        else:
            by = [one for one in alert.episodes if self._was_put(sent, kind, one)]
            self.check(by, "reported without a close", entry["id"], sent)
        alert.ids.append(entry["id"])
        if kind in ENDS:
            alert.end = sent

    # The channel

    def message_received(self, name, body):
        logged = (entry for account in self.accounts.values() for entry in account.notifications)
        known = {entry["body"] for entry in logged if entry["id"] == name}
        known |= self._frozen.get(name, set())
        self.check(known, "sent before its notification", name)
        self.check(body in known, "sent other than its notification", name)
        twice_allowed = self._excused(json.loads(body)["brand"])
        self.check(self.received.setdefault(name, body) == body or twice_allowed, "one body per id", name)
        self.check(not name.endswith(".missed"), "sent what was missed", name)
        order, brand = self._order[json.loads(body)["episode"]], json.loads(body)["brand"]
        if name not in order and brand not in self._frozen_brands:
            self.check(bool(order) != name.endswith(".opened"), "sent in order", name, order)
            self.check(not order or order[-1].rsplit(".", 1)[1] not in ENDS, "sent in order", name, order)
            order.append(name)
        self.world.bites["received"] += 1

    # At the end

    def waits_for(self):
        """Name one thing that is not reported yet; empty when all is."""
        state = self.world.redis
        if state.outbox or state.fixed:
            return f"outbox: {sorted(state.outbox)} fixed: {sorted(state.fixed)}"
        for brand, account in self.accounts.items():
            for entry in account.notifications:
                if entry["kind"] != "missed" and entry["id"] not in self.received:
                    return f"{entry['id']} is in the notification log and was never sent"
            for alert in account.alerts:
                if alert.end is None and self._open(brand) not in alert.episodes:
                    return f"{alert.episode} is open for people and not in Redis"
        return ""

    def check_all(self):
        """Every episode of this life is reported once, every page has its end, nothing else was reported."""
        for text in self._life:
            event = json.loads(text)
            account = self.accounts[event["brand"]]
            alerts = [alert for alert in account.alerts if event["episode"] in alert.episodes]
            reported = len(alerts) == 1 or (not alerts and event["episode"] in account.missed)
            reported = reported or (alerts and self._excused(event["brand"]))
            self.check(reported, "an episode is reported once", event["id"], len(alerts))
        for brand in self.world.closer.spikes:
            episode, account = self._open(brand), self.accounts[brand]
            if episode is not None:
                self.check(account.alert_of(episode), "an open episode that nobody was notified of", episode)
            for alert in account.alerts:
                sent = [name for name in alert.ids if name in self.received]
                self.check(sent == alert.ids, "every notification is sent", alert.ids, sent)
                self.world.bites["alert with its end"] += alert.end is not None
        logged = [entry for account in self.accounts.values() for entry in account.notifications]
        names = {entry["id"] for entry in logged}
        for name in self.received:
            lost = name in self._frozen and self._excused(json.loads(self.received[name])["brand"])
            self.check(name in names or lost, "what was sent has its notification", name)
        bodies = {(entry["id"], entry["body"]) for entry in logged}
        shown = {alert["id"]: alert["body"] for alert in self.world.redis.alerts}
        for name, body in shown.items():
            known = (name, body) in bodies or body in self._frozen.get(name, ())
            self.check(known, "shown to people as it was sent", name)


def _alert(entry, end=None):
    return Alert(entry["episode"], entry["body"], {entry["episode"]}, [entry["id"]], end)
