"""The environment: Consul's variables, as the client and the command line read them."""

import base64
from pathlib import Path

import pytest

from quorate.base.errors import RequestError
from quorate.client import environment


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        (None, ("127.0.0.1:8500",)),
        ("", ("127.0.0.1:8500",)),
        ("n1:8501", ("n1:8501",)),
        ("n1:8500, n2:8500,http://n3:8500", ("n1:8500", "n2:8500", "http://n3:8500")),
        ("unix:///run/quorate.sock", ("unix:///run/quorate.sock",)),
    ],
)
def test_addresses_are_read_from_the_environment(
    value: str | None, addresses: tuple[str, ...]
) -> None:
    assert environment.addresses({} if value is None else {"CONSUL_HTTP_ADDR": value}) == addresses


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_HTTP_SSL", "1"),
        ("CONSUL_HTTP_SSL", "T"),
        ("CONSUL_HTTP_SSL", "yes"),  # not one of Go's words: asked for rather than not
        ("CONSUL_HTTP_SSL_VERIFY", "true"),
        ("CONSUL_CACERT", "/etc/ca.pem"),
        ("CONSUL_CAPATH", "/etc/ca"),
        ("CONSUL_CLIENT_CERT", "/etc/cert.pem"),
        ("CONSUL_CLIENT_KEY", "/etc/key.pem"),
        ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul"),
        ("CONSUL_NAMESPACE", "team"),
        ("CONSUL_PARTITION", "west"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(RequestError, match=name) as caught:
        environment.check({name: value})
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSUL_HTTP_SSL", ""),
        ("CONSUL_HTTP_SSL", "false"),
        ("CONSUL_HTTP_SSL", "0"),
        ("CONSUL_HTTP_SSL_VERIFY", "FALSE"),
        ("CONSUL_CACERT", ""),
        ("CONSUL_NAMESPACE", "default"),
        ("CONSUL_GRPC_ADDR", "n1:8502"),
    ],
)
def test_what_asks_for_nothing_is_let_pass(name: str, value: str) -> None:
    environment.check({name: value})


def test_the_token_comes_from_the_file_else_from_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(" from-file \n")
    both = {"CONSUL_HTTP_TOKEN": "direct", "CONSUL_HTTP_TOKEN_FILE": str(file)}
    assert environment.token({}) == ""
    assert environment.token({"CONSUL_HTTP_TOKEN": "direct"}) == "direct"
    assert environment.token(both) == "from-file"
    file.write_text("\n")
    assert environment.token(both) == "direct"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_token_file_that_cannot_be_read_is_an_error_that_names_it(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestError, match=r"CONSUL_HTTP_TOKEN_FILE: .*token"):
        environment.token({"CONSUL_HTTP_TOKEN_FILE": str(file)})


def test_basic_authorization_is_made_from_user_and_password() -> None:
    assert environment.authorization({}) == ""
    words = environment.authorization({"CONSUL_HTTP_AUTH": "ann:se:cret"}).split()
    assert (words[0], base64.b64decode(words[1])) == ("Basic", b"ann:se:cret")
