"""Long lists: made and sent in pieces, from one state; nobody else waits for them."""

import gc
import gzip
import json
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest

from quorate.base.config import ClusterConfig
from quorate.base.slices import LATER
from quorate.gateways.http.config import HttpConfig
from quorate.httpserver.request import PIECE_BYTES
from quorate.httpserver.slices import TURN_S, SliceQueue
from quorate.httpserver.writing import ResponseWriter
from quorate.kv import queries
from quorate.kv.commands import KvDelete, KvDeleteTree, KvSet
from quorate.kv.queries import BATCH_BYTES, BATCH_ROWS, LIST_ROWS, LongList
from quorate.machine.queries import Reader
from tests.unit.gateways.harness import FakeTransport, GatewayHarness, request
from tests.unit.machine.lab import Lab

MANY = 3 * LIST_ROWS + 7


class Turns:
    """Turns of a loop that a test makes; time passes by a millisecond with each look at it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.due: list[Callable[[], None]] = []

    def clock(self) -> float:
        self.now_s += 0.001
        return self.now_s

    def soon(self, step: Callable[[], None]) -> None:
        self.due.append(step)

    def one(self) -> None:
        due, self.due = self.due, []
        for step in due:
            step()


class SlowHarness(GatewayHarness):
    """A gateway whose slices take turns that the test makes."""

    def __init__(self) -> None:
        self.turns = Turns()
        super().__init__(slices=SliceQueue(self.turns.soon, self.turns.clock))

    def finish(self) -> list[int]:
        """Make turns until nothing is left to do; the bytes that each wrote."""
        sizes: list[int] = []
        while self.turns.due:
            before = len(self.transport.written)
            self.turns.one()
            sizes.append(sum(len(piece) for piece in self.transport.written[before:]))
        return sizes


def fill(
    harness: GatewayHarness, count: int = MANY, prefix: str = "a/", value: bytes = b"v"
) -> None:
    for number in range(count):
        harness.local.apply(KvSet(f"{prefix}{number:05d}".encode(), value))


@pytest.fixture
def harness() -> GatewayHarness:
    made = GatewayHarness()
    fill(made)
    made.local.apply(KvSet(b"b", b"v"))
    return made


@pytest.fixture
def slow() -> SlowHarness:
    made = SlowHarness()
    fill(made)
    return made


# --- what is sent -----------------------------------------------------------------------------


def test_a_long_list_is_the_same_list_in_chunks(harness: GatewayHarness) -> None:
    reply = harness.ask("GET", "/v1/kv/a/?recurse")
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in reply.headers
    shown = json.loads(reply.body)
    assert [each["Key"] for each in shown] == [f"a/{number:05d}" for number in range(MANY)]
    short = json.loads(harness.ask("GET", "/v1/kv/a/00003?recurse").body)
    assert shown[3] == short[0]


def test_a_long_list_has_an_index_that_a_reader_can_wait_with(harness: GatewayHarness) -> None:
    index = harness.ask("GET", "/v1/kv/a/?recurse").headers["X-Consul-Index"]
    assert int(index) == harness.local.lab.machine.index
    harness.post("GET", f"/v1/kv/a/?recurse&index={index}")
    assert harness.replies() == []
    harness.local.apply(KvSet(b"a/00001", b"new"))
    (reply,) = harness.replies()
    assert json.loads(reply.body)[1]["Value"] == "bmV3"
    assert int(reply.headers["X-Consul-Index"]) > int(index)


def test_names_of_a_long_list_are_cut_at_separators(harness: GatewayHarness) -> None:
    fill(harness, prefix="a/c/")
    names = json.loads(harness.ask("GET", "/v1/kv/a/?keys").body)
    assert len(names) == 2 * MANY
    cut = json.loads(harness.ask("GET", "/v1/kv/a/?keys&separator=/").body)
    assert cut == [f"a/{number:05d}" for number in range(MANY)] + ["a/c/"]
    assert json.loads(harness.ask("GET", "/v1/kv/?keys&separator=/").body) == ["a/", "b"]


def test_a_long_list_is_indented_and_packed_on_demand(harness: GatewayHarness) -> None:
    plain = harness.ask("GET", "/v1/kv/a/?recurse").body
    pretty = harness.ask("GET", "/v1/kv/a/?recurse&pretty").body
    packed = harness.ask("GET", "/v1/kv/a/?recurse", b"", "Accept-Encoding: gzip")
    assert pretty.startswith(b'[\n    {\n        "LockIndex": 0,\n')
    assert pretty.endswith(b"    }\n]\n")
    assert json.loads(pretty) == json.loads(plain)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain


def test_the_pretty_form_is_that_of_a_short_list(harness: GatewayHarness) -> None:
    short = harness.ask("GET", "/v1/kv/a/00001?recurse&pretty").body
    begin = harness.ask("GET", "/v1/kv/a/0000?recurse&pretty").body
    long = harness.ask("GET", "/v1/kv/a/?recurse&pretty").body
    assert long[: len(begin) - 3] == begin[:-3]
    assert short.count(b"\n") == 10


def test_a_client_that_closes_gets_the_list_without_chunks(harness: GatewayHarness) -> None:
    harness.post("GET", "/v1/kv/a/?recurse", b"", "Connection: close")
    head, _, body = b"".join(harness.transport.written).partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: close" in head
    assert len(json.loads(body)) == MANY
    assert harness.transport.has_eof


def test_a_list_of_rows_that_are_all_gone_is_absent() -> None:
    harness = GatewayHarness()
    harness.local.lab = Lab(settings=ClusterConfig(removals_max=1))
    fill(harness)
    harness.local.apply(KvDeleteTree(b"a/"))
    assert isinstance(harness.local.lab.read.kv_list_in_turn(b"a/"), LongList)
    assert harness.ask("GET", "/v1/kv/a/?recurse").status == 404
    assert harness.ask("GET", "/v1/kv/a/?keys").status == 404
    assert harness.ask("GET", "/v1/kv/?keys").body == b"[]"


def test_the_answers_behind_a_long_list_wait_for_it(slow: SlowHarness) -> None:
    slow.send(request("GET", "/v1/kv/a/?recurse") + request("GET", "/v1/kv/a/00001"))
    slow.finish()
    long, short = slow.replies()
    assert len(json.loads(long.body)) == MANY
    assert len(json.loads(short.body)) == 1


# --- turns ------------------------------------------------------------------------------------


def test_no_turn_sends_more_than_its_share(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/kv/a/?recurse")
    sizes = slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY
    steps = TURN_S / 0.001 + 1
    assert max(sizes) <= steps * BATCH_ROWS * 200
    assert len(sizes) > MANY / BATCH_ROWS / steps


def test_forty_readers_share_the_turns_of_one(slow: SlowHarness) -> None:
    transports: list[FakeTransport] = []
    for _ in range(40):
        slow.connect()
        transports.append(slow.transport)
        slow.post("GET", "/v1/kv/a/?recurse")
    steps = TURN_S / 0.001 + 1
    while slow.turns.due:
        before = sum(len(one.written) for one in transports)
        slow.turns.one()
        assert sum(len(one.written) for one in transports) - before <= 2 * steps
    assert all(one.written[-1] == b"0\r\n\r\n" for one in transports)


def test_a_long_list_is_of_one_state_however_long_it_takes(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/kv/a/?recurse")
    slow.turns.one()
    slow.local.apply(KvDelete(b"a/01500"))
    slow.local.apply(KvSet(b"a/00000x", b"late"))
    slow.finish()
    (reply,) = slow.replies()
    keys = [each["Key"] for each in json.loads(reply.body)]
    assert keys == [f"a/{number:05d}" for number in range(MANY)]


def test_a_client_that_does_not_read_stops_its_list_and_no_other(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/kv/a/?recurse")
    slow.turns.one()
    slow.connection.pause_writing()
    slow.finish()
    written = len(slow.transport.written)
    slow.finish()
    assert len(slow.transport.written) == written
    slow.connection.resume_writing()
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY


def test_of_a_list_that_a_client_does_not_take_no_more_than_a_row_is_held() -> None:
    """Besides what was written: neither the piece again, nor how it was shown, nor its rows."""
    slow, size = SlowHarness(), 400_000
    fill(slow, 8, value=b"v" * size)
    tracemalloc.start()
    try:
        slow.post("GET", "/v1/kv/a/?recurse")
        while sum(len(piece) for piece in slow.transport.written) < size:
            slow.turns.one()
        slow.connection.pause_writing()
        slow.finish()
        written = sum(len(piece) for piece in slow.transport.written)
        held = tracemalloc.get_traced_memory()[0] - written
    finally:
        tracemalloc.stop()
    assert written > size
    assert held < 2 * size
    slow.connection.resume_writing()
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == 8


def test_a_client_that_goes_ends_its_list(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/kv/a/?recurse")
    slow.turns.one()
    slow.connection.connection_lost(None)
    written = len(slow.transport.written)
    slow.finish()
    assert len(slow.slices) == 0
    assert len(slow.transport.written) == written


def test_a_long_list_is_not_drawn_on_while_too_much_is_held(slow: SlowHarness) -> None:
    slow.post("GET", "/v1/kv/a/?recurse")
    account = slow.context.shared.budget.enter("127.0.0.1")
    assert account is not None
    while not slow.transport.written:
        slow.turns.one()
    account.take(slow.config.client_bytes_max, is_forced=True)
    before = len(slow.transport.written)
    slow.finish()
    assert len(slow.transport.written) == before
    assert slow.waiting == [slow.connection]
    account.give_back(slow.config.client_bytes_max)
    slow.waiting.pop().go_on()
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY


def test_a_reader_that_waits_for_its_turn_holds_no_row_of_a_long_list() -> None:
    """A generator at its `yield` would: thousands of readers that take nothing each kept one."""
    harness = GatewayHarness()
    fill(harness, 4, "big/", bytes(300_000))
    reader = Reader(harness.local.tables)
    gc.collect()
    tracemalloc.start()
    try:
        batches = [
            queries.batches(reader, LongList(b"big/", None, changed=1, subjects=()))
            for _ in range(20)
        ]
        for each in batches:
            assert next(each)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000


def test_nothing_is_drawn_for_a_client_that_has_gone() -> None:
    """What the pieces are made of is closed by then: to draw one is an error."""
    turns = Turns()
    drawn: list[bool] = []
    writer = ResponseWriter(SliceQueue(turns.soon, turns.clock), bool, drawn.append)
    writer.begin(iter([b"one", b"two", b"three"]))
    writer.end()
    while turns.due:
        turns.one()
    writer.go_on()
    assert turns.due == []
    assert drawn == []


def test_whether_a_long_list_has_changed_is_found_out_in_turns(slow: SlowHarness) -> None:
    index = slow.local.lab.machine.index
    slow.local.apply(KvSet(b"other", b"v"))
    slow.post("GET", f"/v1/kv/a/?recurse&index={index}")
    turns = len(slow.finish())
    assert turns > 1
    assert slow.replies() == [], "only another key changed"
    slow.local.apply(KvSet(b"a/00009", b"new"))
    slow.finish()
    (reply,) = slow.replies()
    assert json.loads(reply.body)[9]["Value"] == "bmV3"
    slow.post("GET", f"/v1/kv/a/?recurse&index={index}")
    slow.finish()
    assert len(slow.replies()) == 1, "it has changed already"


def test_a_change_during_the_search_is_not_missed(slow: SlowHarness) -> None:
    index = slow.local.lab.machine.index
    slow.local.apply(KvSet(b"other", b"v"))
    slow.post("GET", f"/v1/kv/a/?recurse&index={index}")
    slow.turns.one()
    slow.local.apply(KvSet(b"a/00000", b"new"))
    slow.finish()
    (reply,) = slow.replies()
    assert json.loads(reply.body)[0]["Value"] == "bmV3"


def test_a_removal_is_a_change_of_a_long_list(slow: SlowHarness) -> None:
    index = slow.local.lab.machine.index
    slow.local.apply(KvDelete(b"a/00002"))
    slow.post("GET", f"/v1/kv/a/?recurse&index={index}")
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY - 1


def test_a_waiting_reader_of_a_long_list_is_answered_when_its_time_is_over(
    slow: SlowHarness,
) -> None:
    index = slow.local.lab.machine.index
    slow.local.apply(KvSet(b"other", b"v"))
    slow.post("GET", f"/v1/kv/a/?recurse&index={index}&wait=1s")
    slow.turns.one()
    slow.timers[-1].step()
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY


def test_a_pipeline_of_reads_is_worked_off_over_several_turns(slow: SlowHarness) -> None:
    slow.local.apply(KvSet(b"medium", b"v" * 20_000))
    asked = [request("GET", "/v1/kv/medium"), request("GET", "/v1/kv/a/00001?raw")]
    most = int(TURN_S / 0.001) + 2
    slow.send(b"".join(asked * 20))
    assert len(slow.transport.written) <= most
    sizes = slow.finish()
    replies = slow.replies()
    assert len(sizes) >= 40 / most - 1
    assert [len(reply.body) > 20_000 for reply in replies] == [True, False] * 20


def test_a_pipeline_whose_client_goes_is_not_worked_off(slow: SlowHarness) -> None:
    slow.send(request("GET", "/v1/kv/a/00001") * 40)
    reads = slow.local.reads
    slow.connection.connection_lost(None)
    slow.finish()
    assert slow.local.reads == reads


def test_pipelines_of_many_clients_share_the_turns_of_one(slow: SlowHarness) -> None:
    transports: list[FakeTransport] = []
    for _ in range(10):
        slow.connect()
        transports.append(slow.transport)
        slow.send(request("GET", "/v1/kv/a/00001") * 20)
    while slow.turns.due:
        before = sum(len(one.written) for one in transports)
        slow.turns.one()
        assert sum(len(one.written) for one in transports) - before <= TURN_S / 0.001 + 1
    assert [len(one.written) for one in transports] == [20] * 10


def test_a_long_list_waits_for_a_batch_that_is_half_applied(slow: SlowHarness) -> None:
    transaction = slow.local.tables.begin()
    slow.post("GET", "/v1/kv/a/?recurse")
    for _ in range(20):
        slow.turns.one()
    assert slow.replies() == []
    transaction.abort()
    slow.finish()
    (reply,) = slow.replies()
    assert len(json.loads(reply.body)) == MANY


def test_what_has_to_wait_for_another_turn_does_not_use_up_this_one() -> None:
    turns, asked = Turns(), list[int]()
    slices = SliceQueue(turns.soon, turns.clock)

    def waits() -> int:
        asked.append(len(asked))
        return LATER if len(asked) < 5 else False

    slices.add(waits)
    for number in range(1, 6):
        turns.one()
        assert len(asked) == number
    assert turns.due == []


def test_a_step_that_fails_is_reported_and_the_others_go_on() -> None:
    turns, reported, done = Turns(), list[BaseException](), list[int]()
    slices = SliceQueue(turns.soon, turns.clock)
    slices.on_error = reported.append

    def fails() -> bool:
        raise ValueError("a mistake of ours")

    def works() -> bool:
        done.append(1)
        return False

    slices.add(fails)
    slices.add(works)
    while turns.due:
        turns.one()
    assert done == [1]
    assert [str(error) for error in reported] == ["a mistake of ours"]


# --- transactions -----------------------------------------------------------------------------


def txn(harness: GatewayHarness, *ops: dict[str, str]) -> str:
    harness.post("PUT", "/v1/txn", json.dumps([{"KV": op} for op in ops]).encode())
    if isinstance(harness, SlowHarness):
        harness.finish()
    (reply,) = harness.replies()
    return reply.text


def test_a_transaction_with_long_results_is_sent_in_pieces(slow: SlowHarness) -> None:
    said = json.loads(txn(slow, {"Verb": "get-tree", "Key": "a/"}))
    assert [each["KV"]["Key"] for each in said["Results"]] == [f"a/{n:05d}" for n in range(MANY)]
    assert said["Errors"] is None
    assert said["KnownLeader"] is True
    tree = {"Verb": "get-tree", "Key": "a/"}
    written = json.loads(txn(slow, {"Verb": "set", "Key": "x", "Value": ""}, tree))
    assert len(written["Results"]) == MANY + 1


def test_a_transaction_with_long_results_is_indented_in_pieces(slow: SlowHarness) -> None:
    ops = json.dumps([{"KV": {"Verb": "get-tree", "Key": "a/"}}]).encode()
    texts: list[bytes] = []
    for target in ("/v1/txn", "/v1/txn?pretty"):
        slow.post("PUT", target, ops)
        assert len(slow.finish()) > 3
        (reply,) = slow.replies()
        assert reply.headers["Transfer-Encoding"] == "chunked"
        texts.append(reply.body)
    assert texts[1] == msgspec.json.format(texts[0], indent=4) + b"\n"


def test_a_transaction_that_reads_too_much_is_notified_which_limit_there_is() -> None:
    harness = SlowHarness()
    fill(harness, 40, value=b"v" * 500_000)
    body = json.dumps([{"KV": {"Verb": "get-tree", "Key": "a/"}}] * 128).encode()
    harness.post("PUT", "/v1/txn", body)
    harness.finish()
    (reply,) = harness.replies()
    assert reply.status == 409
    (error,) = json.loads(reply.body)["Errors"]
    assert error["OpIndex"] == 0
    assert "txn_result_bytes_max" in error["What"]
    assert len(reply.body) < 1000


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "write"])
def test_the_limit_of_results_is_that_of_the_cluster(is_read: bool) -> None:
    harness = GatewayHarness(HttpConfig(txn_result_bytes_max=9))
    harness.local.lab = Lab(settings=ClusterConfig(txn_result_bytes_max=9))
    fill(harness, 1, value=b"v" * 20)
    ops = [{"Verb": "set", "Key": "x", "Value": ""}, {"Verb": "get-tree", "Key": "a/"}]
    (error,) = json.loads(txn(harness, *ops[is_read:]))["Errors"]
    assert "must not exceed 9 bytes" in error["What"]


def test_a_long_value_leaves_in_pieces_too() -> None:
    harness = SlowHarness()
    harness.local.apply(KvSet(b"big", b"v" * 500_000))
    harness.post("GET", "/v1/kv/big?raw")
    sizes = harness.finish()
    assert max(sizes) <= (TURN_S / 0.001 + 1) * (PIECE_BYTES + BATCH_BYTES)
    (reply,) = harness.replies()
    assert len(reply.body) == 500_000
