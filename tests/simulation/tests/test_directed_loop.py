"""Histories told step by step: what a poll brought, and where the machine stands by then."""


def test_an_end_that_was_polled_before_a_seek_is_not_the_end(stage):
    # Given a Redis that goes back behind what a worker has counted
    it = stage()
    worker = it.worker(0)
    it.send("one", "two")
    it.run(worker)
    it.world.snapshot()
    it.send("three", "four")
    it.run(worker)
    it.world.roll_back()

    # When it finds that out with records whose poll also brought the end
    it.send("five")
    it.run(worker)

    # Then what lies between is read again, not passed over
    it.calm()


def test_records_that_were_polled_before_a_seek_are_not_the_next_ones(stage):
    # Given a worker that forgets rows because the store is slow
    it = stage(memory_max_bytes=1, rows_max=2)
    worker = it.worker(0)
    it.send("one", "two")
    it.run(worker, seconds=3)
    it.world._down_until_ms["store"] = it.world.now_ms + 20_000
    it.send("three", "four", "five")
    it.run(worker, seconds=10)

    # When the store comes back while records keep coming
    for text in "abcdefghij" * 3:
        it.send(text)
        it.run(worker, seconds=1)

    # Then all are archived
    it.calm()


def test_records_that_nobody_took_are_read_again(stage):
    # Given a worker whose Redis did not answer just now, for another partition
    it = stage(partitions=2)
    worker = it.worker(0, 1)
    it.run(worker)
    it.fail("apply", "lost_request")
    it.send("elsewhere", partition=1)
    it.run(worker, seconds=0.1, step_ms=100)

    # When records come that wait for it, and more behind them with the end
    it.send("one")
    it.run(worker, seconds=0.1, step_ms=100)
    it.send("two")
    it.run(worker)

    # Then none is passed over
    it.calm()


def test_a_partition_that_is_paused_to_wait_for_others_is_not_held_for_it(stage):
    # Given a partition far behind, of which a record comes now and then
    it = stage(partitions=2, alignment_ms=30_000, max_hold_ms=40_000, fetch=(1,))
    worker = it.worker(0, 1)
    for minute in range(12):
        it.send(f"ahead {minute}", partition=0)
        it.send(f"behind {minute}", partition=1, at_ms=minute * 1_000)
        it.run(worker, seconds=30)

    # Then the one that is ahead was paused, and its minutes are complete
    assert it.world.bites["pause of a partition that is ahead"] > 0
    it.calm()
    assert all(minute.complete for minute in it.redis.minutes.values() if minute.seal_id)
