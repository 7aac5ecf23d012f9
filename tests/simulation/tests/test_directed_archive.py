"""Histories told step by step: the archive, its chain, and logs that lose records."""


def test_the_next_owner_finishes_a_chunk_as_it_was_planned(stage):
    # Given a worker that died with a plan and no rows
    it = stage(rows_max=3)
    it.send(*"abc")
    first = it.worker(0)
    it.fail("create rows", "kill_before")
    it.run(first)
    assert first.dead
    it.send(*"defgh")

    # When the next one has more rows at hand
    it.run(it.worker(0))

    # Then the chunk ends where the plan says
    assert it.plans()[:2] == [(0, 3), (3, 8)]
    assert it.outcomes(0) == {"counted": 3}
    it.calm()


def test_a_plan_that_is_there_decides_whoever_made_it(stage):
    # Given a worker that planned, and does not know it
    it = stage(rows_max=4, seconds_max=3.0)
    it.send(*"ab")
    first = it.worker(0)
    it.fail("create plan", "late_and_kill")
    it.run(first)
    assert first.dead
    it.send(*"cdef")
    heir = it.worker(0)
    it.fail("create plan", "freeze_before")
    it.world.freeze = lambda process: it.deliver()  # the first plan arrives just before the second

    # When the next owner plans a longer chunk
    it.run(heir)

    # Then it takes the end of the plan that is there
    assert it.world.bites["adopted plan"] == 1
    assert it.plans()[0] == (0, 2)
    it.calm()


def test_rows_that_arrive_late_are_the_rows_that_are_there(stage):
    it = stage(rows_max=2)
    it.send(*"ab")
    first = it.worker(0)
    it.fail("create rows", "late_and_kill")
    it.run(first)
    it.run(it.worker(0))
    assert it.archived() == 2

    it.deliver()

    assert len(it.rows()) == 2
    it.calm()


def test_letters_are_sent_before_the_chunk_is_done_and_again_after_a_crash(stage):
    it = stage(rows_max=1)
    it.send_broken()
    it.send("good")
    first = it.worker(0)
    it.fail("create manifest", "kill_before")
    it.run(first)
    assert first.dead

    it.run(it.worker(0))

    letters = it.world.broker.letters[it.log, 0, 0]
    assert [letter.reason for letter in letters] == ["not_json", "not_json"]
    assert it.outcomes(0) == {"counted": 1, "rejected": 1}
    it.calm()


def test_rows_that_were_forgotten_while_the_store_was_away_are_read_again(stage):
    # Given a store that is away, and little memory
    it = stage(rows_max=2, memory_max_bytes=1)
    worker = it.worker(0)
    it.run(worker)
    it.world._down_until_ms["store"] = it.world.now_ms + 20_000
    for text in "abcdefgh":
        it.send(text)
        it.run(worker, seconds=1)
    assert it.world.bites["said: rows forgotten"] > 0
    assert (it.cursor(), it.archived()) == (8, 0)

    # When it comes back
    it.run(worker, seconds=40)

    # Then everything is stored, and nothing was counted twice
    assert it.archived() == 8
    assert it.minute(0)["n:x:acme"] == 8
    it.calm()


def test_what_retention_ate_before_anybody_read_it_is_lost_and_said_so(stage):
    # Given records that nobody reads until the log has lost them
    it = stage(rows_max=2, max_hold_ms=10_000_000)
    worker = it.worker(0)
    it.send(*"abcd")
    it.run(worker, seconds=12)
    it.world.kill(worker)
    it.send(*"efghij")
    log = it.world.broker.topic.partitions[0]
    log.start = 8
    it.world.oracle.retention(0)

    # When a worker comes
    it.run(it.worker(0))

    # Then the chain says what is lost, and the cursor has jumped over it
    assert (4, 8) in it.plans()
    assert it.outcomes(4) == {"lost": 4}
    assert it.world.bites["cursor jumped"] == 1
    assert it.cursor() == 10
    it.calm()


def test_rows_that_were_saved_before_the_log_lost_them_are_not_called_lost(stage):
    # Given a worker that died between rows and manifest
    it = stage(rows_max=4)
    it.send(*"abcd")
    first = it.worker(0)
    it.fail("create manifest", "kill_before")
    it.run(first)
    assert len(it.rows()) == 4

    # When the log loses half of the chunk before the next owner comes
    it.world.broker.topic.partitions[0].start = 2
    it.world.oracle.retention(0)
    it.run(it.worker(0), seconds=12)

    # Then all four are stored
    assert it.outcomes(0) == {"counted": 4}
    it.calm()


def test_a_chunk_whose_horizon_the_log_has_lost_is_partial(stage):
    it = stage(rows_max=2, dedup_window_offsets=8)
    it.send(*"abcd")
    worker = it.worker(0)
    it.run(worker, seconds=12)
    it.world.kill(worker)
    it.world.broker.topic.partitions[0].start = 4
    it.world.oracle.retention(0)
    it.send(*"efghijklmnop")

    it.run(it.worker(0), seconds=20)

    assert it.world.bites["partial manifest"] > 0
    it.calm()


def test_an_operator_skips_on_the_record(stage):
    it = stage(rows_max=2, max_hold_ms=10_000_000)
    it.send(*"ab")
    worker = it.worker(0)
    it.run(worker, seconds=12)
    it.world.kill(worker)
    it.send(*"cdefgh")

    it.skip(6)
    it.run(it.worker(0))

    assert it.outcomes(2) == {"lost": 4}
    assert it.cursor() == 8
    assert {row.text for row in it.rows()} >= {"a", "b"}
    assert not {row.text for row in it.rows()} & set("cdef")
    it.calm()


def test_a_skip_that_died_is_finished_before_another_one(stage):
    # Given a skip that died before its manifest
    it = stage()
    worker = it.worker(0)
    it.run(worker)
    it.send(*"abcdefgh")
    it.fail("create manifest", "kill_before")
    it.skip(3)

    # When somebody skips to another offset
    it.skip(5)

    # Then the first one has its manifest too
    it.calm()
