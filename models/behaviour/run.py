"""How a scorer behaves: the suite's cases scored in one batch, and the share that is right by group."""

from typing import Final

import msgspec

from models.behaviour.suite import Case, Suite, cases, targets, texts
from models.scorers.scores import CLASSES, NEGATIVE, UNCERTAIN, UNSCORED, Scorer

WRONG_SHOWN_MAX: Final = 10


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One group: `cases` questions, the fraction that is `right`, the fraction labelled `uncertain`.

    `target` is the fraction that is wanted (None: reported only); `wrong` holds some texts that failed.
    """

    cases: int
    right: float
    uncertain: float
    target: float | None
    wrong: list[str]


def behave(scorer: Scorer, suite: Suite) -> dict[str, Behaviour]:
    """Score a suite; the groups in its order."""
    asked = cases(suite)
    every = texts(asked)
    label_of = dict(zip(every, scorer.score(every).label.tolist(), strict=True))
    groups: dict[str, list[Case]] = {name: [] for name in targets(suite)}
    for case in asked:
        groups[case.group].append(case)
    return {name: _behaviour(members, targets(suite)[name], label_of) for name, members in groups.items()}


def is_right(case: Case, label_of: dict[str, int]) -> bool:
    """Say whether a case is right, given the label of every text. Unscored never is."""
    label = label_of[case.text]
    if label == UNSCORED:
        return False
    if case.expect == "same":
        return label == label_of[case.like or ""]
    if case.expect == "not-negative":
        return label != NEGATIVE
    return label == CLASSES.index(case.expect)


def _behaviour(members: list[Case], target: float | None, label_of: dict[str, int]) -> Behaviour:
    wrong = [case.text for case in members if not is_right(case, label_of)]
    uncertain = sum(label_of[case.text] == UNCERTAIN for case in members)
    return Behaviour(
        cases=len(members),
        right=round(1 - len(wrong) / len(members), 4),
        uncertain=round(uncertain / len(members), 4),
        target=target,
        wrong=wrong[:WRONG_SHOWN_MAX],
    )
