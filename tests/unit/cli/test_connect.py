"""What flags and environment say about the node to ask."""

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quorate.base.errors import RequestError
from quorate.cli.connect import ConnectionFlags
from quorate.cli.main import main


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADDR", "TOKEN", "TOKEN_FILE", "SSL", "SSL_VERIFY"):
        monkeypatch.delenv(f"CONSUL_HTTP_{name}", raising=False)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What somebody who listens where `CONSUL_HTTP_ADDR` says is sent."""
    found: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setenv("CONSUL_HTTP_ADDR", f"127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret")

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                found.append(connection.recv(4096))

    threading.Thread(target=serve, daemon=True).start()
    return found


@contextmanager
def answering(reply: bytes) -> Generator[str]:
    """A server that answers whatever it gets with this; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(4096):
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_SSL", "1"),
        ("CONSUL_HTTP_SSL", "yes"),
        ("CONSUL_HTTP_SSL_VERIFY", "true"),
        ("CONSUL_CACERT", "ca.pem"),
        ("CONSUL_CAPATH", "/etc/ca"),
        ("CONSUL_CLIENT_CERT", "c.pem"),
        ("CONSUL_CLIENT_KEY", "k.pem"),
        ("CONSUL_TLS_SERVER_NAME", "n1"),
    ],
)
@pytest.mark.parametrize(
    "words", [["kv", "get", "x"], ["lock", "x", "true"], ["kv", "import", "[]"]]
)
def test_an_environment_that_asks_for_tls_sends_nothing(
    sent: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    words: list[str],
) -> None:
    monkeypatch.setenv(name, value)
    assert main(words) == 1
    assert name in capsys.readouterr().err
    assert sent == []


@pytest.mark.parametrize(
    "flag", ["-ca-file", "-ca-path", "-client-cert", "-client-key", "-tls-server-name"]
)
def test_a_flag_that_asks_for_tls_sends_nothing(
    sent: list[bytes], capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert main(["kv", "get", flag, "x.pem", "x"]) == 1
    assert f"{flag} asks for TLS" in capsys.readouterr().err
    assert sent == []


def test_an_address_with_https_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "get", "-http-addr=https://127.0.0.1:9", "x"]) == 1
    assert "TLS" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "0", "false", "False"])
def test_an_environment_that_asks_for_no_tls_is_harmless(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_SSL", value)
    monkeypatch.setenv("CONSUL_CACERT", "")
    ConnectionFlags().check()


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ConnectionFlags().node == "127.0.0.1:8500"
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "http://a:1")
    assert ConnectionFlags().node == "a:1"
    assert ConnectionFlags(http_addr="b:2").node == "b:2"
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "unix:///run/q.sock")
    assert ConnectionFlags().node == "unix:///run/q.sock"


def test_a_file_with_a_token_wins_over_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("from file\n")
    assert ConnectionFlags().secret == ""
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "from environment")
    assert ConnectionFlags().secret == "from environment"
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(file))
    assert ConnectionFlags().secret == "from file"
    assert ConnectionFlags(token="from flag").secret == "from flag"
    assert ConnectionFlags(token="from flag", token_file=str(file)).secret == "from file"
    with pytest.raises(RequestError, match="-token-file"):
        _ = ConnectionFlags(token_file="/none").secret


def test_headers_say_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ConnectionFlags().headers == {}
    monkeypatch.setenv("CONSUL_HTTP_AUTH", "ann:pw")
    assert ConnectionFlags(token="t").headers == {
        "X-Consul-Token": "t",
        "Authorization": "Basic YW5uOnB3",
    }


def test_a_socket_that_is_not_there_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kv", "get", "-http-addr=unix:///none/q.sock", "x"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error connecting to unix:///none/q.sock: no such file or directory")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"Stats":{"raft":5}}', b'{"a":' * 100_000])
@pytest.mark.parametrize("words", [["info"], ["kv", "get", "-datacenter=dc1", "x"]])
def test_another_server_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    body: bytes,
    words: list[str],
) -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as address:
        monkeypatch.setenv("CONSUL_HTTP_ADDR", address)
        assert main(words) == 1
    assert "the node's reply has an unknown form" in capsys.readouterr().err
