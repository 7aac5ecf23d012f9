"""Mutants of the archive: plans, rows, letters, manifests, commits.

Each function returns patches; its first line says what is broken.
"""

from unittest.mock import patch

import msgspec

from stream_worker.adapters.object_store.archive import ObjectArchive
from stream_worker.core.archive.layout import Outcomes
from stream_worker.core.partition.archiving import Archiving, ArchivingState
from stream_worker.core.partition.chunk_buffer import ChunkBuffer
from stream_worker.core.partition.effects import Commit, CreateManifest, SendDeadLetters
from stream_worker.core.partition.machine import PartitionMachine
from stream_worker.core.records.batch import slice_scored
from tests.simulation.mutants.patches import swap
from tests.simulation.world.broker import SimulatedSource
from tests.simulation.world.store import Store


def no_plan_names_by_start_and_end():
    """Nothing is planned: a chunk ends where its writer likes, its objects are named by start and end."""
    return [patch.object(ObjectArchive, "create_plan", lambda self, partition, plan: plan)]


def no_plan_names_by_start():
    """Nothing is planned, and objects are named by their start alone: the last writer wins."""

    def make(write):
        def mutated(self, partition, plan, parts):
            named = msgspec.structs.replace(plan, end=plan.start + 1)
            return [self._write_hour(partition, named, 0, _rows(parts))] if parts else []

        return mutated

    from tests.simulation.world.store import SimulatedArchive

    return [
        *no_plan_names_by_start_and_end(),
        swap(SimulatedArchive, "write_rows", make),
        patch.object(Store, "create", _overwrite),
    ]


def _rows(parts):
    from tests.simulation.world.store import rows_of

    return [row for part in parts for row in rows_of(part)]


def _overwrite(self, name, body):
    self._world.oracle.archive.check_new(name, body)
    self.objects[name] = body
    return True


def store_that_overwrites():
    """The store does not honour create-only: a second plan takes the place of the first."""
    return [patch.object(Store, "create", _overwrite)]


def plan_of_another_not_adopted():
    """Whose plan was refused goes on with his own."""

    def make(create_plan):
        def mutated(self, partition, plan):
            create_plan(self, partition, plan)
            return plan

        return mutated

    return [swap(ObjectArchive, "create_plan", make)]


def plan_taken_for_a_chunk():
    """That a plan exists is taken for that its chunk is done."""
    return [patch.object(ObjectArchive, "_has_manifest", lambda self, partition, plan: True)]


def plan_before_the_last_manifest():
    """The next chunk is planned before the last one has its manifest."""

    def make(rows_written):
        def mutated(self, objects):
            written = rows_written(self, objects)
            self.archived, self.watermark_ms = self.plan.end, self.plan.watermark_end
            self.plan = self.chunk = None
            self.state = ArchivingState.BUFFERING
            return [*self.advance(0.0, flush=True), *written]

        return mutated

    return [
        _any_order(),
        swap(Archiving, "rows_written", make),
        patch.object(
            PartitionMachine, "_manifest_created", lambda self, now_s: self.archiving.advance(now_s)
        ),
    ]


def _any_order():
    """No step of a chunk is refused because another one is due."""
    return patch.object(Archiving, "_expect", lambda self, state: None)


def committed_before_upload():
    """The offset is committed when a chunk is planned."""

    def make(plan_created):
        return lambda self, plan, now_s: [Commit(plan.end), *plan_created(self, plan, now_s)]

    return [swap(PartitionMachine, "_plan_created", make)]


def commit_of_what_was_read():
    """The offset that is committed is that up to which was read."""

    def make(commit):
        def mutated(self, partition, offset):
            commit(self, partition, max(offset, self.fetches[partition].position or 0))

        return mutated

    return [swap(SimulatedSource, "commit", make)]


