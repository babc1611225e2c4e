"""What callers write is read as Go reads it."""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.base.durations import go_duration
from quorate.gateways.http.errors import HttpError, TextError
from quorate.gateways.http.params import (
    SECOND_NS,
    boolean,
    cleaned,
    decoded,
    duration_ns,
    params_of,
    unescaped,
    unsigned,
)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("1m30s", 90 * SECOND_NS),
        ("0.5s", SECOND_NS // 2),
        (".5s", SECOND_NS // 2),
        ("5.s", 5 * SECOND_NS),
        ("120000ms", 120 * SECOND_NS),
        ("1h1m1s1ms1us1ns", 3661 * SECOND_NS + 1_001_001),
        ("3µs", 3000),
        ("-10s", -10 * SECOND_NS),
        ("+10s", 10 * SECOND_NS),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, nanoseconds: int) -> None:
    assert duration_ns(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", 'time: invalid duration ""'),
        ("abc", 'time: invalid duration "abc"'),
        ("10", 'time: missing unit in duration "10"'),
        ("1d", 'time: unknown unit "d" in duration "1d"'),
        ("1s2", 'time: missing unit in duration "1s2"'),
        (".s", 'time: invalid duration ".s"'),
        ("9999999999999h", 'time: invalid duration "9999999999999h"'),
        ('1"', 'time: unknown unit "\\"" in duration "1\\""'),
    ],
)
def test_what_is_no_duration_is_refused_in_words_that_clients_know(text: str, why: str) -> None:
    with pytest.raises(TextError) as caught:
        duration_ns(text)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (200_000_000, "200ms"),
        (SECOND_NS, "1s"),
        (10_500_000_000, "10.5s"),
        (90 * SECOND_NS, "1m30s"),
        (24 * 3600 * SECOND_NS, "24h0m0s"),
        (-SECOND_NS, "-1s"),
    ],
)
def test_a_duration_is_written_with_its_largest_units(nanoseconds: int, text: str) -> None:
    assert go_duration(nanoseconds) == text


@given(st.integers(-(2**62), 2**62))
def test_a_written_duration_is_read_as_the_same(nanoseconds: int) -> None:
    assert duration_ns(go_duration(nanoseconds)) == nanoseconds


def test_a_number_has_64_bits_and_no_sign() -> None:
    assert unsigned("0") == 0
    assert unsigned("18446744073709551615") == 2**64 - 1
    for text in ("", "-1", "+1", "1_0", "٣", "x"):
        with pytest.raises(TextError, match="invalid syntax"):
            unsigned(text)
    for text in ("18446744073709551616", "9" * 5000):
        with pytest.raises(TextError, match="value out of range"):
            unsigned(text)


def test_truth_has_six_spellings_each() -> None:
    assert [boolean(text) for text in ("1", "True", "f", "FALSE", "yes", "")] == [
        True, True, False, False, None, None,
    ]  # fmt: skip


def test_of_a_repeated_parameter_the_first_counts() -> None:
    params = params_of(b"flags=1&flags=2&recurse&tag=a&tag=b&q=a+b%2B%C3%A7")
    assert params.text("flags") == "1"
    assert "recurse" in params
    assert params.all("tag") == ["a", "b"]
    assert params.text("q") == "a b+ç"
    assert params.text("none") == ""


def test_a_query_is_echoed_sorted_and_escaped() -> None:
    assert params_of(b"recurse&cas=1&a=b%20c").encoded() == "a=b+c&cas=1&recurse="


@pytest.mark.parametrize("query", [b"a=%zz", b"a=%", b"a;b"])
def test_a_broken_query_is_an_error_of_the_server(query: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        params_of(query)
    assert caught.value.status == 500


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        (b"/v1/kv//a", b"/v1/kv/a"),
        (b"/a/./b", b"/a/b"),
        (b"/a/x/../b", b"/a/b"),
        (b"/v1/kv/a/..", b"/v1/kv/"),
        (b"/a/", b"/a/"),
        (b"/../..", b"/"),
        (b"//", b"/"),
    ],
)
def test_a_path_is_cleaned_and_keeps_its_last_slash(path: bytes, clean: bytes) -> None:
    assert cleaned(path) == clean


@given(st.binary())
def test_a_clean_path_stays_as_it_is(path: bytes) -> None:
    once = cleaned(b"/" + path)
    assert cleaned(once) == once


def test_escapes_of_a_path_are_undone_once() -> None:
    assert decoded(b"/a%2Fb%25") == b"/a/b%"
    assert decoded(b"/a%") is None
    assert decoded(b"/a%zz") is None


@given(st.binary(max_size=200), st.booleans())
def test_escapes_are_undone_as_everywhere(data: bytes, is_all: bool) -> None:
    text = "".join(f"%{byte:02X}" for byte in data) if is_all else quote_from_bytes(data)
    raw = text.encode()
    assert unescaped(raw) == unquote_to_bytes(raw) == data


@given(st.text("=%0aF3 \t.~+\x7f", max_size=50))
def test_what_looks_like_an_escape_of_another_kind_is_none(text: str) -> None:
    raw = re.sub(rb"%(?![0-9A-Fa-f]{2})", b"%25", text.encode())
    assert unescaped(raw) == unquote_to_bytes(raw)
