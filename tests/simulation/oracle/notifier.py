"""What must be true of alerts by docs/design.md#deliver and its formats, with no code of the notifier.

It watches every close, look, link and delivery, and keeps its own account of alerts per brand.
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
class Told:
    """One alert as its chain tells it."""

    episode: str
    body: str
    episodes: set
    ids: list
    end: dict | None = None  # the body that ended it


@dataclass
class Account:
    """One brand's chain."""

    links: list = field(default_factory=list)
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
        self._fixed = {}  # id -> bodies
        self._fixed_brands = set()

    def check(self, holds, check, *detail):
        if not holds:
            raise Violation(check, " ".join(map(str, detail)))

    # Redis

    def put(self, text):
        self._put[json.loads(text)["id"]].add(text)
        self._life.append(text)

    def life(self):
        return list(self._life)

    def goes_back(self, life):
        self._life = list(life)

    def fixes(self, message):
        self.world.bites["message fixed"] += 1
        self._fixed_brands.add(message.brand)
        self._fixed.setdefault(message.id, set()).add(message.body)

    def looks(self, process):
        """A process sees Redis as it is now: what it decides from here on must be right by this."""
        state, now_ms = self.world.redis, self.world.now_ms
        process.looked = {}
        for brand in self.world.closer.spikes:
            shard = state.shards[crc32(brand.encode()) % 16]
            process.looked[brand] = (now_ms, shard.closed_ms, self._open(brand))

    def _open(self, brand):
        shard = self.world.redis.shards[crc32(brand.encode()) % 16]
        record = json.loads(shard.episodes.get(brand, "null"))
        return record["id"] if record and record.get("resolved_ms") is None else None

    def _excused(self, brand):
        """Both store away for long and Redis gone back: only then something may be told twice."""
        went_back = self.world.bites["redis rolled back"] + self.world.bites["redis emptied"]
        return went_back and brand in self._fixed_brands

    # The store

    def links(self, name, body, looked):
        link = json.loads(body)
        brand, sent = link["brand"], json.loads(link["body"])
        account = self.accounts[brand]
        key = sha256(brand.encode()).hexdigest()[:16]
        n = len(account.links) + 1
        self.check(name == f"_alerts/{key}/{n:08d}.json" and link["n"] == n, "chain without holes", name)
        for field_ in ("id", "kind", "brand", "episode"):
            self.check(link[field_] == sent[field_], "a link says what its body says", name, field_)
        others = {other["body"] for other in account.links if other["id"] == link["id"]}
        self.check(not others or others == {link["body"]}, "one body per id", link["id"])
        told = {(other["id"], other.get("again_for")) for other in account.links}
        self.check((link["id"], link.get("again_for")) not in told, "told once", link["id"])
        account.links.append(link)
        self.world.bites[f"link {link['kind']}"] += 1
        late = link["body"] in self._fixed.get(link["id"], ())  # it was told while the store was away
        now_ms, closed_ms, is_open = looked[brand]
        caught_up = closed_ms >= now_ms - AGE_MS
        self.check(late or caught_up, "decided while closes were behind", link["id"])
        if link["kind"] == "opened":
            self._opening(account, link, sent, late, worth=self._worth(sent, now_ms, is_open))
        elif link["kind"] == "missed":
            self.check(not self._worth(sent, now_ms, is_open), "missed what was to be paged", link["id"])
            self.check(self._was_put(sent, "opened"), "missed what is no episode", link["id"])
            paged = f"{link['episode']}.opened" in self.received
            self.check(not paged or self._excused(brand), "missed what was paged", link["id"])
            account.missed.add(link["episode"])
        else:
            self._follows(account, link, sent, closed_ms, is_open)

    def _worth(self, sent, now_ms, is_open):
        return is_open == sent["episode"] or ms(sent["minute"]) >= now_ms - AGE_MS

    def _was_put(self, sent, kind, episode=None):
        name = sent["id"].replace(".missed", f".{kind}").replace(sent["episode"], episode or sent["episode"])
        strip = lambda body: {k: v for k, v in body.items() if k not in ("id", "kind", "episode", "opened")}  # noqa: E731
        return any(strip(json.loads(text)) == strip(sent) for text in self._put[name])

    def _opening(self, account, link, sent, late, *, worth):
        again = link.get("again_for")
        if again:
            alert = account.named(link["episode"])
            if alert is None and self._excused(link["brand"]):  # what it was first paged by is forgotten
                alert = Told(link["episode"], link["body"], {link["episode"]}, [link["id"]])
                account.alerts.append(alert)
            self.check(alert is not None, "adopted what was never told", link["id"])
            self.check(f"{again}.opened" in self._put, "adopted for what is no episode", again)
            known = account.alert_of(again)
            self.check(known is None or self._excused(link["brand"]), "an episode is told once", again)
            taken_back = alert.end is not None and alert.end["kind"] == "withdrawn"
            excused = self._excused(link["brand"])
            self.check(not taken_back or excused, "adopted what was taken back", again)
            alert.episodes.add(again)
            self.world.bites["adopted"] += 1
            return
        self.check(link["body"] in self._put[link["id"]], "paged what is no episode", link["id"])
        self.check(late or worth, "paged what is old and over", link["id"])
        twice_allowed = self._excused(link["brand"])
        known = account.alert_of(link["episode"])
        self.check(known is None or twice_allowed, "an episode is told once", link["id"])
        for alert in account.alerts:
            self.check(alert.end or twice_allowed, "two alerts of a brand at once", link["id"], alert.episode)
            if alert.end and alert.end["kind"] != "withdrawn" and not twice_allowed:
                over = ms(alert.end["minute"]) < ms(sent["opened"])
                self.check(over, "paged what was told already", link["id"], alert.episode)
        if account.named(link["episode"]) is None:
            ends = (x for x in account.links if x["episode"] == link["episode"] and x["kind"] in ENDS)
            over = next((json.loads(x["body"]) for x in ends), None)  # paged without the store: linked late
            account.alerts.append(Told(link["episode"], link["body"], {link["episode"]}, [link["id"]], over))

    def _follows(self, account, link, sent, closed_ms, is_open):
        alert, kind = account.named(link["episode"]), link["kind"]
        if alert is None and self._excused(link["brand"]):
            return  # what it was paged by is forgotten
        self.check(alert is not None, "told of what was never paged", link["id"])
        twice_allowed = self._excused(link["brand"])
        self.check(alert.end is None or twice_allowed, "one end of an alert", link["id"], alert.end)
        if kind == "withdrawn":
            quiet = is_open is None and closed_ms > ms(json.loads(alert.body)["opened"])
            self.check(quiet or alert is not account.alerts[-1], "taken back what goes on", link["id"])
        else:
            by = [one for one in alert.episodes if self._was_put(sent, kind, one)]
            self.check(by, "told what no close said", link["id"], sent)
        alert.ids.append(link["id"])
        if kind in ENDS:
            alert.end = sent

    # The channel

    def receives(self, name, body):
        known = {
            link["body"] for account in self.accounts.values() for link in account.links if link["id"] == name
        }
        known |= self._fixed.get(name, set())
        self.check(known, "sent before its link", name)
        self.check(body in known, "sent other than its link", name)
        twice_allowed = self._excused(json.loads(body)["brand"])
        self.check(self.received.setdefault(name, body) == body or twice_allowed, "one body per id", name)
        self.check(not name.endswith(".missed"), "sent what was missed", name)
        order, brand = self._order[json.loads(body)["episode"]], json.loads(body)["brand"]
        if name not in order and brand not in self._fixed_brands:
            self.check(bool(order) != name.endswith(".opened"), "sent in order", name, order)
            self.check(not order or order[-1].rsplit(".", 1)[1] not in ENDS, "sent in order", name, order)
            order.append(name)
        self.world.bites["received"] += 1

    # At the end

    def waits_for(self):
        """What is not told yet, in words; empty when all is."""
        state = self.world.redis
        if state.outbox or state.fixed:
            return f"outbox: {sorted(state.outbox)} fixed: {sorted(state.fixed)}"
        for brand, account in self.accounts.items():
            for link in account.links:
                if link["kind"] != "missed" and link["id"] not in self.received:
                    return f"{link['id']} is in the chain and was never sent"
            for alert in account.alerts:
                if alert.end is None and self._open(brand) not in alert.episodes:
                    return f"{alert.episode} is open for people and not in Redis"
        return ""

    def check_all(self):
        """Every episode of this life is told of once, every page has its end, nothing else was told."""
        for text in self._life:
            event = json.loads(text)
            account = self.accounts[event["brand"]]
            alerts = [alert for alert in account.alerts if event["episode"] in alert.episodes]
            told = len(alerts) == 1 or (not alerts and event["episode"] in account.missed)
            told = told or (alerts and self._excused(event["brand"]))
            self.check(told, "an episode is told once", event["id"], len(alerts))
        for brand in self.world.closer.spikes:
            episode, account = self._open(brand), self.accounts[brand]
            if episode is not None:
                self.check(account.alert_of(episode), "an open episode that nobody was told of", episode)
            for alert in account.alerts:
                sent = [name for name in alert.ids if name in self.received]
                self.check(sent == alert.ids, "what is linked is sent", alert.ids, sent)
                self.world.bites["alert with its end"] += alert.end is not None
        linked = {link["id"] for account in self.accounts.values() for link in account.links}
        for name in self.received:
            lost = name in self._fixed and self._excused(json.loads(self.received[name])["brand"])
            self.check(name in linked or lost, "what was sent has its link", name)
        shown = {entry["id"]: entry["body"] for entry in self.world.redis.alerts}
        for name, body in shown.items():
            link = any(x["body"] == body for a in self.accounts.values() for x in a.links if x["id"] == name)
            self.check(link or body in self._fixed.get(name, ()), "shown to people as it was sent", name)
