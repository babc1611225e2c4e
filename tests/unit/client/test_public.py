"""What a program sees besides answers: the environment, the log, and what objects show."""

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from quorate import AsyncClient, Client, Paxos
from quorate.base.errors import RequestError
from tests.unit.client.fakes import Store, nodes, nodes_in_thread, refusal, reply

OK = reply(200, b"true", {"X-Quorate-Index": 7})
SECRET = "s3cret-t0ken"


def test_a_client_takes_what_is_not_given_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(SECRET)
    with nodes_in_thread(OK) as [node]:
        monkeypatch.setenv("CONSUL_HTTP_ADDR", f"{node.address},n2:8500")
        monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("CONSUL_HTTP_AUTH", "ann:pass")
        with Client() as client, Client(token="") as other:
            client.kv.put("k", "v")
            other.kv.put("k", "v")
        first, second = (seen.headers for seen in node.seen)
        assert first["X-Consul-Token"] == SECRET
        assert first["Authorization"].startswith("Basic ")
        assert "X-Consul-Token" not in second


def test_a_request_asks_for_no_order_with_others_of_its_connection() -> None:
    with nodes_in_thread(OK) as [node]:
        with Client(node.address) as client:
            client.kv.put("k", "v")
        assert node.seen[0].headers["X-Quorate-Unordered"] == "true"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_client_is_refused_where_the_environment_asks_for_tls(
    kind: type[Client] | type[AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    with pytest.raises(RequestError, match="CONSUL_HTTP_SSL=true asks for TLS"):
        kind("127.0.0.1:8500", token=SECRET)


def test_the_log_tells_of_tries_and_of_another_node_but_never_of_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        no_leader = refusal(500, "no_quorum", "No cluster leader: n2 is silent")
        async with nodes(no_leader, OK) as [isolated, other]:
            both = [isolated.address, other.address]
            async with AsyncClient(both, token=SECRET) as client:
                await client.kv.put("k", "the-value")
            shown = [(record.levelname, record.getMessage()) for record in caplog.records]
            assert shown == [
                ("WARNING", f"left {isolated.address} for {other.address}"),
                ("INFO", "waiting: PUT /v1/kv/k: No cluster leader: n2 is silent"),
                ("DEBUG", "try 2 in 0 s, after: PUT /v1/kv/k: No cluster leader: n2 is silent"),
                ("INFO", f"{other.address} answered after 2 tries"),
            ]

    with caplog.at_level(logging.DEBUG, "quorate"):
        asyncio.run(run())
    assert "the-value" not in caplog.text
    assert SECRET not in caplog.text


def test_a_program_that_sets_up_no_logging_reads_nothing() -> None:
    program = (
        "from quorate import Client\n"
        "try: Client(['127.0.0.1:1', '127.0.0.1:2']).kv.get('k')\n"
        "except Exception: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_every_object_shows_what_it_is_and_no_secret() -> None:
    with nodes_in_thread(Store()) as [node], Client([node.address, "n2"], token=SECRET) as client:
        lock = client.lock("l")
        shown = {
            repr(client): f"<Client of {node.address}, n2:8500; uses {node.address}>",
            repr(client.kv): f"<Kv of {node.address}, n2:8500>",
            repr(client.session): f"<Sessions of {node.address}, n2:8500>",
            repr(client.txn().put("a", "1").get("b")): "<Txn of 2 operations>",
            repr(client.kv.watch("a")): "<Watch of 'a', index 0>",
            repr(lock): "<Lock 'l', not held>",
            repr(client.election("e", "me")): "<Election 'e', not held>",
            repr(Paxos(client)): f"<Paxos below 'paxos/' of {client!r}>",
        }
        assert list(shown) == list(shown.values())
        with lock as held:
            assert repr(lock) == f"<Lock 'l', held, fence {held.fence}>"
            assert repr(held) == f"Held('l', fence={held.fence}, held)"
        assert SECRET not in "".join(shown)
