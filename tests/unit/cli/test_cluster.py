"""What `quorate cluster list` points out, and `cluster add` when the node is not there."""

import json

import pytest

from quorate.cli.cluster import duplicate_names
from quorate.client import ClusterMember
from quorate.client.replies import Reply
from tests.unit.cli.conftest import Run
from tests.unit.cli.fakes import FakeClient


def listed(name: str, *, alive: bool) -> ClusterMember:
    return ClusterMember("id", name, "h:1", "follower", True, alive, 0, 0.1, "1")


@pytest.mark.parametrize(
    ("second", "is_alive", "found"),
    [("ANN", True, ["ann"]), ("ann", False, []), ("bob", True, [])],
)
def test_living_members_of_one_name_are_found(
    second: str, is_alive: bool, found: list[str]
) -> None:
    assert duplicate_names([listed("ann", alive=True), listed(second, alive=is_alive)]) == found


def test_a_node_that_has_not_joined_was_not_added(
    run: Run, client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {"ID": "1", "Node": "n1", "Address": "10.0.0.1:8300", "Voter": True}
    reply = Reply(200, {}, json.dumps({"Servers": [server]}).encode())

    def call(*_: object, **__: object) -> Reply:
        return reply

    monkeypatch.setattr(client, "call", call, raising=False)
    said = run("cluster", "add", "-timeout=0", "n4")
    assert (said.code, said.out) == (1, "")
    assert "-retry-join 10.0.0.1:8300" in said.err  # how to start it
    assert said.err.endswith(
        "Error! n4 does not vote yet: it has not joined. Nothing was changed.\n"
    )
