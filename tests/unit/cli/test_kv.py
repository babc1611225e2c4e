"""`quorate kv` speaks Consul's words."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from quorate.base.errors import UnavailableError
from quorate.cli.kvfiles import joined
from quorate.client.bulk import Item
from tests.unit.cli.conftest import Run, Said
from tests.unit.cli.fakes import FakeClient


def good(out: str) -> Said:
    return Said(0, out, "")


def bad(err: str) -> Said:
    return Said(1, "", err)


@pytest.fixture
def filled(client: FakeClient) -> FakeClient:
    client.kv.put("g/a", b"1", flags=42)
    client.kv.put("g/b", b"2")
    client.kv.put("g/d/x", b"3")
    return client


# --- put, get, delete -------------------------------------------------------------------------


def test_the_plain_round(run: Run) -> None:
    assert run("kv", "put", "a", "hello") == good("Success! Data written to: a\n")
    assert run("kv", "get", "a") == good("hello\n")
    assert run("kv", "delete", "a") == good("Success! Deleted key: a\n")
    assert run("kv", "get", "a") == bad("Error! No key exists at: a\n")


def test_an_empty_value_is_a_value(run: Run) -> None:
    assert run("kv", "put", "a", "").code == 0
    assert run("kv", "get", "a") == good("\n")


def test_keys_are_counted(run: Run) -> None:
    assert run("kv", "get") == bad("Error! Missing KEY argument\n")
    assert run("kv", "put") == bad("Error! Missing KEY argument\n")
    assert run("kv", "get", "a", "b") == bad("Too many arguments (expected 1, got 2)\n")
    too_many = "Error! Too many arguments (expected 1 or 2, got 3)\n"
    assert run("kv", "put", "a", "b", "c") == bad(too_many)


def test_a_value_comes_from_a_file_or_in_base_64(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "value.txt"
    file.write_text("from file\n")
    run("kv", "put", "f", f"@{file}")
    assert run("kv", "get", "f") == good("from file\n\n")
    run("kv", "put", "-base64", "b", "aGVsbG8=")
    assert run("kv", "get", "b") == good("hello\n")


def test_what_cannot_be_read_is_not_written(run: Run, client: FakeClient) -> None:
    said = run("kv", "put", "x", "@none.txt")
    assert said == bad("Error! Failed to read file: open none.txt: no such file or directory\n")
    said = run("kv", "put", "-base64", "x", "%%%")
    assert said.code == 1
    assert said.err.startswith("Error! Cannot base 64 decode data: ")
    assert client.kv.rows == {}


def test_a_key_must_not_begin_with_a_slash(run: Run) -> None:
    text = "Error! Failed writing data: Invalid key. Key must not begin with a '/': /a\n"
    assert run("kv", "put", "/a", "v") == bad(text)


@pytest.mark.usefixtures("filled")
def test_a_slash_before_a_key_or_prefix_is_dropped(run: Run, client: FakeClient) -> None:
    assert run("kv", "get", "/g/b") == good("2\n")
    assert run("kv", "get", "-recurse", "/g/d/") == good("g/d/x:3\n")
    assert run("kv", "get", "-keys", "/g/d/") == good("g/d/x\n")
    assert run("kv", "get", "-keys", "/") == good("g/\n")
    assert run("kv", "list", "/g/d") == good("g/d/x\n")
    assert '"key": "g/a"' in run("kv", "export", "/g/a").out
    assert run("kv", "watch", "-count=1", "/g/b") == good("2\n")
    assert run("kv", "watch", "-count=1", "-recurse", "/g/d") == good("g/d/x:3\n")
    assert run("kv", "delete", "/g/b") == good("Success! Deleted key: g/b\n")
    assert run("kv", "delete", "-recurse", "/g/") == good("Success! Deleted keys with prefix: g/\n")
    assert client.kv.rows == {}


@pytest.mark.parametrize("words", [("get", "/"), ("delete", "/"), ("watch", "/")])
def test_a_slash_alone_is_no_key(run: Run, words: tuple[str, ...]) -> None:
    assert run("kv", *words) == bad("Error! Missing KEY argument\n")


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("0x10", 16),
        ("0X1f", 31),
        ("0b101", 5),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("18446744073709551615", 2**64 - 1),
        ("0", 0),
    ],
)
def test_numbers_are_written_as_in_go(
    run: Run, client: FakeClient, typed: str, number: int
) -> None:
    assert run("kv", "put", f"-flags={typed}", "n", "v").code == 0
    assert client.kv.rows["n"].flags == number


@pytest.mark.parametrize("typed", ["-1", "1e3", "09", "0x", "x", "", " 1", "18446744073709551616"])
def test_what_go_does_not_take_for_a_number_is_refused(
    run: Run, client: FakeClient, typed: str
) -> None:
    assert run("kv", "put", f"-flags={typed}", "n", "v").code == 1
    assert run("kv", "put", "-cas", f"-modify-index={typed}", "n", "v").code == 1
    assert client.kv.rows == {}


def test_an_index_may_be_written_in_hex(run: Run, client: FakeClient) -> None:
    client.kv.index = 0xF
    run("kv", "put", "a", "1")
    assert run("kv", "put", "-cas", "-modify-index", "0x10", "a", "2").code == 0
    assert run("kv", "delete", "-cas", "-modify-index", "0x11", "a").code == 0


@pytest.mark.usefixtures("filled")
def test_a_switch_may_be_switched_off(run: Run) -> None:
    assert run("kv", "get", "-recurse=false", "-keys=0", "g/b") == good("2\n")
    assert run("kv", "get", "-recurse=maybe", "g/b").code == 1


def test_a_value_may_look_like_a_flag(run: Run, client: FakeClient) -> None:
    assert run("kv", "put", "a", "-5").code == 0
    assert client.kv.rows["a"].value == b"-5"


# --- forms of get -----------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_get_prints_base_64(run: Run) -> None:
    assert run("kv", "get", "-base64", "g/a") == good("MQ==\n")
    lines = "g/a:MQ==\ng/b:Mg==\ng/d/x:Mw==\n"
    assert run("kv", "get", "-recurse", "-base64", "g") == good(lines)


@pytest.mark.usefixtures("filled")
def test_get_names_keys_and_folders(run: Run) -> None:
    assert run("kv", "get", "-keys", "g/") == good("g/a\ng/b\ng/d/\n")
    assert run("kv", "get", "-keys", "-separator=", "g/") == good("g/a\ng/b\ng/d/x\n")
    assert run("kv", "get", "-keys", "none/") == good("")
    assert run("kv", "get", "-keys") == good("g/\n")


@pytest.mark.usefixtures("filled")
def test_get_reads_a_tree(run: Run) -> None:
    assert run("kv", "get", "--recurse=true", "g/d") == good("g/d/x:3\n")
    assert run("kv", "get", "-recurse", "none/") == good("")


@pytest.mark.usefixtures("filled")
def test_get_shows_details(run: Run) -> None:
    assert run("kv", "get", "-detailed", "g/a").out.splitlines() == [
        "CreateIndex      11",
        "Flags            42",
        "Key              g/a",
        "LockIndex        0",
        "ModifyIndex      11",
        "Session          -",
        "Value            1",
    ]


@pytest.mark.usefixtures("filled")
def test_get_prints_json(run: Run) -> None:
    found = json.loads(run("kv", "get", "-json", "g/a").out)
    assert (found["key"], base64.b64decode(found["value"]), found["flags"]) == ("g/a", b"1", 42)
    assert json.loads(run("kv", "get", "-json", "-keys", "g/d").out) == ["g/d/"]


@pytest.mark.usefixtures("filled")
def test_list_names_keys_with_or_without_their_facts(run: Run) -> None:
    assert run("kv", "list") == good("g/a\ng/b\ng/d/x\n")
    assert run("kv", "list", "-separator=/", "g/") == good("g/a\ng/b\ng/d/\n")
    heading, first, *_ = run("kv", "list", "-long", "g/").out.splitlines()
    assert heading.split() == ["Bytes", "Flags", "ModifyIndex", "Session", "Key"]
    assert first.split() == ["1", "42", "11", "-", "g/a"]


# --- conditions -------------------------------------------------------------------------------


def test_cas_needs_the_right_index(run: Run, client: FakeClient) -> None:
    run("kv", "put", "-flags=7", "a", "1")
    assert client.kv.rows["a"].flags == 7
    index = str(client.kv.rows["a"].modify_index)
    failed = "Error! Did not write to a: CAS failed\n"
    assert run("kv", "put", "-cas", "-modify-index=1", "a", "2") == bad(failed)
    assert run("kv", "put", "-cas", "-modify-index", index, "a", "2").code == 0


def test_cas_without_an_index_only_creates(run: Run) -> None:
    assert run("kv", "put", "-cas", "a", "1").code == 0
    text = "Error! Did not write to a: CAS performed with index=0 and key already exists.\n"
    assert run("kv", "put", "-cas", "a", "2") == bad(text)


def test_delete_with_cas_asks_for_what_makes_sense(run: Run) -> None:
    run("kv", "put", "a", "1")
    text = "Error! Did not delete key a: CAS failed\n"
    assert run("kv", "delete", "-cas", "-modify-index=1", "a") == bad(text)
    text = "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0.\n"
    assert run("kv", "delete", "-cas", "a") == bad(text)
    text = "Cannot specify -modify-index without -cas!\n"
    assert run("kv", "delete", "-modify-index=1", "a") == bad(text)
    text = "Cannot specify both -cas and -recurse!\n"
    assert run("kv", "delete", "-recurse", "-cas", "-modify-index=1", "a") == bad(text)


def test_delete_takes_a_tree(run: Run, filled: FakeClient) -> None:
    text = "Success! Deleted keys with prefix: g/\n"
    assert run("kv", "delete", "-recurse", "g/") == good(text)
    assert filled.kv.rows == {}


def test_locks_are_taken_and_given_back(run: Run) -> None:
    taken = good("Success! Lock acquired on: l\n")
    assert run("kv", "put", "-acquire", "-session=s", "l", "v") == taken
    assert run("kv", "put", "-acquire", "-session=t", "l", "v").code == 1
    given = good("Success! Lock released on: l\n")
    assert run("kv", "put", "-release", "-session=s", "l", "v") == given
    text = "Error! Did not release lock\n"
    assert run("kv", "put", "-release", "-session=s", "l", "v") == bad(text)
    text = "Error! Missing -session (required with -acquire and -release)\n"
    assert run("kv", "put", "-acquire", "l", "v") == bad(text)


def test_a_condition_that_did_not_hold_is_seen_in_json_and_in_the_exit_code(run: Run) -> None:
    run("kv", "put", "a", "1")
    said = run("kv", "put", "-json", "-cas", "a", "2")
    assert said.code == 1
    assert json.loads(said.out)["done"] is False


# --- export, import, watch --------------------------------------------------------------------


def test_export_prints_json_with_tabs(run: Run, client: FakeClient) -> None:
    client.kv.put("e/a", b"1", flags=3)
    client.kv.put("e/b", b"")
    assert run("kv", "export", "e/").out == (
        '[\n\t{\n\t\t"key": "e/a",\n\t\t"flags": 3,\n\t\t"value": "MQ=="\n\t},'
        '\n\t{\n\t\t"key": "e/b",\n\t\t"flags": 0,\n\t\t"value": ""\n\t}\n]\n'
    )
    assert run("kv", "export", "none/") == good("[]\n")


def test_import_writes_what_export_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Item] = []

    def write_all(_node: str, _token: str, items: list[Item], _done: object) -> None:
        written.extend(items)

    monkeypatch.setattr("quorate.client.bulk.write_all", write_all)
    data = '[{"key":"x","flags":5,"value":"NA=="},{"key":"y"}]'
    said = run("kv", "import", "-prefix=sub/", data)
    assert said == good("Imported: sub/x\nImported: sub/y\n")
    assert written == [("sub/x", b"4", 5), ("sub/y", b"", 0)]


@pytest.mark.parametrize(
    ("prefix", "key", "expected"),
    [
        ("copy", "a/b", "copy/a/b"),
        ("copy/", "a/b", "copy/a/b"),
        ("/copy", "a", "copy/a"),
        ("copy//x/", "dir/", "copy/x/dir/"),
        ("", "dir/", "dir/"),
        ("", "/kept", "/kept"),
        ("copy", "/a", "copy/a"),
        ("a/../b", "c", "b/c"),
        ("/", "c", "c"),
    ],
)
def test_import_joins_the_prefix_as_a_path(prefix: str, key: str, expected: str) -> None:
    assert joined(prefix, key) == expected


def test_import_says_how_much_was_written_before_an_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_all(_node: str, _token: str, _items: list[Item], done: Callable[[], None]) -> None:
        done()
        raise UnavailableError("no_quorum", "no cluster leader")

    monkeypatch.setattr("quorate.client.bulk.write_all", write_all)
    said = run("kv", "import", '[{"key":"x"},{"key":"y"}]')
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("1 of 2 keys were written before this:\nError! Failed writing data")


@pytest.mark.parametrize("data", ["nonsense", '[{"x":' + "[" * 100_000])
def test_import_refuses_what_is_no_json(run: Run, data: str) -> None:
    said = run("kv", "import", data)
    assert said.code == 1
    assert said.err.startswith("Cannot unmarshal data: ")


def test_watch_prints_every_state_of_a_key(run: Run, client: FakeClient) -> None:
    client.kv.put("w", b"first")
    assert run("kv", "watch", "w") == Said(0, "first\nsecond\n", "No key exists at: w\n")


def test_watch_stops_after_as_many_states_as_wanted(run: Run, client: FakeClient) -> None:
    client.kv.put("w", b"first")
    assert run("kv", "watch", "-count=1", "w") == good("first\n")


def test_watch_prints_what_changed_in_a_tree(run: Run, client: FakeClient) -> None:
    client.kv.put("w/a", b"1")
    said = run("kv", "watch", "-recurse", "w/")
    assert said == Said(0, "w/a:1\nw/new:n\n", "No key exists at: w/new\n")
    lines = run("kv", "watch", "-recurse", "-json", "w/").out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["w/a", "w/new", "w/new"]
    assert json.loads(lines[-1])["entry"] is None
