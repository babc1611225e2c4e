"""DNS over real sockets: UDP and TCP, recursors, a port in use, a reload."""

import asyncio
import json
import signal
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.query
import dns.rcode
import msgspec
import pytest
import structlog

from quorate.agent.listeners import Listeners
from quorate.agent.settings import AgentSettings, settings_of
from quorate.agent.starting import StartError
from quorate.cli.agent import parse_flags
from tests.integration.test_agent import agent, free_port, refused, said
from tests.limits import HANG_S
from tests.unit.gateways.harness import FakeLocal
from tests.unit.gateways.test_control import FakeProcess

pytestmark = pytest.mark.integration

HOST = "127.0.0.1"


def free_dns_port() -> int:
    """A port that is free for TCP and for UDP."""
    while True:
        port = free_port()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def ask(port: int, name: str, qtype: str = "A", *, tcp: bool = False) -> Any:
    query = dns.message.make_query(name, qtype)
    exchange = dns.query.tcp if tcp else dns.query.udp
    return exchange(query, HOST, port=port, timeout=HANG_S)


def addresses(reply: Any) -> list[str]:
    return sorted(row.to_text() for rows in reply.answer for row in rows)


def register(http_port: int, **service: object) -> None:
    """Register a service; on a starved machine there may be no leader for a while."""
    deadline_s = time.monotonic() + HANG_S
    while True:
        line = HTTPConnection(HOST, http_port, timeout=HANG_S)
        try:
            line.request("PUT", "/v1/agent/service/register", json.dumps(service))
            reply = line.getresponse()
            if reply.status == 200:
                return
            assert time.monotonic() < deadline_s, reply.read()
        finally:
            line.close()


def test_a_service_is_found_over_udp_and_tcp_when_its_registration_is_answered() -> None:
    port, http_port = free_dns_port(), free_port()
    with agent("-dev", f"-dns-port={port}", f"-http-port={http_port}") as process:
        said(process, "leading")
        for number in range(5):
            place = {"Address": f"10.0.0.{number}", "Port": 80 + number}
            register(http_port, Name="web", ID=f"w{number}", **place)
            for tcp in (True, False):
                found = addresses(ask(port, "web.service.consul", tcp=tcp))
                whole = [f"10.0.0.{last}" for last in range(number + 1)]
                assert found == whole if tcp else set(found) <= set(whole)
        cut = ask(port, "web.service.consul")
        assert cut.flags & dns.flags.TC
        assert len(addresses(cut)) == 3
        ids = list(range(60))
        with socket.create_connection((HOST, port), HANG_S) as line:  # many queries at once
            for number in ids:
                query = dns.message.make_query(f"t{number}.web.service.consul", "A", id=number)
                data = query.to_wire()
                line.sendall(struct.pack("!H", len(data)) + data)
            replies = line.makefile("rb")
            seen: list[int] = []
            for _ in ids:
                (length,) = struct.unpack("!H", replies.read(2))
                seen.append(dns.message.from_wire(replies.read(length)).id)
            assert sorted(seen) == ids


def test_queries_that_came_together_are_all_answered() -> None:
    """More than in one turn of the loop; those that cannot be answered in between."""
    port = free_dns_port()
    with agent("-dev", f"-dns-port={port}") as process:
        said(process, "leading")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((HOST, port))
            client.settimeout(HANG_S)
            for number in range(100):
                query = dns.message.make_query(f"t{number}.node.consul", "A", id=number)
                client.send(b"no query")
                client.send(query.to_wire())
            seen = {dns.message.from_wire(client.recv(512)).id for _ in range(100)}
    assert seen == set(range(100))


def test_a_connection_that_sends_no_queries_ends() -> None:
    port = free_dns_port()
    with agent("-dev", f"-dns-port={port}"):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0", b"\xff\xff"):
            with socket.create_connection((HOST, port), HANG_S) as line:
                line.sendall(data)
                assert line.recv(1) == b""
        assert ask(port, "none.node.consul").rcode() in {dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL}


