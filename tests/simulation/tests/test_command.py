"""`python -m tests.simulation`: what it says, and what it says of nonsense."""

import json

import pytest

from tests.simulation.__main__ import main
from tests.simulation.histories import live, profile_of, read_history


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "abc"], "a seed is a whole number from 0 on, not 'abc'"),
        (["--seed", "-1"], "a seed is a whole number from 0 on, not '-1'"),
        (["--seed", "1.5"], "a seed is a whole number from 0 on, not '1.5'"),
        (["--first", "x"], "a seed is a whole number from 0 on, not 'x'"),
        (["--histories", "0"], "a whole number from 1 on is needed, not '0'"),
        (["--histories", "many"], "a whole number from 1 on is needed, not 'many'"),
        (["--jobs", "-2"], "a whole number from 1 on is needed, not '-2'"),
        (["--seed", "1", "--file", "x"], "not allowed with argument"),
    ],
)
def test_a_seed_or_number_that_is_none_is_an_error_in_one_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        ("{", "is not JSON"),
        ("[]", "is no history file"),
        ('{"v": 2, "seed": 1, "profile": {}}', "it must hold v (1), seed and profile"),
        ('{"v": 1, "seed": "one", "profile": {}}', "a seed is a whole number from 0 on, not 'one'"),
        ('{"v": 1, "seed": 1, "profile": []}', "a profile is an object"),
        ('{"v": 1, "seed": 1, "profile": {"stepps": 3}}', "a profile has no stepps"),
        ('{"v": 1, "seed": 1, "profile": {"steps": "3"}}', "steps must be int, not '3'"),
        (
            '{"v": 1, "seed": 1, "profile": {"events": {"explode": 1}}}',
            "nothing happens by the name of explode",
        ),
    ],
)
def test_a_file_that_is_no_history_is_an_error_in_one_line(tmp_path, capsys, text, said):
    path = tmp_path / "history.json"
    if text is not None:
        path.write_text(text)

    assert main(["--file", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("simulate: ")
    assert said in line


def test_a_history_that_was_saved_is_lived_through_again(tmp_path, capsys):
    # Given the history of a seed, in a file
    path = str(tmp_path / "history.json")
    assert main(["--seed", "3", "--save", path]) == 0
    first = capsys.readouterr().out.splitlines()

    # When the file is told
    assert main(["--file", path]) == 0

    # Then the same happens; only the time it takes is another
    assert capsys.readouterr().out.splitlines()[:-1] == first[:-1]
    assert first[-1].startswith("1 histories, 0 wrong")
    assert read_history(path) == (3, profile_of(3))


def test_a_history_file_may_be_made_shorter_by_hand(tmp_path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"v": 1, "seed": 3, "profile": {"steps": 5, "events": {"kill_one": 2}}}))

    seed, profile = read_history(path)

    assert (profile.steps, profile.events) == (5, {"kill_one": 2})
    assert live(seed, profile).wrong is None


def test_a_save_that_cannot_be_written_is_an_error_in_one_line(tmp_path, capsys):
    assert main(["--seed", "3", "--save", str(tmp_path / "no" / "such" / "folder")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_one_seed_is_one_history():
    assert live(5).bites == live(5).bites
    assert live(5).bites != live(6).bites
