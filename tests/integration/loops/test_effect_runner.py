"""Each effect is replied to by what it declares, whoever runs it."""

from typing import get_args

import pytest

from stream_worker.core.archive.layout import Manifest, Outcomes, Plan
from stream_worker.core.partition.effects import (
    AdvanceCursor,
    Apply,
    BackgroundEffect,
    CreateCursor,
    CreateManifest,
    CreateOrigin,
    CreatePlan,
    FindPlanLog,
    ListPlans,
    LoopEffect,
    ReadCursor,
    ReadPosition,
    RedisEffect,
    SendDeadLetters,
    WriteRows,
)
from stream_worker.core.partition.inputs import Reply
from stream_worker.core.records.limits import Limits

PLAN = Plan(start=0, end=5, watermark_start=0, watermark_end=0, limits=Limits())
EFFECTS = [
    ReadPosition(),
    FindPlanLog(-1),
    CreateOrigin(),
    ListPlans(),
    CreatePlan(PLAN),
    SendDeadLetters([]),
    WriteRows(PLAN, []),
    CreateManifest(PLAN, Manifest(objects=[], outcomes=Outcomes(absent=5), late=0, partial=False)),
    ReadCursor(),
    CreateCursor(0, 0, 0),
    AdvanceCursor(0, 0, 0, 0),
    Apply(0, 0, 0, 0, 0, None),
]


def reply_of(effect):
    """The type of the reply that an effect declares."""
    (declared,) = get_args(effect.__orig_bases__[0])
    return declared


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: type(effect).__name__)
def test_an_effect_is_replied_to_by_what_it_declares(make_rig, effect):
    # Given a partition that its worker reads
    rig = make_rig()
    worker = rig.worker(0)
    worker.turn_until(lambda: 0 in worker.effect_runner.owned and worker.machine().reads)
    runner = worker.effect_runner

    # When an effect is run
    if isinstance(effect, Apply):
        (reply,) = runner._aggregates.apply([effect])
    elif isinstance(effect, RedisEffect):
        reply = runner._move_cursor(0, effect)
    else:
        reply = runner._run_in_background(0, effect)

    # Then
    assert type(reply) is reply_of(type(effect))


def test_every_effect_is_run_somewhere_and_every_reply_belongs_to_one():
    kinds = {*get_args(BackgroundEffect), *get_args(RedisEffect)}

    assert {type(effect) for effect in EFFECTS} == kinds
    assert {reply_of(kind) for kind in kinds} == set(get_args(Reply))
    assert {reply_of(kind) for kind in get_args(LoopEffect)} == {type(None)}
