"""Small endpoints."""

import hashlib
import json
import ssl

import pytest

from quorate.gateways.http.caroots import ROOT_NAME
from tests.unit.gateways.desk import Desk


@pytest.mark.parametrize("path", ["/v1/agent/connect/ca/roots", "/v1/connect/ca/roots"])
def test_there_is_one_active_root_that_says_what_it_is(path: str) -> None:
    desk = Desk()
    reply = desk.ask("GET", path)
    body = json.loads(reply.body)
    [root] = body["Roots"]
    assert body["ActiveRootID"] == root["ID"]
    assert (root["Active"], root["Name"]) == (True, ROOT_NAME)
    der = ssl.PEM_cert_to_DER_cert(root["RootCert"])
    assert hashlib.sha1(der, usedforsecurity=False).hexdigest() == root["ID"].replace(":", "")
    assert b"Placeholder root: signs nothing" in der
    desk.post("GET", f"{path}?index={reply.headers['X-Consul-Index']}")
    assert desk.replies() == []  # it blocks: nothing changes


def test_the_root_is_there_as_a_certificate_too() -> None:
    desk = Desk()
    reply = desk.ask("GET", "/v1/connect/ca/roots?pem=true")
    assert reply.headers["Content-Type"] == "application/pem-certificate-chain"
    assert reply.text.startswith("-----BEGIN CERTIFICATE-----")
    assert desk.ask("GET", "/v1/connect/ca/roots?pem=maybe").status == 400


def test_the_root_page_says_what_this_is() -> None:
    desk = Desk()
    reply = desk.ask("GET", "/")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    assert desk.config.version in reply.text
    assert desk.ask("POST", "/").headers["Allow"] == "OPTIONS,GET,HEAD"


def test_a_bad_age_is_refused_and_other_words_about_caching_are_not() -> None:
    desk = Desk()
    for value, status in [("max-age=abc", 400), ("max-age=-1", 400), ("stale-if-error=-1", 200)]:
        for target in ("/v1/health/service/consul", "/v1/catalog/services?cached"):
            assert desk.ask("GET", target, b"", f"Cache-Control: {value}").status == status