@contextmanager
def recursor(address: str) -> Generator[tuple[int, list[str]], None, None]:
    """A DNS server that has one address for every name, or with "" a failure."""
    asked: list[str] = []

    def reply_to(data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        asked.append(str(query.question[0].name))
        reply = dns.message.make_response(query)
        if address:
            text = f"{query.question[0].name} 60 IN A {address}"
            reply.answer += dns.message.from_text(f";ANSWER\n{text}\n").answer
        else:
            reply.set_rcode(dns.rcode.SERVFAIL)
        return reply.to_wire()

    class Datagrams(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, server = self.request
            reply = reply_to(data)
            forged = bytes((reply[0] ^ 1,)) + reply[1:]
            server.sendto(forged, self.client_address)  # of nobody who saw the query: ignored
            server.sendto(reply, self.client_address)

    class Streams(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            reply = reply_to(self.rfile.read(length))
            self.wfile.write(struct.pack("!H", len(reply)) + reply)

    place = (HOST, free_dns_port())
    with (
        socketserver.ThreadingUDPServer(place, Datagrams) as datagrams,
        socketserver.ThreadingTCPServer(place, Streams) as streams,
    ):
        threads = [threading.Thread(target=each.serve_forever) for each in (datagrams, streams)]
        for thread in threads:
            thread.start()
        try:
            yield place[1], asked
        finally:
            datagrams.shutdown()
            streams.shutdown()
            for thread in threads:
                thread.join()


def test_other_names_go_to_the_first_recursor_that_answers(tmp_path: Path) -> None:
    port, config = free_dns_port(), tmp_path / "a.json"
    config.write_text(json.dumps({"dns_config": {"recursor_timeout": f"{HANG_S}s"}}))
    flags = ["-dev", f"-dns-port={port}", f"-config-file={config}"]
    with recursor("") as (broken, failed), recursor("192.0.2.7") as (good, asked):
        others = [f"-recursor={HOST}:{each}" for each in (broken, good)]
        with agent(*flags, *others) as process:
            said(process, "leading")
            for tcp in (False, True):
                assert addresses(ask(port, "www.example.com", tcp=tcp)) == ["192.0.2.7"]
            assert failed == asked == ["www.example.com."] * 2
            assert ask(port, "none.service.consul").rcode() == dns.rcode.NXDOMAIN
            assert len(asked) == 2
    with agent(*flags, f"-recursor={HOST}:{broken}") as process:  # nobody is there
        said(process, "leading")
        for tcp in (False, True):
            assert ask(port, "www.example.com", tcp=tcp).rcode() == dns.rcode.SERVFAIL


def test_a_chosen_port_that_is_in_use_is_refused() -> None:
    port = free_dns_port()
    with agent("-dev", f"-dns-port={port}"):
        text = refused("-dev", f"-server-port={free_port()}", "-http-port=-1", f"-dns-port={port}")
        assert f"port {port} on 127.0.0.1 is in use by another process" in text
        assert "choose another port with -dns-port" in text


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_node_starts_without_dns_if_the_default_port_is_in_use(kind: int) -> None:
    """So several run on one machine."""
    plain, _ = settings_of(parse_flags(["-dev", "-http-port=-1"]))
    with socket.socket(socket.AF_INET, kind) as taken, structlog.testing.capture_logs() as logs:
        taken.bind((HOST, 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        settings = msgspec.structs.replace(plain, dns_port=port)
        asyncio.run(opened(settings))
        assert [(line["port"], line["log_level"]) for line in logs] == [(port, "warning")]
        with pytest.raises(StartError, match="in use"):
            asyncio.run(opened(msgspec.structs.replace(settings, is_dns_wanted=True)))


async def opened(settings: AgentSettings) -> None:
    listeners = Listeners(structlog.get_logger())
    try:
        unused: Any = None  # no request comes
        await listeners.open(FakeLocal(), settings, FakeProcess(), unused)
    finally:
        await listeners.close()


def test_a_reload_changes_times_to_live(tmp_path: Path) -> None:
    port, config = free_dns_port(), tmp_path / "a.json"

    def write(ttl: str) -> None:
        config.write_text(json.dumps({"node_name": "n", "dns_config": {"node_ttl": ttl}}))

    write("5s")
    with agent("-dev", f"-config-file={config}", f"-dns-port={port}") as process:
        said(process, "leading")
        while (reply := ask(port, "n.node.consul")).rcode():  # it is not registered yet
            pass
        assert reply.answer[0].ttl == 5
        write("7s")
        process.send_signal(signal.SIGHUP)
        said(process, "reloaded")
        assert ask(port, "n.node.consul").answer[0].ttl == 7


def asked(port: int, path: str) -> Any:
    line = HTTPConnection(HOST, port, timeout=HANG_S)
    try:
        line.request("GET", path)
        return json.loads(line.getresponse().read() or b"null")
    finally:
        line.close()


def test_names_are_answered_while_the_leader_is_killed_and_another_is_elected(
    tmp_path: Path,
) -> None:
    servers = [free_port() for _ in range(3)]
    https = [free_port() for _ in range(3)]
    names = [free_dns_port() for _ in range(3)]
    joins = [f"-retry-join={HOST}:{port}" for port in servers]
    codes: list[int] = []
    is_over = threading.Event()

    def ask_on(port: int) -> None:
        while not is_over.is_set():
            codes.append(int(ask(port, "web.service.consul").rcode()))

    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                agent(
                    "-server", "-bootstrap-expect=3", f"-data-dir={tmp_path / str(number)}",
                    f"-node=n{number}", f"-bind={HOST}", f"-server-port={servers[number]}",
                    f"-http-port={https[number]}", f"-dns-port={names[number]}", *joins,
                )
            )
            for number in range(3)
        ]  # fmt: skip
        while not (leader := asked(https[0], "/v1/status/leader")):
            time.sleep(0.05)
        register(https[0], Name="web", Address="10.0.0.1")
        for port in names:
            while ask(port, "web.service.consul").rcode():  # it has not arrived there yet
                time.sleep(0.05)
        first = servers.index(int(leader.rpartition(":")[2]))
        others = [number for number in range(3) if number != first]
        threads = [threading.Thread(target=ask_on, args=(names[each],)) for each in others]
        for thread in threads:
            thread.start()
        nodes[first].kill()
        try:
            while asked(https[others[0]], "/v1/status/leader") in {"", leader}:
                time.sleep(0.05)
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    assert codes
    assert set(codes) == {int(dns.rcode.NOERROR)}
