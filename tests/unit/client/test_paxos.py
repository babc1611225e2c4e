import asyncio

import pytest

from quorate import AsyncPaxos
from quorate.base.errors import NotFoundError, OutcomeUnknownError, UnavailableError
from quorate.client import AsyncClient
from tests.unit.client.fakes import CUT, Answer, Seen, Store, nodes, refusal, until


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


def test_a_proposal_that_was_cut_off_and_cannot_be_looked_up_has_an_unknown_outcome() -> None:
    async def run() -> None:
        async with nodes(CUT) as [node], AsyncClient(node.address) as client:
            with pytest.raises(OutcomeUnknownError):
                await AsyncPaxos(client).propose("n", b"mine", deadline_s=0.2)

    asyncio.run(run())


@pytest.mark.parametrize(
    "second", [refusal(500, "no_quorum", "No cluster leader"), refusal(403, "forbidden", "no")]
)
def test_a_proposal_of_unknown_outcome_stays_unknown_though_the_next_is_refused(
    second: bytes,
) -> None:
    async def run() -> None:
        store = Store()
        replies = iter([CUT])

        def script(seen: Seen) -> Answer:
            return next(replies, second) if seen.method == "PUT" else store(seen)

        async with nodes(script) as [node], AsyncClient(node.address) as client:
            with pytest.raises(OutcomeUnknownError):
                await AsyncPaxos(client).propose("n", b"mine", deadline_s=0.2)

    asyncio.run(run())


def test_a_proposal_that_no_node_takes_is_definite() -> None:
    async def run() -> None:
        no_leader = refusal(500, "no_quorum", "No cluster leader")
        async with nodes(no_leader) as [node], AsyncClient(node.address) as client:
            with pytest.raises(UnavailableError, match="No cluster leader"):
                await AsyncPaxos(client).propose("n", b"mine", deadline_s=0.2)

    asyncio.run(run())


def test_a_decision_is_waited_for_until_the_deadline_and_not_longer() -> None:
    async def run() -> None:
        store = Store()
        async with nodes(store) as [node], AsyncClient(node.address) as client:
            with pytest.raises(NotFoundError, match="nothing was decided for 'n'"):
                await AsyncPaxos(client).decide("n", deadline_s=0.05)
            waiting = asyncio.create_task(AsyncPaxos(client).decide("n"))
            await until(lambda: len(node.seen) >= 4)
            store.write("paxos/n", b"theirs")
            assert await waiting == b"theirs"

    asyncio.run(run())
