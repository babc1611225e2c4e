"""Conversations recorded with Consul, played against a development node.

A case whose answer is another one on purpose is expected to differ, with the number of the
decision; `docs/api/consul.md` lists them. A case that needs an endpoint that is not built is
skipped and names it.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from quorate.runtime.reserved import HOST
from tests.compat.consul.cases import cases
from tests.compat.consul.player import Player, asking, asking_dns
from tests.compat.consul.servers import Server, started

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with started({}) as server:
        yield server


@pytest.mark.parametrize("case", list(cases()))
def test_a_recorded_conversation_goes_the_same_way(case: dict[str, Any], shared: Server) -> None:
    if case.get("fresh") or case.get("config"):
        with started(case.get("config", {})) as server:
            player(server).play(case)
    else:
        player(shared).play(case)


def player(server: Server) -> Player:
    dns = asking_dns(HOST, server.facts["dns_port"])
    return Player(asking(HOST, server.port), server.facts, dns)
