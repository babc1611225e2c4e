"""Small endpoints."""

import hashlib
import json
import ssl

import pytest

from quorate.gateways.http.caroots import ROOT_NAME
from quorate.gateways.http.config import HttpConfig
from tests.unit.gateways.harness import GatewayHarness


@pytest.mark.parametrize("path", ["/v1/agent/connect/ca/roots", "/v1/connect/ca/roots"])
def test_there_is_one_active_root_that_says_what_it_is(path: str) -> None:
    harness = GatewayHarness()
    reply = harness.ask("GET", path)
    body = json.loads(reply.body)
    [root] = body["Roots"]
    assert body["ActiveRootID"] == root["ID"]
    assert (root["Active"], root["Name"]) == (True, ROOT_NAME)
    der = ssl.PEM_cert_to_DER_cert(root["RootCert"])
    assert hashlib.sha1(der, usedforsecurity=False).hexdigest() == root["ID"].replace(":", "")
    assert b"Placeholder root: signs nothing" in der
    harness.post("GET", f"{path}?index={reply.headers['X-Consul-Index']}")
    assert harness.replies() == []  # it blocks: nothing changes


def test_the_root_is_there_as_a_certificate_too() -> None:
    harness = GatewayHarness()
    reply = harness.ask("GET", "/v1/connect/ca/roots?pem=true")
    assert reply.headers["Content-Type"] == "application/pem-certificate-chain"
    assert reply.text.startswith("-----BEGIN CERTIFICATE-----")
    assert harness.ask("GET", "/v1/connect/ca/roots?pem=maybe").status == 400


def test_the_root_page_says_what_this_is() -> None:
    harness = GatewayHarness()
    reply = harness.ask("GET", "/")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert harness.config.version in reply.text
    assert harness.ask("POST", "/").headers["Allow"] == "OPTIONS,GET,HEAD"


def test_a_bad_age_is_refused_and_other_words_about_caching_are_not() -> None:
    harness = GatewayHarness()
    for value, status in [("max-age=abc", 400), ("max-age=-1", 400), ("stale-if-error=-1", 200)]:
        for target in ("/v1/health/service/consul", "/v1/catalog/services?cached"):
            assert harness.ask("GET", target, b"", f"Cache-Control: {value}").status == status


OTHER_ORIGIN = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, DELETE, PUT"),
)
ORIGIN = "Origin: http://local.example:8101"


def opened() -> GatewayHarness:
    harness = GatewayHarness(
        HttpConfig(response_headers=OTHER_ORIGIN, blocked_paths=("/v1/snapshot",))
    )
    harness.ask("PUT", "/v1/kv/long", b"x" * 5000)
    return harness


@pytest.mark.parametrize(
    ("method", "target", "header", "status"),
    [
        ("OPTIONS", "/v1/kv/lb/hosts/opi", "Access-Control-Request-Method: PUT", 200),
        ("OPTIONS", "/v1/session/create", "Access-Control-Request-Method: PUT", 200),
        ("PUT", "/v1/kv/lb/hosts/opi", "X-A: b", 200),
        ("GET", "/", "X-A: b", 200),
        ("GET", "/v1/kv/long?raw", "X-A: b", 200),
        ("GET", "/v1/kv/long", "Accept-Encoding: gzip", 200),
        ("GET", "/v1/kv/?recurse&pretty", "X-A: b", 200),
        ("GET", "/metrics", "X-A: b", 200),
        ("GET", "/v1/kv//a", "X-A: b", 301),
        ("GET", "/v1/kv/?flags=-1", "X-A: b", 400),
        ("GET", "/v1/kv/x?wait=1", "X-A: b", 400),
        ("PUT", "/v1/txn", "X-A: b", 400),
        ("GET", "/v1/snapshot", "X-A: b", 403),
        ("GET", "/v1/kv/none", "X-A: b", 404),
        ("GET", "/v1/none", "X-A: b", 404),
        ("GET", "/nothing", "X-A: b", 404),
        ("POST", "/v1/kv/lb", "X-A: b", 405),
        ("FOO", "/v1/kv/lb", "X-A: b", 405),
        ("PUT", "/v1/kv/lb", "Content-Length: 1000000", 413),
        ("PUT", "/v1/kv/x?flags=-1", "X-A: b", 500),
    ],
)
def test_headers_from_the_configuration_are_on_every_answer(
    method: str, target: str, header: str, status: int
) -> None:
    reply = opened().ask(method, target, b"", ORIGIN, header)
    assert reply.status == status
    for name, value in OTHER_ORIGIN:
        assert reply.headers[name] == value
