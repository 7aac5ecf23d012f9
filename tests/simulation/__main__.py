"""Run many histories: `python -m tests.simulation --histories 10000`, or one: `--seed 17`."""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.histories import MUST_BITE, live


def main():
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--histories", type=int, default=300, metavar="N")
    asked.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    asked.add_argument("--seed", type=int, help="live through this one history only")
    asked.add_argument("--stop", action="store_true", help="stop at the first that is wrong")
    told = asked.parse_args()
    seeds = [told.seed] if told.seed is not None else range(told.first, told.first + told.histories)
    bites, wrong, begun = Counter(), [], time.monotonic()
    for seed in seeds:
        outcome = live(seed)
        bites += outcome.bites
        if outcome.wrong:
            wrong.append(seed)
            print(f"seed {seed}: {outcome.wrong[:600]}", file=sys.stderr)
            if told.seed is not None or told.stop:
                print(outcome.trace, file=sys.stderr)
            if told.stop:
                break
    took_s = time.monotonic() - begun
    for what, times in sorted(bites.items()):
        print(f"{times:9d}  {what}")
    idle = [what for what in MUST_BITE if not bites[what]] if len(seeds) >= 300 else []
    if idle:
        print(f"never happened: {', '.join(idle)}", file=sys.stderr)
    print(f"{len(seeds)} histories, {len(wrong)} wrong, {len(seeds) / took_s:.1f} a second")
    return 1 if wrong or idle else 0


if __name__ == "__main__":
    sys.exit(main())
