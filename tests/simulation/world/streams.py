"""What producers send: mentions, duplicates, copies, the same authors, late, future and broken records."""

import json

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
BRANDS = ("acme", "zeta:1", "Bär")
NETWORKS = ("x", "mast.social")
AUTHORS = ("ann", "bob", None)
BROKEN = (
    None,
    b"",
    b"{",
    b"[1]",
    b"\xff",
    b'{"id":"1"}',
    b'{"id":"1","brand":" ","network":"x","text":"t","event_time":1763812800000}',
    b'{"id":"1","brand":"a","network":"X Y","text":"t","event_time":1763812800000}',
    b'{"id":"1","brand":"a","network":"x","text":"t","event_time":1763812800}',
    b'{"id":"1","brand":"a","network":"x","text":"t","event_time":"yesterday"}',
    b'"' + b"x" * 1_500 + b'"',
)


class Streams:
    """The producers of one history."""

    def __init__(self, world):
        self._world = world
        self._sent = []
        self.newest_ms = world.now_ms  # of the event times of mentions
        rng = world.rng
        self._texts = [f"text {n}" for n in range(rng.choice((3, 8, 40)))]
        self._wild_clock = rng.random() < 0.15
        self._sparse = rng.random() < 0.4
        self._idle = {p for p in range(world.profile.partitions) if rng.random() < 0.2}

    def produce(self):
        """Some records for some partition, or a change of which partitions are idle."""
        rng, partitions = self._world.rng, self._world.broker.topic.partitions
        if rng.random() < 0.05:
            self._idle ^= {rng.randrange(len(partitions))}
        busy = [p for p in range(len(partitions)) if p not in self._idle]
        if busy:
            log = partitions[rng.choice(busy)]
            for _ in range(rng.choice((1, 1, 2, 3, 6))):
                self._append(log)

    def produce_everywhere(self):
        """One record for each partition that is not idle."""
        for number, log in enumerate(self._world.broker.topic.partitions):
            if number not in self._idle:
                self._append(log)

    def _append(self, log):
        world, rng = self._world, self._world.rng
        if self._sparse and rng.random() < 0.1:
            log.skip(rng.randint(1, 3))
            world.bites["offset without a record"] += 1
        record_time_ms = world.now_ms - rng.choice((0, 0, 0, 5, 200))
        if self._wild_clock and rng.random() < 0.05:
            record_time_ms += rng.randint(-20, 4) * MINUTE_MS
        log.append(record_time_ms, self._value(record_time_ms), world.now_ms)

    def _value(self, record_time_ms):
        rng = self._world.rng
        refresh_view = rng.random()
        if refresh_view < 0.06:
            return rng.choice(BROKEN)
        if refresh_view < 0.09:
            return self._mention(record_time_ms + 300_000 + rng.choice((1, 3_600_000)))  # too far ahead
        if refresh_view < 0.22 and self._sent:
            return rng.choice(self._sent[-6:])  # sent again, byte for byte
        if refresh_view < 0.75:
            ago_ms = rng.randint(0, 4_000)
        elif refresh_view < 0.95:
            ago_ms = rng.randint(0, 90_000)
        else:
            hours_ms = (3 * HOUR_MS,) * 3 if self._world.profile.past_hours else ()
            ago_ms = rng.choice((-300_000, -60_000, 150_000, 600_000, *hours_ms))
        value = self._mention(record_time_ms - ago_ms)
        self.newest_ms = max(self.newest_ms, record_time_ms - ago_ms)
        self._sent.append(value)
        return value

    def _mention(self, event_time_ms):
        rng = self._world.rng
        fields = {
            "id": str(rng.randint(1, 60)),
            "brand": rng.choice(BRANDS),
            "network": rng.choice(NETWORKS),
            "text": rng.choice(self._texts),
            "event_time": event_time_ms,
        }
        if (author := rng.choice(AUTHORS)) is not None:
            fields["author"] = author
        return json.dumps(fields).encode()
