"""Histories of the notifier: `python -m tests.simulation.notifier_histories --histories 3000`.

A seed decides which faults a history brings, and everything that happens in it.
"""

import argparse
import gc
import sys
import time
import traceback
from collections import Counter
from random import Random

from tests.simulation.histories import Outcome
from tests.simulation.world.faults import Violation
from tests.simulation.world.notifier_world import NotifierWorld, Profile

EVENTS = {  # name of a method of `NotifierWorld` -> weight; a turn of some notifier has 45
    "start": 3,
    "kill_one": 1.5,
    "snapshot": 2,
    "roll_back": 1.2,
    "empty_redis": 0.3,
    "outage": 1.2,
    "stop_workers": 0.5,
    "sleep": 0.5,
}
MUST_BITE = (
    *("kill", "freeze", "late request arrived", "redis rolled back", "redis emptied", "workers away"),
    *("notifiers away", "redis was away", "store was away", "channel was away", "notification refused"),
    *("receipt refused", "message frozen", "adopted", "alert with its end", "received"),
    *(f"notification {kind}" for kind in ("opened", "escalated", "reminder", "resolved", "expired")),
    *("notification withdrawn", "notification missed"),
    *(f"fault at {what}" for what in ("read outbox", "freeze", "remove", "publish", "lease", "send")),
    *(f"fault at create {what}" for what in ("notification", "receipt")),
    *("fault at read notification", "fault at list notifications"),
)
"""What must have happened in any three hundred histories, or they prove less than they claim."""


def profile_of(seed):
    """Draw the profile of a history."""
    rng = Random(f"notifying {seed}")
    events = {name: weight for name, weight in EVENTS.items() if name == "start" or rng.random() < 0.7}
    return Profile(
        notifiers=rng.choice((1, 2, 2, 3)),
        request=rng.choice((0.0, 0.02, 0.06, 0.12)),
        store_away_max_ms=rng.choice((40_000, 600_000, 1_800_000)),
        events=events,
    )


def live(seed, profile=None):
    """Live through the history of a seed."""
    outcome = Outcome(seed)
    world = NotifierWorld(profile or profile_of(seed), seed)
    gc.disable()
    try:
        world.run()
    except Violation as violation:
        outcome.wrong, outcome.trace = str(violation), traceback.format_exc()
    except Exception as crash:  # noqa: BLE001 - a bug of the notifier, or of the simulator
        outcome.wrong, outcome.trace = f"crash: {crash!r}", traceback.format_exc()
    finally:
        gc.enable()
    outcome.bites = world.bites
    return outcome


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.notifier_histories")
    parser.add_argument("--histories", type=int, default=1_000, metavar="N", help="how many, one a seed")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--seed", type=int, help="live through this one history only")
    options = parser.parse_args()
    seeds = (
        [options.seed]
        if options.seed is not None
        else range(options.first, options.first + options.histories)
    )
    bites, wrong, begun_s = Counter(), [], time.monotonic()
    for seed in seeds:
        outcome = live(seed)
        bites += outcome.bites
        if outcome.wrong:
            wrong.append(seed)
            print(f"seed {seed}: {outcome.wrong[:600]}", file=sys.stderr)
    for what, times in sorted(bites.items()):
        print(f"{times:9d}  {what}")
    idle = [what for what in MUST_BITE if not bites[what]] if len(seeds) >= 300 else []
    if idle:
        print(f"never happened: {', '.join(idle)}", file=sys.stderr)
    took_s = time.monotonic() - begun_s
    print(f"{len(seeds)} histories, {len(wrong)} wrong, {len(seeds) / took_s:.1f} a second")
    return 1 if wrong or idle else 0


if __name__ == "__main__":
    sys.exit(main())
