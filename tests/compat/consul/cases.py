"""The recorded cases, with what is known of them: not built, or different on purpose."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.gateways.http.routes import ROUTES

DATA = Path(__file__).parent / "data"

DEVIATIONS = {
    "cli-version": "`--version` is a request, not a mistake: exit code 0",
    "cli-kv-put-sources": "a value that is no base64 is refused, and nothing is written",
    "catalog-connect": "services in a mesh get no virtual addresses (consul-virtual)",
    "agent-members": "there is no gRPC, so members have no grpc_port",
    "agent-service-proxy-rules": "services in a mesh get no virtual addresses (consul-virtual)",
    "agent-definitions-in-config": "a check of its own in a file shows its type, too",
    "block-snapshot-restore": "2.4: a read that a restore woke shows the restored state",
    "http-cached-must-revalidate": "D12: a node knows its leader, cached or not",
    "http-cache-control-bad": "D12: a node knows its leader, cached or not",
}
BY_CHANCE = {"agent-check-thresholds": 2}
"""Steps whose answer depends on the random moment of a first probe: left out."""

NOT_BUILT = {
    "agent-service-sidecar": "sidecars within a service",
    "dns-connect": "names of the mesh in DNS",
    "dns-translate-wan": "translate_wan_addrs",
    "http-default-acl-header-deny": "access control",
    "intention-default-policy": "access control",
    "operator-keyring": "gossip keys",
    "http-root-redirect": "the web page",
}


def is_served(path: str) -> bool:
    plain = path.partition("?")[0]
    if plain in ("/v1/kv", "/v1/", "/v1/nope", "/v1/kvx") or not plain.startswith("/v1/"):
        return True
    fixed = [route.pattern.partition(":") for route in ROUTES]
    return any(plain.startswith(start) if colon else plain == start for start, colon, _ in fixed)


UNKNOWN_ON_PURPOSE = {
    "catalog-unknown-path",
    "http-unknown-path",
    "http-path-slashes",
    "http-default-acl-header",
}


def missing_endpoint(case: dict[str, Any]) -> str:
    """The first path of a case that this version does not serve."""
    if case["name"] in UNKNOWN_ON_PURPOSE:
        return ""
    paths = [step["request"]["path"] for step in case["steps"] if "request" in step]
    return next((path for path in paths if not is_served(path)), "")


def cases() -> Iterator[Any]:
    for path in sorted(DATA.glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            if case["name"] in BY_CHANCE:
                del case["steps"][BY_CHANCE[case["name"]]]
            yield pytest.param(case, id=f"{path.stem}/{case['name']}", marks=marks(case))


def marks(case: dict[str, Any]) -> list[pytest.MarkDecorator]:
    missing = missing_endpoint(case) or NOT_BUILT.get(case["name"], "")
    if missing:
        return [pytest.mark.skip(reason=f"not built: {missing}")]
    reason = case.get("deviation") or DEVIATIONS.get(case["name"])
    return [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
