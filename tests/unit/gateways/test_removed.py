"""What a node says to clients when its cluster has removed it, and of those that were removed."""

import json

import msgspec
import pytest

from quorate.base.batches import Member
from quorate.base.errors import UnavailableError
from quorate.base.ids import NodeId
from quorate.base.ports import Status
from quorate.kv.commands import KvSet
from tests.unit.gateways.harness import BOB, ME, FakeLocal, GatewayHarness

REMOVED = UnavailableError("removed", "this node, ann, was removed from cluster c")
EVE = Member(NodeId("eve"), "eve", "10.0.0.9:8300")


def removed() -> GatewayHarness:
    harness = GatewayHarness()
    harness.local.apply(KvSet(b"a", b"1"))
    harness.local.refusal = harness.local.removal = REMOVED
    return harness


@pytest.mark.parametrize(
    "target",
    [
        "/v1/kv/a",
        "/v1/kv/a?stale",
        "/v1/kv/a?recurse&stale",
        "/v1/kv/a?max_stale=10s",
        "/v1/kv/a?stale&index=1",
        "/v1/session/list?stale",
        "/v1/catalog/nodes?stale",
        "/v1/operator/raft/configuration?stale",
    ],
)
def test_a_removed_node_answers_no_read_not_even_a_stale_one(target: str) -> None:
    reply = removed().ask("GET", target)
    assert (reply.status, reply.text) == (503, REMOVED.text)
    assert reply.headers["X-Quorate-Error"] == "removed"
    assert reply.headers["X-Quorate-Definite"] == "true"


def test_a_removed_node_takes_no_write() -> None:
    reply = removed().ask("PUT", "/v1/kv/a", b"2")
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (503, "removed")


@pytest.mark.parametrize("mode", ["", "stale&"])
def test_who_waits_at_a_node_is_notified_when_it_is_removed(mode: str) -> None:
    harness = GatewayHarness()
    harness.local.apply(KvSet(b"a", b"1"))
    harness.post("GET", f"/v1/kv/a?{mode}index=1000")
    assert harness.replies() == []
    harness.local.refusal = harness.local.removal = REMOVED
    harness.local.apply(KvSet(b"a", b"2"))  # everybody is woken
    (reply,) = harness.replies()
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (503, "removed")


class Left(FakeLocal):
    """Bob has left, and this node too if so set."""

    role = "leader"

    def status(self) -> Status:
        status = super().status()
        configuration = msgspec.structs.replace(
            status.configuration, voters=self.voters, left=(BOB, EVE)
        )
        return msgspec.structs.replace(status, configuration=configuration, role=self.role)


def states(local: FakeLocal) -> dict[str, int]:
    harness = GatewayHarness()
    harness.local = harness.context.local = local
    members = json.loads(harness.ask("GET", "/v1/agent/members").body)
    return {member["Name"]: member["Status"] for member in members}


def test_members_that_were_removed_are_shown_as_left_until_their_name_is_taken() -> None:
    assert states(Left()) == {"Ann": 1, "Bob": 3, "eve": 3}
    local = Left()
    local.voters = (ME, msgspec.structs.replace(EVE, id=NodeId("new")))
    assert states(local) == {"Ann": 1, "Bob": 3, "eve": 4}


def test_a_removed_node_shows_itself_as_left() -> None:
    local = Left()
    local.role = "removed"
    assert states(local)["Ann"] == 3
    local.voters = (EVE,)
    assert states(local)["Ann"] == 3


def test_a_removal_can_be_asked_for_again_by_id() -> None:
    """Its answer may have been lost: only the answer says that the node may be shut down."""
    harness = GatewayHarness()
    harness.local = harness.context.local = Left()
    assert harness.ask("DELETE", "/v1/operator/raft/peer?id=eve").status == 200
    assert harness.local.changes == [("remove", EVE)]
    for query in ("id=nobody", f"address={EVE.address}"):
        assert harness.ask("DELETE", f"/v1/operator/raft/peer?{query}").status == 500
    assert harness.ask("PUT", "/v1/operator/raft/peer?id=eve").status == 500
