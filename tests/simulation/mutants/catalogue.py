"""The catalogue of mutants: one list. What the notifier can do wrong goes in here too.

Left out, for it breaks nothing that anybody could see:
- plans in the metadata of commits: there is no such design here any more;
- a close that compares `closed` and the mark and not the version, or goes on after it was refused: the frozen
  fields of the minutes before it decide the numbers of a shard, whoever judges;
- answers of the store to a former life of a partition: they come in order, before those of this one;
- answers of Redis to a call that is void: they too say what is stored;
- a proof of idleness that outlives the next record: it is older than that, and what it says stays true.
"""

from tests.simulation.mutants import archive, flags, machine, minutes, scripts, sealing
from tests.simulation.mutants import histories as told
from tests.simulation.mutants import notifier as notifying
from tests.simulation.mutants.run import Mutant

MUTANTS = [
    # Broken designs: one position for two sinks, chunks without a plan
    Mutant(scripts.increments_without_compare_and_set),
    Mutant(archive.no_plan_names_by_start_and_end),
    Mutant(archive.no_plan_names_by_start),
    Mutant(archive.committed_before_upload),
    Mutant(machine.committed_offset_decides),
    # docs/design.md#clauses
    Mutant(archive.plan_taken_for_a_chunk),
    Mutant(archive.plan_before_the_last_manifest),
    Mutant(machine.no_refill_after_a_seek),
    Mutant(flags.memory_kept_over_a_seek),
    Mutant(flags.flags_that_depend_on_earlier_flags),
    Mutant(flags.watermark_without_record_time),
    Mutant(scripts.no_seal),
    Mutant(sealing.minimum_taken_by_the_worker),
    Mutant(sealing.idle_by_timer),
    Mutant(sealing.idle_by_an_old_proof, told.records_between_question_and_answer),
    Mutant(sealing.proof_as_old_as_its_answer, told.records_between_question_and_answer),
    Mutant(sealing.held_since_the_last_report),
    Mutant(scripts.absent_cursor_read_as_zero),
    Mutant(scripts.no_floor),
    Mutant(archive.letters_after_the_plans_end_is_passed),
    Mutant(minutes.close_without_comparing_the_mark, told.a_close_that_lands_after_a_second_seal),
    Mutant(minutes.repeated_close_accepted),
    # Cursors and counting
    Mutant(scripts.cursor_off_by_one),
    Mutant(scripts.cursor_created_over_another),
    Mutant(scripts.jump_without_compare_and_set),
    Mutant(scripts.watermark_that_goes_back),
    Mutant(scripts.watermark_not_moved_by_a_jump),
    Mutant(scripts.floor_not_raised_by_a_jump),
    Mutant(scripts.counted_below_the_floor),
    Mutant(scripts.late_counted_twice),
    Mutant(scripts.late_missing_in_history),
    Mutant(scripts.model_not_noted),
    Mutant(scripts.first_minute_of_a_brand_not_lowered),
    Mutant(scripts.brands_without_limit),
    Mutant(machine.duplicate_counted),
    Mutant(machine.whole_batch_again),
    Mutant(machine.redis_that_went_back_unnoticed),
    Mutant(machine.report_that_moves_the_cursor),
    Mutant(machine.calls_cut_without_their_watermark),
    # Assignment, flags, what a poll brought
    Mutant(machine.counted_again_from_the_newest_boundary),
    Mutant(machine.counted_again_between_boundaries),
    Mutant(machine.day_of_a_minute),
    Mutant(machine.lost_range_not_jumped),
    Mutant(machine.jump_below_the_log),
    Mutant(flags.horizon_one_offset_short),
    Mutant(flags.horizon_without_time),
    Mutant(flags.four_voices),
    Mutant(flags.late_only_after_the_seal),
    Mutant(machine.polled_before_a_seek),
    Mutant(machine.polled_elsewhere),
    Mutant(machine.records_that_nobody_took_are_dropped),
    Mutant(machine.end_that_ends_nothing, told.a_log_that_ends_with_markers),
    # Archive
    Mutant(archive.store_that_overwrites),
    Mutant(archive.plan_of_another_not_adopted),
    Mutant(archive.commit_of_what_was_read),
    Mutant(archive.duplicates_in_a_manifest_as_counted),
    Mutant(archive.absent_in_a_manifest_as_nothing),
    Mutant(archive.lost_in_a_manifest_as_absent),
    Mutant(archive.late_in_a_manifest_left_out),
    Mutant(archive.partial_never_said),
    Mutant(archive.manifest_before_the_rows),
    Mutant(archive.watermark_of_another_offset_in_a_plan),
    Mutant(archive.chunk_too_long),
    Mutant(archive.head_by_whoever_starts),
    Mutant(archive.duplicates_not_stored),
    Mutant(archive.rows_forgotten_and_not_read_again),
    # Sealing, judging, closing
    Mutant(sealing.proof_without_the_lateness),
    Mutant(sealing.held_without_first_sight),
    Mutant(sealing.held_when_the_group_returns),
    Mutant(sealing.nobody_is_held),
    Mutant(sealing.held_are_waited_for),
    Mutant(sealing.complete_whoever_is_held),
    Mutant(sealing.mark_that_is_not_unique),
    Mutant(sealing.sealed_by_another_log),
    Mutant(sealing.partition_count_that_falls),
    Mutant(sealing.trimmed_before_it_is_closed, told.hours_without_a_close),
    Mutant(minutes.history_added_twice),
    Mutant(minutes.incomplete_minutes_teach),
    Mutant(minutes.gap_not_told),
    Mutant(minutes.model_not_told),
    Mutant(minutes.no_zeros_for_quiet_brands),
    Mutant(minutes.minutes_of_two_models_are_judged),
    Mutant(minutes.episode_resolved_too_early),
    Mutant(minutes.damage_ends_the_evaluation),
    Mutant(minutes.damaged_counts_are_zeros),
    # What the notifier tells
    *notifying.MUTANTS,
]
