"""The sync client: that it is what the generator makes, and what is its own: sockets, threads."""

import asyncio
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from quorate import Client, Paxos
from quorate.base.errors import OutcomeUnknownError, RequestError, UnavailableError
from quorate.client import KvEntry, LockHeldError, LockLostError, endpoints
from quorate.client.blocking import ClientTransport
from quorate.client.requests import put_request
from quorate.client.transport import Settings
from tests.limits import HANG_S
from tests.unit.client.fakes import CUT, Answer, Seen, Store, nodes_in_thread, refusal, reply

GENERATOR = Path(__file__).parents[3] / "scripts/unasync.py"


OK = reply(200, b"true", {"X-Quorate-Index": 7})


def test_the_sync_client_is_what_the_generator_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, check=False, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_keys_are_written_and_read() -> None:
    with nodes_in_thread(Store()) as [node], Client(node.address) as client:
        index = client.kv.put("a b", b"1")
        assert client.kv.get("a b") == KvEntry("a b", b"1", 0, index, index)
        assert not client.kv.cas("a b", b"2", 0)
        assert client.kv.delete("a b")
        assert client.kv.get("a b") is None


def test_one_connection_serves_call_after_call() -> None:
    with nodes_in_thread(OK) as [node], Client(node.address) as client:
        for _ in range(20):
            assert client.kv.put("a", b"1") == 7
        assert len(node.connections) == 1


def test_threads_may_share_a_client() -> None:
    def put(number: int) -> int:
        return client.kv.put(f"k{number}", b"1")

    with nodes_in_thread(OK) as [node], Client(node.address) as client:
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(put, range(200)))
        assert done == [7] * 200
        assert len(node.connections) <= 8


def test_a_definite_failure_is_tried_at_the_next_node() -> None:
    no_leader = refusal(500, "no_quorum", "No cluster leader")
    with (
        nodes_in_thread(no_leader, OK) as [isolated, other],
        Client([isolated.address, other.address]) as client,
    ):
        assert client.kv.put("a", b"1") == 7
        assert client.endpoint == other.address


def test_a_write_cut_off_has_an_unknown_outcome_and_a_read_is_repeated() -> None:
    with nodes_in_thread(OK[:-2] + CUT, reply(200, b"v")) as [cutting, other]:
        with Client([cutting.address, other.address]) as client:
            with pytest.raises(OutcomeUnknownError):
                client.kv.put("a", b"1")
            assert client.endpoint == other.address
        with Client([cutting.address, other.address]) as client:
            assert client.kv.read("a") == b"v"


def test_a_damaged_first_reply_leaves_the_outcome_of_a_write_unknown() -> None:
    damaged = b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
    with (
        nodes_in_thread(damaged, OK) as [odd, other],
        Client([odd.address, other.address]) as client,
        pytest.raises(OutcomeUnknownError, match="no HTTP"),
    ):
        client.kv.put("a", b"1")


def test_a_deadline_ends_a_call_to_a_silent_node() -> None:
    with nodes_in_thread(None) as [node], Client(node.address) as client:
        with pytest.raises(OutcomeUnknownError, match="no reply in time"):
            client.kv.put("a", b"1", deadline_s=0.05)
        with pytest.raises(UnavailableError):
            client.kv.get("a", deadline_s=0.05)


def test_a_connection_that_the_node_closed_meanwhile_is_noticed_before_a_write() -> None:
    closing = reply(200, b"true", {"X-Quorate-Index": 7}) + CUT  # says nothing of closing
    with nodes_in_thread(closing) as [node], Client(node.address) as client:
        assert client.kv.put("a", b"1") == 7
        while node.connections:
            threading.Event().wait(0.001)
        assert client.kv.put("a", b"1") == 7


def test_a_reply_that_comes_before_the_whole_request_is_used_though_the_connection_ends() -> None:
    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(refusal(413, "too_large", "that is too long"))
            # closed with unread bytes: the client's next piece is answered by a reset

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        done = pool.submit(refuse, listener)
        with (
            Client(f"127.0.0.1:{listener.getsockname()[1]}") as client,
            pytest.raises(RequestError, match="that is too long"),
        ):
            client.call("PUT", "/v1/snapshot", bytes(20_000_000))
        done.result()


