"""The life of a minute: it is sealed, evaluated and closed; and the view of it is refreshed.

Rules:
1. Any worker may do any of this: the scripts compare what was read (docs/design.md#minutes). A lease only
   spares the work of doing it twice.
2. A minute is evaluated from its frozen fields and the brands that were read after the seal that froze them.
   Brands are kept by the id of that seal: Redis may go back and seal the same minute again. The states of
   shards are dropped as soon as a seal shows that Redis has closed less than they say.
3. Evaluation takes a bounded time per turn of the loop; what is left waits for the next turn.
4. A damaged field stops its brand or shard alone, and is reported (core/aggregates/damage.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from stream_worker.core.aggregates.damage import Damage, DamagedField
from stream_worker.core.aggregates.encoding import SHARDS
from stream_worker.core.aggregates.seal import SealResult
from stream_worker.core.aggregates.shard import Close, SealedMinute, Shard
from stream_worker.core.detection.detector import OPEN_AT, Detector
from stream_worker.core.detection.evaluate import Archived, evaluate
from stream_worker.core.time import HOUR_MS
from stream_worker.errors import Unreadable
from stream_worker.observability.worker_recorder import WorkerRecorder
from stream_worker.ports import Aggregates

LEASE_MS: Final = 5_000
HISTORY_HOURS: Final = 48

log = structlog.get_logger()


class WindowLifecycle:
    """What this worker knows of sealed minutes and shards."""

    def __init__(
        self,
        aggregates: Aggregates,
        detector: Detector[Any],
        *,
        owner: str,
        lateness_ms: int,
        max_hold_ms: int,
        recorder: WorkerRecorder,
        open_at: Callable[[str], float] = lambda _brand: OPEN_AT,
        archived: Archived = lambda _brand: None,
        on_damage: Callable[[Damage], None] = lambda _damage: None,
    ) -> None:
        self.sealed = SealResult(0, 0, [], 0, {}, 0, 0)
        self._aggregates, self._detector, self._owner = aggregates, detector, owner
        self._lateness_ms, self._max_hold_ms, self._recorder = lateness_ms, max_hold_ms, recorder
        self._open_at, self._archived, self._on_damage = open_at, archived, on_damage
        self._shards: dict[int, Shard] = {}
        self._damaged_shards: set[int] = set()  # they are read again after the next seal
        self._brands: Mapping[str, int | None] = {}
        self._brands_after = ""  # the id of the seal after which they were read
        self._leads = False
        self._refreshed_ms = 0

    def seal(self, partition_count: int, older_log: str = "") -> SealResult:
        """Seal what may be sealed; `older_log` as in `ports.Aggregates`. Raises Unavailable."""
        before_ms = self.sealed.sealed_ms
        self.sealed = self._aggregates.seal(partition_count, self._lateness_ms, self._max_hold_ms, older_log)
        self._damaged_shards.clear()
        if min((shard.closed_ms for shard in self._shards.values()), default=-1) > self.sealed.closed_ms:
            self._shards.clear()
        self._leads = self._aggregates.lease("minutes", self._owner, LEASE_MS)
        if self._leads and self.sealed.sealed_ms != before_ms:
            self._aggregates.publish_change("sealed", [self.sealed.sealed_ms], [])
        self._recorder.sealed(self.sealed)
        return self.sealed

    def close_one(self) -> bool:
        """Evaluate and close the next sealed minute of all shards that wait for it; False: there is none."""
        if not self._leads:
            self._shards.clear()
            return False
        self._read_shards()
        first_ms = min((shard.closed_ms for shard in self._shards.values()), default=self.sealed.sealed_ms)
        minute = self._aggregates.next_sealed(first_ms)
        if minute is None or minute.start_ms >= self.sealed.sealed_ms:
            return False
        if self._brands_after != minute.seal_id:
            self._brands, self._brands_after = self._aggregates.brands(), minute.seal_id
        self._close([shard for shard in self._shards.values() if shard.closed_ms <= minute.start_ms], minute)
        return True

    def _read_shards(self) -> None:
        for number in range(SHARDS):
            if number in self._shards or number in self._damaged_shards:
                continue
            try:
                self._shards[number] = self._aggregates.shard(number)
            except DamagedField as error:
                self._damaged_shards.add(number)
                self._on_damage(error.damage)

    def refresh_view(self, brands: set[str], minutes_ms: set[int]) -> None:
        """Refresh the view of these brands, and of all brands when another minute was sealed."""
        if brands:
            self._aggregates.refresh_view(sorted(brands))
            self._aggregates.publish_change("counted", sorted(minutes_ms), sorted(brands))
        if self._leads and self._refreshed_ms != self.sealed.sealed_ms:
            self._aggregates.refresh_view(None)
            self._refreshed_ms = self.sealed.sealed_ms

    def _close(self, shards: Sequence[Shard], minute: SealedMinute) -> None:
        calls = [self._evaluate(shard, minute) for shard in shards]
        for damage in (damage for call in calls for damage in call.damaged):
            self._on_damage(damage)
        try:
            written = self._aggregates.close(*calls)
        except Unreadable:
            self._shards.clear()  # some may be written
            raise
        for call in calls:
            if call.shard not in written:
                del self._shards[call.shard]  # another worker was faster, or the minute was sealed again
                continue
            if any(damage.kind == "episode" for damage in call.damaged):
                del self._shards[call.shard]  # somebody may mend it
            else:
                self._shards[call.shard] = _after(self._shards[call.shard], call)
            self._recorder.closed(call)
            for message in call.outbox:
                log.info("episode changed", message=message, shard=call.shard)

    def _evaluate(self, shard: Shard, minute: SealedMinute) -> Close:
        return evaluate(
            shard,
            minute,
            self._brands,
            self._detector,
            lambda brand: self._history(brand, minute),
            open_at=self._open_at,
            archived=self._archived,
        )

    def _history(self, brand: str, minute: SealedMinute) -> Mapping[int, tuple[int, ...]]:
        """Read the closed minutes of the last 48 hours, from the hour of the brand's first minute on."""
        hour_ms, first_ms = minute.start_ms - minute.start_ms % HOUR_MS, self._brands.get(brand)
        hours_ms = [hour_ms - hours * HOUR_MS for hours in range(HISTORY_HOURS, -1, -1)]
        return self._aggregates.history(brand, [at for at in hours_ms if at + HOUR_MS > (first_ms or 0)])


def _after(shard: Shard, call: Close) -> Shard:
    """Return the shard as the close script left it."""
    episodes = {**shard.episodes, **{b: e for b, e in call.episodes.items() if e is not None}}
    for brand, episode in call.episodes.items():
        if episode is None:
            episodes.pop(brand, None)
    return Shard(
        number=shard.number,
        closed_ms=call.minute_ms + 60_000,
        state_id=call.seal_id,
        detector=call.detector,
        states={**shard.states, **call.states} if shard.detector == call.detector else dict(call.states),
        episodes=episodes,
        key=shard.key,
        episode_prefix=shard.episode_prefix,
    )
