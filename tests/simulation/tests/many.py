"""Live through histories, one a seed, until every fault has bitten."""

from collections import Counter


def live_through(live, must_bite, *, at_least, at_most):
    """Live through `at_least` histories, and through more until all of `must_bite` has happened.

    Returns how often each fault bit, and the outcomes that are wrong.
    """
    bites, wrong = Counter(), []
    for seed in range(at_most):
        if seed >= at_least and all(bites[fault] for fault in must_bite):
            break
        outcome = live(seed)
        bites += outcome.bites
        if outcome.wrong:
            wrong.append(outcome)
    return bites, wrong
