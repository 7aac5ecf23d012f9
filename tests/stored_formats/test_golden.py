"""Nothing that is stored or answered has another form than it had (the golden files; see `dumps`).

A difference that is meant is one that old state survives, too (test_old_state.py). Then
`python -m tests.stored_formats --write` writes the files anew.
"""

import json
import re

import pytest

from tests.stored_formats import answers, dumps, golden, old_state, scenario


@pytest.fixture(scope="module")
def lived(redis_server, tmp_path_factory):
    """The scenario, lived through: what was there when it was killed, and at its end."""
    folder = tmp_path_factory.mktemp("stored")
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        scenario.system(redis_server.url, folder / "archive", monkeypatch) as system,
    ):
        scenario.play_until_killed(system)
        redis = dumps.dump_redis(system.redis.client, system.redis.prefix)
        killed = old_state.describe(redis, system.folder)
        scenario.play_on(system)
        yield killed, golden.collect(system, folder / "out", monkeypatch)


def test_what_is_stored_and_answered_has_the_form_it_had(lived):
    # Given the files, and When the scenario was lived through with today's code
    _, found = lived

    # Then each says the same
    differences = [
        golden.difference(name, golden.render(value), (golden.GOLDEN / name).read_text(encoding="utf-8"))
        for name, value in found.items()
    ]
    assert sorted(found) == sorted(path.name for path in golden.GOLDEN.iterdir())
    if told := "\n\n".join(filter(None, differences)):
        pytest.fail(told, pytrace=False)


def test_a_killed_worker_leaves_behind_what_it_left(lived):
    killed, _ = lived
    kept = old_state.describe(json.loads(old_state.REDIS.read_text(encoding="utf-8")), old_state.ARCHIVE)

    for name, value in killed.items():
        if told := golden.difference(name, golden.render(value), golden.render(kept[name])):
            pytest.fail(told, pytrace=False)


def test_every_address_of_the_api_is_asked():
    # Given
    document = json.loads((golden.GOLDEN / "openapi.json").read_text(encoding="utf-8"))
    asked = [question.partition("?")[0] for question in answers.questions()]

    # When
    unasked = {
        path
        for path, methods in document["paths"].items()
        if "get" in methods and not any(re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), one) for one in asked)
    }

    # Then all are but the live feed, whose first events have a file of their own
    assert unasked == {"/api/v1/live"}


def test_a_difference_is_shown_with_its_place_and_not_at_endless_length():
    expected = golden.render({"a": list(range(3)), "rows": [[n, {}] for n in range(300)]})

    assert golden.difference("some.json", expected, expected) == ""
    told = golden.difference("some.json", expected.replace("[7, {}]", "[8, {}]"), expected)
    assert "-  [7, {}]," in told.splitlines()
    assert "+  [8, {}]," in told.splitlines()
    assert len(golden.difference("some.json", expected, "").splitlines()) == golden.DIFF_LINES + 1
