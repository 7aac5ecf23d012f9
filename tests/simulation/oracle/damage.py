"""Damaged fields: what was damaged and when it was mended, and which comparisons that excuses.

Only these are excused: the damaged field itself, the history of that brand and minute, and a brand that a
close names as damaged. Everything else stays exact, and everything must finish, mended or not.
"""

from zlib import crc32

RUBBISH = "rubbish"


class DamageOracle:
    """The damage of one world. What was ever damaged stays known when Redis goes back in time."""

    def __init__(self, oracle):
        self._oracle = oracle
        self.counts = set()  # (minute, brand)
        self.mended_counts = set()
        self.history = set()  # (minute, brand)
        self.episodes = set()  # brands

    @property
    def _state(self):
        return self._oracle.state

    def damage_episode(self, rng):
        brand = self._any_brand(rng)
        if brand is None:
            return False
        episodes = self._episodes(brand)
        if episodes.get(brand) != RUBBISH:
            self._oracle.seen.kept[brand] = episodes.get(brand)
        episodes[brand] = RUBBISH
        self.episodes.add(brand)
        return True

    def damage_history(self, rng):
        brand = self._any_brand(rng)
        starts = sorted(self._state.by_minute.get(brand, ()))
        if not starts:
            return False
        minute = rng.choice(starts)
        self._state.by_minute[brand][minute] = RUBBISH
        self.history.add((minute, brand))
        return True

    def damage_count(self, rng):
        minutes = [start for start, minute in self._state.minutes.items() if _cells(minute)]
        if not minutes:
            return False
        start = rng.choice(sorted(minutes)[-5:])
        field = rng.choice(sorted(_cells(self._state.minutes[start])))
        self._state.minutes[start].fields[field] = RUBBISH
        self.counts.add((start, field.split(":", 2)[2]))
        return True

    def mend(self):
        """Remove rubbish; an episode record comes back from a copy. Returns how many fields it was."""
        mended = 0
        for brand in self.episodes:
            if self._episodes(brand).get(brand) == RUBBISH:
                kept = self._oracle.seen.kept.get(brand)
                self._episodes(brand).pop(brand)
                if kept is not None:
                    self._episodes(brand)[brand] = kept
                mended += 1
        for brand, values in self._state.by_minute.items():
            for minute in [minute for minute, sums in values.items() if sums == RUBBISH]:
                del values[minute]
                self.history.add((minute, brand))
                mended += 1
        for start, minute in self._state.minutes.items():
            for field in [field for field, value in minute.fields.items() if value == RUBBISH]:
                del minute.fields[field]
                self.mended_counts.add((start, field.split(":", 2)[2]))
                mended += 1
        return mended

    def excuses_sums(self, minute, brand, call):
        """Whether a close may leave a brand out, or say of it what is left after a mending."""
        if (minute, brand) not in self.counts:
            return False
        named = any(one.kind == "count" and one.field.split(":", 2)[2] == brand for one in call.damaged)
        return (brand not in call.sums and named) or (minute, brand) in self.mended_counts

    def excuses_evaluation(self, brand, call):
        """Whether a close may leave a brand unevaluated: its record or history was damaged, it says."""
        record = any(one.kind == "episode" and one.field == f"episode:{brand}" for one in call.damaged)
        history = any(one.kind == "history" and one.key.endswith(f":{brand}") for one in call.damaged)
        if history and any(one == brand for _, one in self.history):
            self._oracle.seen.fed[brand] = None  # it will be warmed up by what was mended
            return True
        return record and brand in self.episodes

    def _any_brand(self, rng):
        brands = sorted(brand for brand in self._state.brands if brand)
        return rng.choice(brands) if brands else None

    def _episodes(self, brand):
        return self._state.shards[crc32(brand.encode()) % 16].episodes


def _cells(minute):
    """The on-time counts of a minute, by field."""
    return [name for name in minute.fields if name.count(":") > 1 and not name.startswith("late_")]
