import asyncio

import pytest

from quorate.base.errors import ConflictError, PeerError
from quorate.client import AsyncClient, AsyncOperator, ClusterMember, ConfiguredServer
from tests.unit.client.fakes import Answer, Seen, always, nodes, refusal, reply

MEMBER = {
    "Address": "10.0.0.1:8300", "HTTP": "10.0.0.1:8500", "Role": "leader", "Voter": True,
    "Alive": True, "Watermark": 7, "Lag": None, "LastHeard": 0.5, "Version": "0.1.0",
}  # fmt: skip
OVERVIEW = {
    "Cluster": "c", "Node": "n1", "Role": "leader", "Leader": "n1", "Reason": "",
    "Members": [{"ID": "b", "Name": "n2", **MEMBER}, {"ID": "a", "Name": "n1", **MEMBER}],
}  # fmt: skip
SERVER = {
    "ID": "a", "Node": "n1", "Address": "10.0.0.1:8300", "Leader": True, "Voter": False,
    "ProtocolVersion": "3", "LastIndex": 7,
}  # fmt: skip


def test_an_overview_lists_the_members_by_name() -> None:
    async def run() -> None:
        async with nodes(always(reply(200, OVERVIEW))) as [node], AsyncClient(node.address) as c:
            found = await AsyncOperator(c).overview()
            assert (found.cluster, found.leader, found.reason) == ("c", "n1", "")
            assert [each.name for each in found.members] == ["n1", "n2"]
            assert found.members[0] == ClusterMember(
                "a", "n1", "10.0.0.1:8300", "leader", True, True, None, 0.5, "0.1.0"
            )

    asyncio.run(run())


def test_the_configuration_is_read_and_another_answer_is_refused() -> None:
    async def run() -> None:
        body = {"Servers": [SERVER], "Index": 0}
        async with nodes(always(reply(200, body))) as [node], AsyncClient(node.address) as client:
            server = ConfiguredServer("a", "n1", "10.0.0.1:8300", leader=True, voter=False)
            assert await AsyncOperator(client).servers() == [server]
            with pytest.raises(PeerError, match="unknown form"):
                await AsyncOperator(client).overview()

    asyncio.run(run())


def test_changes_are_sent_once_with_the_id_of_a_member() -> None:
    seen: list[Seen] = []

    def script(request: Seen) -> Answer:
        seen.append(request)
        return refusal(409, "precondition", "not yet") if request.method == "PUT" else reply()

    async def run() -> None:
        async with nodes(script) as [node], AsyncClient(node.address) as client:
            await AsyncOperator(client).remove("a")
            await AsyncOperator(client).transfer("b")
            await AsyncOperator(client).transfer()
            with pytest.raises(ConflictError, match="not yet"):
                await AsyncOperator(client).promote("c")

    asyncio.run(run())
    assert [(each.method, each.path.rpartition("/")[2], each.query.get("id")) for each in seen] == [
        ("DELETE", "peer", "a"),
        ("POST", "transfer-leader", "b"),
        ("POST", "transfer-leader", None),
        ("PUT", "peer", "c"),
    ]