def letters_after_the_plans_end_is_passed():
    """Dead letters are sent when the chunk is done."""

    def send_later(advance):
        def mutated(self, *args, **more):
            effects = advance(self, *args, **more)
            if effects and isinstance(effects[0], SendDeadLetters):
                self.owed = effects[0].rejected
                return self.dead_letters_sent()
            return effects

        return mutated

    def send_now(manifest_created):
        def mutated(self):
            owed, self.owed = getattr(self, "owed", []), []
            return [*manifest_created(self), *([SendDeadLetters(owed)] if owed else [])]

        return mutated

    def nothing_follows(dead_letters_sent):
        return lambda self: [] if self.chunk is None else dead_letters_sent(self)

    return [
        _any_order(),
        swap(Archiving, "advance", send_later),
        swap(Archiving, "manifest_created", send_now),
        swap(Archiving, "dead_letters_sent", nothing_follows),
    ]


def _outcomes(change):
    """A manifest whose outcomes are changed."""

    def make(write_manifest):
        def mutated(self, objects):
            (operation,) = write_manifest(self, objects)
            changed = msgspec.structs.replace(operation.manifest, **change(operation.manifest))
            return [CreateManifest(operation.plan, changed)]

        return mutated

    return [swap(Archiving, "_write_manifest", make)]


def duplicates_in_a_manifest_as_counted():
    """A manifest counts duplicates among what was counted."""

    def change(manifest):
        told = manifest.outcomes
        return {"outcomes": msgspec.structs.replace(told, counted=told.counted + told.duplicate, duplicate=0)}

    return _outcomes(change)


def absent_in_a_manifest_as_nothing():
    """A manifest leaves out the offsets that hold no record."""
    return _outcomes(lambda manifest: {"outcomes": msgspec.structs.replace(manifest.outcomes, absent=0)})


def lost_in_a_manifest_as_absent():
    """What retention ate is called absent."""

    def change(manifest):
        told = manifest.outcomes
        return {"outcomes": msgspec.structs.replace(told, absent=told.absent + told.lost, lost=0)}

    return _outcomes(change)


def late_in_a_manifest_left_out():
    """A manifest does not count its late rows."""
    return _outcomes(lambda manifest: {"late": 0})


def partial_never_said():
    """A chunk whose horizon was lost does not say so."""
    return _outcomes(lambda manifest: {"partial": False})


def manifest_before_the_rows():
    """A chunk is called done before its rows are stored."""

    def make(write_rows):
        def mutated(self):
            effects = write_rows(self)
            outcomes = self.chunk.outcomes
            self.chunk.outcomes = Outcomes(lost=sum(msgspec.structs.astuple(outcomes)))
            return [*self._write_manifest([]), *effects] if self.chunk.batches else effects

        return mutated

    return [_any_order(), swap(Archiving, "_write_rows", make)]


def watermark_of_another_offset_in_a_plan():
    """A plan says the watermark at what was read, not that at its end."""
    return [patch.object(ChunkBuffer, "watermark_at", lambda self, offset: self.watermark_ms)]


def chunk_too_long():
    """A chunk has no limit in offsets."""

    def make(cut):
        def mutated(self, limits, now_s, *, flush=False):
            end = cut(self, limits, now_s, flush=flush)
            return None if end is None else self.position

        return mutated

    return [swap(ChunkBuffer, "roll", make)]


def head_by_whoever_starts():
    """Everybody decides for himself where the log begins."""

    def make(create_log_origin):
        def mutated(self, head):
            create_log_origin(self, head)
            return head

        return mutated

    return [swap(ObjectArchive, "create_log_origin", make)]


def duplicates_not_stored():
    """Duplicates are left out of the archive."""

    def make(add):
        def mutated(self, part, *args, **more):
            keep = [row for row, it in enumerate(part.flags.duplicate.tolist()) if not it]
            for row in reversed(range(len(part))):
                if row not in keep:
                    part = _without(part, row)
            return add(self, part, *args, **more)

        return mutated

    return [swap(Archiving, "add", make)]


def _without(part, row):
    """The part without one of its rows, as far as its neighbours go on."""
    before = slice_scored(part, 0, row)
    return before if row else slice_scored(part, 1, len(part))


def rows_forgotten_and_not_read_again():
    """What was dropped while the store was away is taken for stored."""

    def make(begin):
        def mutated(self):
            self.chunk_buffer = ChunkBuffer(self.chunk_buffer.position, self.chunk_buffer.watermark_ms)
            self.chunk_buffer.start = self.archived if self.chunk is None else self.plan.end

        return mutated

    return [swap(Archiving, "drop_buffer", make)]