def test_connections_of_busier_times_are_dropped_when_they_were_idle_for_long() -> None:
    request = put_request("a", "", b"1")
    count = 5
    together = threading.Barrier(count)

    def exchange(_: int) -> int:
        together.wait(HANG_S)
        return transport.exchange(endpoint, request, transport.now_s() + HANG_S).status

    waiting: list[asyncio.Future[bytes]] = []

    def when_all_are_here(_: Seen) -> Answer:
        waiting.append(asyncio.get_running_loop().create_future())
        if len(waiting) == count:
            for future in waiting:
                future.set_result(OK)
        return waiting[-1]

    with nodes_in_thread(when_all_are_here) as [node]:
        endpoint = endpoints.parse(node.address)
        transport = ClientTransport(Settings(idle_s=0.0, stalled=lambda _: None))
        with ThreadPoolExecutor(count) as pool:
            assert list(pool.map(exchange, range(count))) == [200] * count
        end_s = transport.now_s() + HANG_S
        while len(node.connections) > 1 and transport.now_s() < end_s:
            threading.Event().wait(0.001)
        assert len(node.connections) == 1
        transport.close()


def test_a_closed_client_refuses_and_wakes_who_waits() -> None:
    with nodes_in_thread(None) as [node], ThreadPoolExecutor(1) as pool:
        client = Client(node.address)
        waiting = pool.submit(client.kv.put, "a", b"1")
        while not node.seen:
            threading.Event().wait(0.001)
        client.close()
        with pytest.raises(OutcomeUnknownError):
            waiting.result()
        with pytest.raises(UnavailableError, match="closed"):
            client.kv.put("a", b"1")


def test_a_watch_is_an_iterator() -> None:
    store = Store()
    store.write("a", b"1")
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        values: list[bytes | None] = []
        for entry in client.kv.watch("a"):
            values.append(None if entry is None else entry.value)
            if entry is None:
                break
            if entry.value == b"1":
                client.kv.put("a", b"2")
            else:
                client.kv.delete("a")
        assert values == [b"1", b"2", None]


def test_a_lock_excludes_hands_out_fences_and_is_released() -> None:
    store = Store()
    with nodes_in_thread(store) as [node], Client(node.address) as client:
        with client.lock("l") as held:
            assert store.rows["l"].session == held.session
            with pytest.raises(LockHeldError), client.lock("l", wait_s=0):
                pass
        with client.lock("l") as again:
            assert again.fence > held.fence
        assert store.sessions == {}


def test_a_lost_lock_is_reported_by_check_by_callback_and_at_the_end() -> None:
    store = Store()
    reasons: SimpleQueue[str] = SimpleQueue()
    with nodes_in_thread(store) as [node], Client(node.address) as client:

        def hold() -> None:
            with client.lock("l", ttl_s=0.2, on_lost=reasons.put) as held:
                held.check()
                store.sessions.clear()
                assert "session has ended" in reasons.get(timeout=HANG_S)
                with pytest.raises(LockLostError):
                    held.check()

        with pytest.raises(LockLostError, match="session has ended"):
            hold()


def test_the_error_of_a_body_is_not_hidden_by_the_loss() -> None:
    store = Store()
    reasons: SimpleQueue[str] = SimpleQueue()
    with nodes_in_thread(store) as [node], Client(node.address) as client:

        def hold() -> None:
            with client.lock("l", ttl_s=0.2, on_lost=reasons.put):
                store.sessions.clear()
                reasons.get(timeout=HANG_S)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            hold()


def test_paxos_decides_once() -> None:
    with nodes_in_thread(Store()) as [node], Client(node.address) as client:
        paxos = Paxos(client)
        assert paxos.accept("n") is None
        assert paxos.propose("n", b"1") == b"1"
        assert paxos.propose("n", b"2") == b"1"
        assert paxos.decide("n") == b"1"
