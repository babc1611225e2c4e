import asyncio

import pytest

from quorate import AsyncPaxos
from quorate.base.errors import UnavailableError
from quorate.client import AsyncClient
from tests.unit.client.fakes import CUT, Answer, Seen, Store, nodes


def test_the_first_proposal_is_decided_and_all_learn_it() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            ann, bob = AsyncPaxos(client), AsyncPaxos(client)
            waiting = asyncio.create_task(bob.decide("owner"))
            assert await ann.accept("owner") is None
            proposed = await asyncio.gather(*(ann.propose("owner", b"%d" % n) for n in range(5)))
            assert len(set(proposed)) == 1
            assert await bob.propose("owner", b"bob") == proposed[0]
            assert await waiting == await bob.accept("owner") == proposed[0]

    asyncio.run(run())


def test_an_empty_value_can_be_decided() -> None:
    async def run() -> None:
        async with nodes(Store()) as [node], AsyncClient(node.address) as client:
            assert await AsyncPaxos(client).propose("n", b"") == b""
            assert await AsyncPaxos(client).propose("n", b"late") == b""

    asyncio.run(run())


@pytest.mark.parametrize("is_done", [True, False])
def test_a_proposal_of_unknown_outcome_is_looked_up(is_done: bool) -> None:
    async def run() -> None:
        store = Store()
        cuts = 1

        def script(seen: Seen) -> Answer:
            nonlocal cuts
            if seen.method == "PUT" and cuts:
                cuts -= 1
                if is_done:
                    store(seen)
                return CUT
            return store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            assert await AsyncPaxos(client).propose("n", b"mine") == b"mine"
            assert store.rows["paxos/n"].value == b"mine"

    asyncio.run(run())


def test_a_proposal_that_nobody_hears_ends_with_its_deadline() -> None:
    async def run() -> None:
        async with nodes(CUT) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError):
                await AsyncPaxos(client).propose("n", b"mine", deadline_s=0.2)

    asyncio.run(run())
