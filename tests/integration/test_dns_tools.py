"""Programs that people use with Consul's DNS: dig, and HAProxy that follows SRV records."""

import contextlib
import http.client
import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.test_agent import agent, free_port, said
from tests.integration.test_dns import HOST, free_dns_port, register
from tests.limits import HANG_S

pytestmark = pytest.mark.integration


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def deregister(http_port: int, service: str) -> None:
    line = http.client.HTTPConnection(HOST, http_port, timeout=HANG_S)
    try:
        line.request("PUT", f"/v1/agent/service/deregister/{service}")
        assert line.getresponse().status == 200
    finally:
        line.close()


# --- dig --------------------------------------------------------------------------------------


def dig(port: int, *words: str) -> list[str]:
    """The records of the answer, sorted, fields divided by single spaces."""
    command = ["dig", f"@{HOST}", "-p", str(port), "+timeout=60", "+noall", "+answer", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANG_S)
    return sorted(" ".join(line.split()) for line in done.stdout.splitlines() if line)


@needs("dig")
def test_dig_reads_every_kind_of_record() -> None:
    port, http_port = free_dns_port(), free_port()
    with agent("-dev", "-node=n1", f"-dns-port={port}", f"-http-port={http_port}") as process:
        said(process, "leading")
        for number in range(6):
            place = {"Address": f"10.0.0.{number}", "Port": 80 + number}
            register(http_port, Name="web", ID=f"w{number}", Tags=[f"v{number % 2}"], **place)
        addresses = [f"web.service.consul. 0 IN A 10.0.0.{number}" for number in range(6)]
        assert dig(port, "web.service.consul") == addresses  # with EDNS and a cookie
        assert dig(port, "web.service.consul", "+noedns") == addresses  # TC: again over TCP
        assert len(dig(port, "web.service.consul", "+noedns", "+ignore")) == 3
        assert dig(port, "v1.web.service.consul", "+tcp") == [
            f"v1.web.service.consul. 0 IN A 10.0.0.{number}" for number in (1, 3, 5)
        ]
        assert dig(port, "_web._v0._unused.consul", "SRV") == []
        name = "_web._v0.service.dc1.consul."
        assert dig(port, name, "SRV") == [
            f"{name} 0 IN SRV 1 1 {80 + number} 0a00000{number}.addr.dc1.consul."
            for number in (0, 2, 4)
        ]
        assert dig(port, "n1.node.consul") == [f"n1.node.consul. 0 IN A {HOST}"]
        assert dig(port, "-x", HOST) == ["1.0.0.127.in-addr.arpa. 0 IN PTR n1.node.dc1.consul."]
        assert dig(port, "-x", "10.0.0.3") == [
            "3.0.0.10.in-addr.arpa. 0 IN PTR web.service.dc1.consul."
        ]
        assert dig(port, "consul", "NS") == ["consul. 0 IN NS n1.node.dc1.consul."]
        assert dig(port, "consul", "SOA")[0].startswith("consul. 0 IN SOA ns.consul. hostmaster.")


# --- HAProxy ----------------------------------------------------------------------------------


class Backend:
    """An HTTP server that says which it is.

    Each has an address of its own: HAProxy 2.6 takes a new server at the address of another one for
    that.
    """

    def __init__(self, number: int) -> None:
        name = f"b{number}"

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self.name = name
        self.address = f"127.0.0.{number + 2}"
        self._server = http.server.ThreadingHTTPServer((self.address, 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def haproxy(folder: Path, dns_port: int) -> Generator[tuple[int, Path], None, None]:
    """HAProxy that balances over what DNS has; its port and the socket of its commands."""
    port, commands = free_port(), folder / "commands"
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
  stats socket {commands} level admin
defaults
  mode http
  timeout connect {HANG_S:.0f}s
  timeout client {HANG_S:.0f}s
  timeout server {HANG_S:.0f}s
  timeout queue {HANG_S:.0f}s
resolvers quorate
  nameserver q {HOST}:{dns_port}
  accepted_payload_size 8192
  resolve_retries 3
  timeout resolve 100ms
  timeout retry 100ms
  hold valid 100ms
frontend front
  bind {HOST}:{port}
  default_backend web
backend web
  balance roundrobin
  option http-server-close
  default-server resolvers quorate resolve-prefer ipv4 init-addr none
  server-template web 5 _web._tcp.service.consul
""")
    words = ["haproxy", "-f", str(config), "-db"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        try:
            yield port, commands
        finally:
            process.terminate()


def ports_of(commands: Path) -> set[int]:
    """The ports of the servers that HAProxy sends requests to."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(commands))
        line.sendall(b"show servers state web\n")
        text = line.makefile().read()
    rows = [row.split() for row in text.splitlines() if row and row[0].isdigit() and len(row) > 3]
    return {int(row[18]) for row in rows if row[4] != "-" and row[5] == "2"}


def until(commands: Path, ports: set[int]) -> None:
    deadline_s = time.monotonic() + HANG_S
    while True:
        found: set[int] = set()
        with contextlib.suppress(OSError):  # it has not started yet
            found = ports_of(commands)
        if found == ports:
            return
        assert time.monotonic() < deadline_s, (found, ports)
        time.sleep(0.02)


class Load:
    """Clients that ask all the time, each on a new connection.

    Attributes:
        codes: Of all replies; 0: there was none.
        names: Who has answered.
    """

    def __init__(self, port: int) -> None:
        self.codes: list[int] = []
        self.names: set[str] = set()
        self._port = port
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(4)]
        for thread in self._threads:
            thread.start()

    def more(self, count: int) -> None:
        """Wait for more replies."""
        before = len(self.codes)
        while len(self.codes) < before + count:
            time.sleep(0.02)

    def close(self) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        while not self._is_over.is_set():
            line = http.client.HTTPConnection(HOST, self._port, timeout=HANG_S)
            try:
                line.request("GET", "/")
                reply = line.getresponse()
                self.names.add(reply.read().decode())
                self.codes.append(reply.status)
            except OSError:
                self.codes.append(0)
            finally:
                line.close()


@needs("haproxy")
def test_haproxy_follows_a_service_without_an_error_for_its_clients(tmp_path: Path) -> None:
    port, http_port = free_dns_port(), free_port()
    flags = f"-dns-port={port}", f"-http-port={http_port}"
    with ExitStack() as stack:
        said(stack.enter_context(agent("-dev", *flags)), "leading")
        backends = [Backend(number) for number in range(4)]
        for backend in backends:
            stack.callback(backend.close)
        ports = [backend.port for backend in backends]

        def add(backend: Backend) -> None:
            place = {"Address": backend.address, "Port": backend.port}
            register(http_port, Name="web", ID=backend.name, **place)

        add(backends[0])
        add(backends[1])
        front, commands = stack.enter_context(haproxy(tmp_path, port))
        until(commands, {*ports[:2]})
        load = Load(front)
        stack.callback(load.close)
        add(backends[2])
        until(commands, {*ports[:3]})
        deregister(http_port, "b0")
        until(commands, {*ports[1:3]})
        add(backends[3])
        until(commands, {*ports[1:]})
        deregister(http_port, "b1")
        deregister(http_port, "b2")
        until(commands, {ports[3]})
        while load.names != {"b3"}:  # requests that were under way end where they began
            load.names.clear()
            load.more(20)
        assert {*load.codes} == {200}
