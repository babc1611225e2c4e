"""Flags in every spelling that Go's programs take."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest

from quorate.cli.flags import About, Line, flags_of, read_line, whole_number


def declared(
    *,
    recurse: Annotated[bool, "All below."] = False,
    shell: Annotated[bool, "By a shell."] = True,
    flags: Annotated[int, About("64 bits.", "", -10, 99)] = 0,
    seconds: Annotated[float, "How long."] = 1.0,
    n: Annotated[str, "How many."] = "",
    format_: Annotated[str, "Which form."] = "pretty",
    data_dir: Annotated[tuple[Path, ...], "Where; repeatable."] = (),
) -> None: ...


FLAGS = {flag.name: flag for flag in flags_of(declared, declared.__kwdefaults__ or {})}


def read(words: Sequence[str], *, is_verbatim: bool = False) -> Line:
    return read_line(words, FLAGS, is_verbatim=is_verbatim)


def given(*words: str) -> dict[str, Any]:
    line = read(words)
    assert line.faults == []
    return {flag.parameter: value for flag, value in line.given}


def fault(*words: str) -> str:
    [found] = read(words).faults
    return found


@pytest.mark.parametrize("word", ["-recurse", "--recurse", "-recurse=true", "--recurse=1"])
def test_a_switch_is_read_with_one_dash_or_two_and_with_a_value(word: str) -> None:
    assert given(word, "key") == {"recurse": True}
    assert read([word, "key"]).arguments == ["key"]


def test_a_switch_is_taken_back_by_false() -> None:
    assert given("-recurse=false") == {"recurse": False}
    assert given("-shell=false") == given("-no-shell") == given("--no-shell") == {"shell": False}


def test_only_a_switch_that_is_on_by_itself_has_a_flag_that_takes_it_back() -> None:
    assert fault("-no-recurse").startswith("flag provided but not defined: -no-recurse")
    assert fault("-no-n").startswith("flag provided but not defined: -no-n")


def test_a_switch_with_another_value_is_refused() -> None:
    assert fault("-recurse=maybe") == "invalid boolean value 'maybe' for -recurse"


@pytest.mark.parametrize("words", [["-flags=7"], ["--flags=7"], ["-flags", "7"], ["--flags", "7"]])
def test_a_value_follows_an_equals_sign_or_a_space(words: list[str]) -> None:
    assert given(*words) == {"flags": 7}


def test_a_value_may_begin_with_a_dash() -> None:
    line = read(["-flags", "-7", "key"])
    assert ([value for _, value in line.given], line.arguments) == ([-7], ["key"])
    assert given("-n", "-recurse") == {"n": "-recurse"}


def test_an_equals_sign_may_be_followed_by_nothing() -> None:
    assert given("-n=", "key") == {"n": ""}


def test_a_value_may_have_an_equals_sign_and_a_line_end() -> None:
    assert given("-n=a=b\nc") == {"n": "a=b\nc"}


def test_a_flag_without_its_value_is_refused() -> None:
    assert fault("-flags") == "flag needs an argument: -flags"


def test_an_unknown_flag_is_refused_and_the_nearest_are_named() -> None:
    assert fault("-nonsense=1") == "flag provided but not defined: -nonsense"
    assert fault("-recurs") == "flag provided but not defined: -recurs; did you mean -recurse?"


@pytest.mark.parametrize("word", ["---x", "-=x", "--=x"])
def test_a_word_that_is_no_flag_and_no_argument_is_refused(word: str) -> None:
    assert fault(word) == f"bad flag syntax: {word}"


def test_flags_may_follow_an_argument_where_they_are_no_one_elses() -> None:
    assert given("key", "-recurse") == {"recurse": True}


def test_after_its_first_argument_a_verbatim_command_reads_no_flags() -> None:
    line = read(["-recurse", "key", "ls", "-recurse", "--", "-l"], is_verbatim=True)
    assert len(line.given) == 1
    assert line.arguments == ["key", "ls", "-recurse", "--", "-l"]


def test_two_dashes_end_the_flags() -> None:
    assert read(["-recurse", "--", "-recurse"]).arguments == ["-recurse"]
    assert read(["--", "-key", "value"], is_verbatim=True).arguments == ["-key", "value"]


def test_a_lone_dash_is_an_argument() -> None:
    line = read(["-", "-recurse"])
    assert (line.arguments, len(line.given)) == (["-"], 1)


def test_a_flag_of_one_letter_takes_its_value_as_any_other() -> None:
    assert given("-n=2") == given("-n", "2") == {"n": "2"}
    assert FLAGS["n"].spelled == "-n VALUE"


def test_a_name_that_python_keeps_for_itself_has_a_dash_less() -> None:
    assert given("-format=json") == {"format_": "json"}


def test_a_repeatable_flag_keeps_the_order_of_its_values() -> None:
    line = read(["-data-dir=b", "-data-dir", "a"])
    assert [value for _, value in line.given] == [Path("b"), Path("a")]


def test_every_fault_is_reported_in_its_order() -> None:
    line = read_line(["-x", "stray", "-flags=q"], FLAGS, refusal="no arguments")
    assert line.faults == [
        "flag provided but not defined: -x",
        "no arguments: stray",
        "invalid value 'q' for flag -flags: it must be a whole number",
    ]


@pytest.mark.parametrize(
    ("word", "must_be"),
    [
        ("-flags=100", "from -10 to 99"),
        ("-flags=1.5", "a whole number"),
        ("-seconds=x", "a number"),
    ],
)
def test_a_number_that_does_not_fit_is_refused(word: str, must_be: str) -> None:
    assert fault(word).endswith(f": it must be {must_be}")


@pytest.mark.parametrize(
    ("text", "number"), [("16", 16), ("0x10", 16), ("0o20", 16), ("020", 16), ("0b1_0000", 16)]
)
def test_whole_numbers_are_read_as_gos(text: str, number: int) -> None:
    assert whole_number(text) == number


def test_the_help_tells_defaults_and_limits() -> None:
    assert FLAGS["flags"].explained == "64 bits.  [default 0; from -10 to 99]"
    assert FLAGS["shell"].spelled == "--shell / --no-shell"
    assert FLAGS["recurse"].explained == "All below."
