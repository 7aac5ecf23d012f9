"""Run many histories: `python -m tests.simulation --histories 10000`, or one: `--seed 17`, `--file PATH`.

A history file is JSON: the seed, and what `histories.profile_of` drew for it. `--save` writes one; fewer
steps or faults in it make a history easier to read. Exit code 1: something was wrong, or a fault never bit;
2: there is no such seed or file.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from tests.simulation.histories import MUST_BITE, NoHistory, live, profile_of, read_history, write_history

ENOUGH = 300  # histories in which every fault must bite
SAY_EACH_S = 3.0


def main(arguments=None):
    """Live through what was asked for; print how often each fault bit. Returns the exit code."""
    told = _parser().parse_args(arguments)
    if told.file is not None:
        try:
            histories = [read_history(told.file)]
        except NoHistory as error:
            print(f"simulate: {error}", file=sys.stderr)
            return 2
    elif told.seed is not None:
        histories = [(told.seed, None)]
    else:
        histories = [(seed, None) for seed in range(told.first, told.first + told.histories)]
    if told.save is not None:
        seed, profile = histories[0]
        try:
            write_history(told.save, seed, profile or profile_of(seed))
        except OSError as error:
            print(f"simulate: cannot write {told.save}: {error.strerror}", file=sys.stderr)
            return 2
    with _outcomes(histories, told.jobs) as outcomes:
        return _look_at(outcomes, len(histories), stop=told.stop, traces=told.stop or len(histories) == 1)


@contextmanager
def _outcomes(histories, jobs):
    """How each history ended, in order."""
    if jobs == 1:
        yield (live(*history) for history in histories)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield pool.map(live, *zip(*histories, strict=True), chunksize=4)
        pool.shutdown(cancel_futures=True)


def _look_at(outcomes, count, *, stop, traces):
    bites, wrong, begun_s = Counter(), [], time.monotonic()
    says = Progress(count, begun_s)
    lived = 0
    for outcome in outcomes:
        bites += outcome.bites
        lived += 1
        if outcome.wrong:
            wrong.append(outcome.seed)
            says.line(f"seed {outcome.seed}: {outcome.wrong[:600]}")
            if traces:
                says.line(outcome.trace)
            if stop:
                break
        says.progress(lived, len(wrong))
    for what, times in sorted(bites.items()):
        print(f"{times:9d}  {what}")
    idle = [what for what in MUST_BITE if not bites[what]] if lived >= ENOUGH else []
    if idle:
        says.line(f"never happened: {', '.join(idle)}")
    took_s = time.monotonic() - begun_s
    print(f"{lived} histories, {len(wrong)} wrong, {lived / took_s:.1f} a second")
    if wrong:
        print(f"again: python -m tests.simulation --seed {wrong[0]}")
    return 1 if wrong or idle else 0


class Progress:
    """Says on stderr how far it is, each few seconds, where somebody looks on."""

    def __init__(self, count, begun_s):
        self._count, self._begun_s = count, begun_s
        self._shown = sys.stderr.isatty()
        self._next_s = begun_s + SAY_EACH_S

    def progress(self, lived, wrong):
        """So many histories were lived through."""
        now_s = time.monotonic()
        if not self._shown or now_s < self._next_s or lived == self._count:
            return
        self._next_s = now_s + SAY_EACH_S
        left_s = (now_s - self._begun_s) / lived * (self._count - lived)
        said = f"{lived} of {self._count} histories, {wrong} wrong, about {left_s:.0f} s left"
        print(f"\r\x1b[K{said}", end="", file=sys.stderr, flush=True)

    def line(self, text):
        """Say something that stays."""
        print(f"\r\x1b[K{text}" if self._shown else text, file=sys.stderr, flush=True)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n\n")[0])
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--histories", type=_count, default=ENOUGH, metavar="N", help="one for each seed (300)")
    one.add_argument("--seed", type=_seed, help="live through this one history only")
    one.add_argument("--file", metavar="HISTORY", help="live through the history in this file only")
    parser.add_argument("--first", type=_seed, default=0, metavar="SEED", help="the first seed (0)")
    parser.add_argument(
        "--save", metavar="HISTORY", help="write the history, the first of many, to this file"
    )
    parser.add_argument("--jobs", type=_count, default=1, metavar="N", help="processes to share the work (1)")
    parser.add_argument("--stop", action="store_true", help="stop at the first that is wrong, with its trace")
    return parser


def _seed(text):
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
    return int(text)


def _count(text):
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on is needed, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
