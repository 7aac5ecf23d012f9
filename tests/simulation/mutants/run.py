"""Mutants: the simulator against broken designs, one at a time: `python -m tests.simulation.mutants`.

Rules:
1. A mutant is a function that returns patches of the shipped code or of the memory twin of the scripts. Its
   name and the first line of its docstring say what is broken.
2. It is caught when an invariant of the oracle names it. A crash, an assertion or a time-out is not enough.
3. The clean machine lives through the same histories, and nothing is wrong in them.
"""

import argparse
import gc
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from typing import NamedTuple

from tests.simulation.histories import profile_of
from tests.simulation.world.faults import Violation
from tests.simulation.world.stage import Stage
from tests.simulation.world.world import World

HISTORIES = 300
HISTORY_S = 60  # a mutant may never end


class Ending(NamedTuple):
    """How a history ended: by a violated invariant, by a crash, or well (both None)."""

    invariant: str | None = None
    crash: str | None = None


def ending_of(run) -> Ending:
    """Run a history to its end, whatever that is."""
    limited = signal.getsignal(signal.SIGALRM) is _too_long  # not in a test, which has its own limit
    if limited:
        signal.alarm(HISTORY_S)
    gc.disable()
    try:
        run()
    except Violation as violation:
        return Ending(invariant=violation.check)
    except Exception as crash:  # noqa: BLE001 - mutants crash in every way
        return Ending(crash=repr(crash)[:120])
    finally:
        if limited:
            signal.alarm(0)
        gc.enable()
    return Ending()


def _too_long(*_):
    raise TimeoutError(f"no end after {HISTORY_S} s")


def live_in_the_world(seed: int) -> Ending:
    """Live through the history of a seed."""
    return ending_of(World(profile_of(seed), seed).run)


class Mutant(NamedTuple):
    """`patches()` breaks something. A directed `history` is told first, then that of each seed by `live`."""

    patches: Callable[[], list]
    history: Callable[[Callable[..., Stage]], None] | None = None
    live: Callable[[int], Ending] = live_in_the_world

    @property
    def name(self):
        return self.patches.__name__.replace("_", " ")

    @property
    def broken(self):
        return self.patches.__doc__.splitlines()[0]


class Fate(NamedTuple):
    """What became of a mutant: the invariant that named it, and after how many histories."""

    invariant: str | None
    histories: int
    directed: bool
    crash: str | None  # the first one, of a mutant that was not caught


def fate_of(mutant: Mutant, histories: int) -> Fate:
    """Live with the mutant until an invariant names it, for so many histories at most."""
    with ExitStack() as broken:
        for patches in mutant.patches():
            broken.enter_context(patches)
        if mutant.history is not None and (told := tell(mutant.history)).invariant:
            return Fate(told.invariant, 1, True, None)
        crashes = []
        for seed in range(histories):
            ending = mutant.live(seed)
            crashes += [ending.crash] * bool(ending.crash)
            if ending.invariant is not None:
                return Fate(ending.invariant, seed + 1, False, None)
    return Fate(None, histories, False, crashes[0] if crashes else None)


def tell(history) -> Ending:
    """Tell a directed history on stages of its own."""
    with ExitStack() as stack:

        def make(**options):
            made = Stage(**options)
            stack.enter_context(made.world.clock())
            return made

        return ending_of(lambda: history(make))


def clean(mutant: Mutant, fate: Fate) -> Ending:
    """How the clean machine fares where the mutant was caught, and in all histories before it."""
    if fate.directed:
        return tell(mutant.history)
    endings = (_lived_clean(mutant.live, seed) for seed in range(fate.histories))
    return next((ending for ending in endings if ending != Ending()), Ending())


@cache
def _lived_clean(live, seed):
    return live(seed)


def _fate(number, histories):
    from tests.simulation.mutants.catalogue import MUTANTS

    signal.signal(signal.SIGALRM, _too_long)
    return fate_of(MUTANTS[number], histories)


def main(arguments=None) -> int:
    """Live with every mutant that was asked for; print a table. Returns the exit code."""
    from tests.simulation.mutants.catalogue import MUTANTS

    told = _parser().parse_args(arguments)
    chosen = [number for number, mutant in enumerate(MUTANTS) if told.only in mutant.name]
    if not chosen:
        print(
            f"mutants: none is called {told.only!r}; see tests/simulation/mutants/catalogue.py",
            file=sys.stderr,
        )
        return 2
    if (ending := live_in_the_world(0)) != Ending():
        print(f"mutants: already the clean machine ends with {ending}; run make simulate", file=sys.stderr)
        return 2
    begun_s, fates = time.monotonic(), {}
    print(f"{'mutant':<45} {'after':>8}  invariant that named it")
    with ProcessPoolExecutor(told.jobs) as pool:
        running = {number: pool.submit(_fate, number, told.histories) for number in chosen}
        for number, future in running.items():
            fates[number] = future.result()
            print(_line(MUTANTS[number], fates[number]), flush=True)
    missed = [MUTANTS[number].name for number, fate in fates.items() if fate.invariant is None]
    print("mutants: the clean machine lives through the same histories", file=sys.stderr)
    unclean = {
        MUTANTS[number].name: ending
        for number, fate in fates.items()
        if fate.invariant is not None and (ending := clean(MUTANTS[number], fate)) != Ending()
    }
    for name, ending in unclean.items():
        print(f"mutants: where {name!r} was caught, the clean machine ended with {ending}", file=sys.stderr)
    took_s = time.monotonic() - begun_s
    print(f"{len(chosen)} mutants, {len(chosen) - len(missed)} caught, in {took_s:.0f} s")
    if missed:
        print(f"mutants: not caught: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed or unclean else 0


def _line(mutant, fate):
    after = "directed" if fate.directed else fate.histories
    named = fate.invariant or f"NOT CAUGHT: {mutant.broken} First crash: {fate.crash}"
    return f"{mutant.name:<45} {after:>8}  {named}"


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.mutants", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument(
        "--histories", type=int, default=HISTORIES, metavar="N", help="to catch each mutant in"
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="those whose name holds these words")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to use")
    return parser
