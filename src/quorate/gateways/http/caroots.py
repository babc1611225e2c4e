"""Roots of the service mesh: `/v1/agent/connect/ca/roots` and `/v1/connect/ca/roots`.

Quorate has no service mesh. Clients that test whether an agent is ready, as the tests of Consul's
Go client do, require one active root; so there is one, the same on every node, whose name says what
it is. Its private key was never stored, so nothing is or will be signed by it: trusting it adds no
trust.

Source: https://developer.hashicorp.com/consul/api-docs/connect/ca.
"""

from typing import Any

from quorate.base import subjects
from quorate.base.results import Answer
from quorate.gateways.http.blocking import mode_of, read
from quorate.gateways.http.context import Context
from quorate.gateways.http.errors import HttpError
from quorate.gateways.http.params import Params, boolean
from quorate.httpserver.request import Request
from quorate.machine.queries import Reader
from quorate.serving.evaluations import Evaluated

ROOT = """\
-----BEGIN CERTIFICATE-----
MIIB7TCCAZOgAwIBAgIBATAKBggqhkjOPQQDAjBLMRAwDgYDVQQKDAdRdW9yYXRl
MTcwNQYDVQQDDC5QbGFjZWhvbGRlciByb290OiBzaWducyBub3RoaW5nLCBrZXkg
ZGVzdHJveWVkMCAXDTI2MTEzMDE4MjMyNFoYDzIxMjYxMTA2MTgyMzI0WjBLMRAw
DgYDVQQKDAdRdW9yYXRlMTcwNQYDVQQDDC5QbGFjZWhvbGRlciByb290OiBzaWdu
cyBub3RoaW5nLCBrZXkgZGVzdHJveWVkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEeQM7rBhALb4ws0RA/xq1NKNUkpfCtj+wtQv134V2i4wVec9iOjTzonqSDFVZ
Jr7i9vXhT5+KcSRE/jH9EEitiqNmMGQwHQYDVR0OBBYEFJvjsG39WLor3sC3LG7R
nIWbFFN8MB8GA1UdIwQYMBaAFJvjsG39WLor3sC3LG7RnIWbFFN8MBIGA1UdEwEB
/wQIMAYBAf8CAQAwDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0gAMEUCIDl2
9TzEbWOjCGK0DIEn94zz8owZQ6rKY9+vrgbV2IsXAiEA1nKBk9MUNXqSySIpkAgx
7/oTQvTJO90AD+2N96OuvfI=
-----END CERTIFICATE-----
"""
ROOT_ID = "9a:81:a9:60:bd:aa:20:52:1a:57:94:78:78:04:72:04:7f:74:4c:d1"
ROOT_NAME = "Placeholder root: signs nothing, key destroyed"
_KEY_ID = "9b:e3:b0:6d:fd:58:ba:2b:de:c0:b7:2c:6e:d1:9c:85:9b:14:53:7c"
_NO_CLUSTER = "00000000-0000-0000-0000-000000000000"
_INDEX = 1  # it never changes
_NEVER = (subjects.exactly(b"ca"),)
_PEM = b"application/pem-certificate-chain"


def agent_roots(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The roots, as an agent caches them."""
    _roots(context, request, params, takes_cached=True)


def roots(context: Context, request: Request, params: Params, _: bytes) -> None:
    """The roots; with `pem`, as certificates."""
    text = params.text("pem")
    is_pem = boolean(text) if text else False
    if is_pem is None:
        raise HttpError(400, "The 'pem' query parameter must be a boolean value")
    _roots(context, request, params, is_pem=is_pem)


def _roots(
    context: Context,
    request: Request,
    params: Params,
    *,
    takes_cached: bool = False,
    is_pem: bool = False,
) -> None:
    mode = mode_of(context, request, params, takes_cached=takes_cached)

    def evaluate(_: Reader) -> Answer[str]:
        return Answer(context.local.status().cluster_id or _NO_CLUSTER, _INDEX, _INDEX, _NEVER)

    def render(answer: Evaluated, lines: bytes) -> None:
        if is_pem:
            context.responses.send(request, ROOT.encode(), kind=_PEM, lines=lines)
        else:
            context.responses.value(request, _shown(answer.value), lines=lines)

    read(context, request, mode, evaluate, render)


def _shown(cluster: str) -> dict[str, Any]:
    root = {
        "ID": ROOT_ID,
        "Name": ROOT_NAME,
        "SerialNumber": 1,
        "SigningKeyID": _KEY_ID,
        "ExternalTrustDomain": cluster,
        "NotBefore": "2026-11-30T18:23:24Z",
        "NotAfter": "2126-11-06T18:23:24Z",
        "RootCert": ROOT,
        "IntermediateCerts": None,
        "Active": True,
        "PrivateKeyType": "ec",
        "PrivateKeyBits": 256,
        "CreateIndex": _INDEX,
        "ModifyIndex": _INDEX,
    }
    return {"ActiveRootID": ROOT_ID, "TrustDomain": f"{cluster}.consul", "Roots": [root]}
