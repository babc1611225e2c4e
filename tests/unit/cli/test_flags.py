"""Flags in every spelling that Go's programs take."""

import pytest
import typer

from quorate.cli.flags import Flag, plain_flags

FLAGS = {
    "recurse": Flag("--recurse", "", is_switch=True),
    "shell": Flag("--shell", "--no-shell", is_switch=True),
    "flags": Flag("--flags", "", is_switch=False),
    "n": Flag("-n", "", is_switch=False),
    "h": Flag("--help", "", is_switch=True),
}


@pytest.mark.parametrize("word", ["-recurse", "--recurse", "-recurse=true", "--recurse=1"])
def test_a_switch_is_read_with_one_dash_or_two_and_with_a_value(word: str) -> None:
    assert plain_flags([word, "key"], FLAGS) == ["--recurse", "key"]


def test_a_switch_is_taken_back_by_false() -> None:
    assert plain_flags(["-recurse=false", "key"], FLAGS) == ["key"]
    assert plain_flags(["-shell=false", "key"], FLAGS) == ["--no-shell", "key"]


def test_a_switch_with_another_value_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="takes true or false, not 'maybe'"):
        plain_flags(["-recurse=maybe"], FLAGS)


@pytest.mark.parametrize("words", [["-flags=7"], ["--flags=7"]])
def test_a_value_follows_an_equals_sign(words: list[str]) -> None:
    assert plain_flags(words, FLAGS) == ["--flags=7"]


def test_a_value_follows_a_space_and_may_begin_with_a_dash() -> None:
    assert plain_flags(["-flags", "-7", "key"], FLAGS) == ["--flags", "-7", "key"]
    assert plain_flags(["-n", "2"], FLAGS) == ["-n", "2"]


def test_an_equals_sign_may_be_followed_by_nothing() -> None:
    assert plain_flags(["-flags=", "key"], FLAGS) == ["--flags=", "key"]


def test_an_unknown_flag_is_left_to_the_parser() -> None:
    assert plain_flags(["-nonsense=1"], FLAGS) == ["--nonsense=1"]


def test_flags_may_follow_an_argument_where_they_are_no_one_elses() -> None:
    assert plain_flags(["key", "-recurse"], FLAGS) == ["key", "--recurse"]


def test_after_its_first_argument_a_verbatim_command_reads_no_flags() -> None:
    words = ["-recurse", "key", "ls", "-recurse", "--", "-l"]
    assert plain_flags(words, FLAGS, interspersed=False) == ["--recurse", *words[1:]]


def test_two_dashes_end_the_flags() -> None:
    assert plain_flags(["-recurse", "--", "-recurse"], FLAGS) == ["--recurse", "--", "-recurse"]
    words = plain_flags(["--", "-key", "value"], FLAGS, interspersed=False)
    assert words == ["--", "-key", "value"]


def test_a_lone_dash_is_an_argument() -> None:
    assert plain_flags(["-", "-recurse"], FLAGS) == ["-", "--recurse"]


def test_help_has_a_short_name() -> None:
    assert plain_flags(["-h"], FLAGS) == ["--help"]


def test_a_flag_of_one_letter_takes_its_value_apart() -> None:
    assert plain_flags(["-n=2"], FLAGS) == ["-n", "2"]
