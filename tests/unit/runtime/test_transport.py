import asyncio
import contextlib
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
import structlog
import uvloop

from quorate.base.batches import Configuration, Member
from quorate.base.config import ClusterConfig
from quorate.base.events import Connected, Disconnected, Event, Received
from quorate.base.ids import Ballot, GroupNumber, NodeId, Slot
from quorate.base.messages import Accept, BootstrapDone, Message
from quorate.net.connector import PLAIN, Connector
from quorate.runtime import link as link_module
from quorate.runtime import transport as transport_module
from quorate.runtime.addresses import join_address
from quorate.runtime.transport import UNIDENTIFIED_MAX, Transport
from quorate.wire.hello import MAGIC, VERSION_MAX, Hello, config_hash, encode_hello
from tests.limits import HANG_S
from tests.unit.net.tls import connector

HOST = "127.0.0.1"
ANN, BOB, EVE = NodeId("ann"), NodeId("bob"), NodeId("eve")
WORD = BootstrapDone("cluster")


class Peer:
    """A transport, and what it passed to its node."""

    def __init__(
        self,
        node: NodeId,
        *,
        join: tuple[str, ...] = (),
        waiting: int = 1 << 26,
        connector: Connector = PLAIN,
    ) -> None:
        self.listener = socket.create_server((HOST, 0))
        self.address = join_address(HOST, self.listener.getsockname()[1])
        self.hello = Hello(
            1, VERSION_MAX, "", Member(node, node, self.address), 1,
            random.Random(node).getrandbits(60), config_hash(ClusterConfig()),
        )  # fmt: skip
        self.logged: list[dict[str, Any]] = []
        self.events: list[Event] = []
        self.failures: list[BaseException] = []
        self.pieces = 0
        self._changed = asyncio.Event()
        self.transport = Transport(
            lambda: self.hello,
            join=[self.address if address == "itself" else address for address in join],
            bytes_waiting_max=waiting,
            rng=random.Random(1),
            log=structlog.wrap_logger(structlog.ReturnLogger(), processors=[self._log]),
            connector=connector,
        )

    def _log(self, _: Any, __: str, event: Any) -> str:
        self.logged.append(dict(event))
        self._changed.set()
        return ""

    async def start(self) -> "Peer":
        await self.transport.start(self.listener, self._take, self._received, self.failures.append)
        return self

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._changed.set()

    def _received(self) -> None:
        self.pieces += 1

    async def until(self, holds: Callable[["Peer"], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not holds(self):
                self._changed.clear()
                await self._changed.wait()

    def said(self, what: str) -> list[str]:
        """Why, of each line of the log that begins like this."""
        return [str(line["why"]) for line in self.logged if line["event"] == what]

    def count(self, kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def received(self) -> list[Message]:
        return [event.message for event in self.events if isinstance(event, Received)]

    def is_linked(self, *others: "Peer") -> bool:
        return set(self.transport.peers) == {other.hello.member.id for other in others}

    def configure(self, *others: "Peer") -> None:
        members = tuple(peer.hello.member for peer in (self, *others))
        self.transport.configure(Configuration(1, 0, members), "cluster")

    def say(self, to: NodeId, *messages: Message) -> None:
        for message in messages:
            self.transport.send(to, message)
        self.transport.flush()


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """On the loop that ships."""
    uvloop.run(play())


async def stopped(*peers: Peer) -> None:
    for peer in peers:
        await peer.transport.stop()
        assert peer.failures == []


async def raw(
    peer: Peer, source: str = "127.0.0.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection without manners."""
    host, port = peer.address.split(":")
    return await asyncio.open_connection(host, int(port), local_addr=(source, 0))


def test_a_node_that_knows_an_address_finds_its_owner_and_they_talk() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = await Peer(BOB, join=(ann.address,)).start()
        await bob.until(lambda p: p.is_linked(ann))
        await ann.until(lambda p: p.is_linked(bob))
        bob.say(ANN, WORD, WORD)
        await ann.until(lambda p: len(p.received()) == 2)
        ann.say(BOB, WORD)
        await bob.until(lambda p: p.received() == [WORD])
        assert ann.events[0] == Connected(bob.hello.member, "", "")
        await stopped(ann, bob)

    played(play)


def test_links_go_through_tls_if_the_connector_says_so() -> None:
    async def play() -> None:
        ann = await Peer(ANN, connector=connector()).start()
        bob = await Peer(BOB, join=(ann.address,), connector=connector()).start()
        await bob.until(lambda p: p.is_linked(ann))
        await ann.until(lambda p: p.is_linked(bob))
        bob.say(ANN, WORD)
        await ann.until(lambda p: p.received() == [WORD])
        plain = await Peer(EVE, join=(ann.address,)).start()
        reader, writer = await raw(ann)
        writer.write(encode_hello(plain.hello))
        assert WORD not in plain.received()
        assert MAGIC not in await reader.read()
        writer.close()
        await stopped(ann, bob, plain)

    played(play)


def test_two_that_dial_each_other_keep_one_link_and_both_can_use_it() -> None:
    async def play() -> None:
        ann, bob = Peer(ANN), Peer(BOB)
        ann.configure(bob)
        bob.configure(ann)
        await asyncio.gather(ann.start(), bob.start())
        await ann.until(lambda p: p.is_linked(bob))
        await bob.until(lambda p: p.is_linked(ann))
        for number in range(20):  # the surplus link may still be closing: words may be lost
            ann.say(BOB, BootstrapDone(str(number)))
            bob.say(ANN, BootstrapDone(str(number)))
            await asyncio.sleep(0)
        await ann.until(lambda p: BootstrapDone("19") in p.received())
        await bob.until(lambda p: BootstrapDone("19") in p.received())
        assert ann.count(Disconnected) == bob.count(Disconnected) == 0
        await stopped(ann, bob)

    played(play)


def test_a_break_is_reported_once_and_the_link_comes_back() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = await Peer(BOB, join=(ann.address,)).start()
        await bob.until(lambda p: p.is_linked(ann))
        await ann.until(lambda p: p.is_linked(bob))
        ann.configure(bob)  # not before: of two links at once the better one is reported, too
        bob.configure(ann)
        bob.transport.drop(ANN)
        await ann.until(lambda p: p.count(Connected) == 2)
        await bob.until(lambda p: p.is_linked(ann))
        kinds = [type(event) for event in ann.events]
        assert kinds[:3] == [Connected, Disconnected, Connected]
        reported = [line for line in ann.logged if line["event"].startswith("peer ")]
        assert [line["event"] for line in reported] == [
            "peer connected", "peer disconnected", "peer connected",
        ]  # fmt: skip
        assert all(line["peer"] == bob.hello.member.name for line in reported)
        await stopped(ann, bob)

    played(play)


def test_a_restarted_peer_replaces_its_dead_link_at_once() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = await Peer(BOB, join=(ann.address,)).start()
        await ann.until(lambda p: p.is_linked(bob))
        reborn = Peer(BOB, join=(ann.address,))
        reborn.hello = msgspec.structs.replace(reborn.hello, incarnation=2, nonce=7)
        await reborn.start()
        await reborn.until(lambda p: p.is_linked(ann))
        await ann.until(lambda p: p.count(Connected) >= 2)
        assert ann.is_linked(reborn)
        await bob.until(lambda p: p.count(Disconnected) > 0)
        await ann.until(lambda p: bool(p.said("peer refused")))
        assert "old copy" in ann.said("peer refused")[0]
        await stopped(ann, bob, reborn)

    played(play)


def test_a_peer_of_another_cluster_is_refused_and_that_is_said_once() -> None:
    async def play() -> None:
        ann = Peer(ANN)
        ann.hello = msgspec.structs.replace(ann.hello, cluster_id="one")
        await ann.start()
        bob = Peer(BOB, join=(ann.address,))
        bob.hello = msgspec.structs.replace(bob.hello, cluster_id="two")
        await bob.start()
        await ann.until(lambda p: bool(p.said("peer refused")))
        reader, writer = await raw(ann)  # the same once more
        writer.write(encode_hello(bob.hello))
        await reader.read()
        assert len(ann.said("peer refused")) == 1
        assert ann.transport.counters.refused == 2
        assert not ann.events
        writer.close()
        await stopped(ann, bob)

    played(play)


def test_a_node_that_dials_itself_and_others_stops_without_a_word() -> None:
    async def play() -> None:
        eve = Peer(EVE)
        ann = await Peer(ANN, join=("itself", eve.address)).start()
        await eve.start()
        await ann.until(lambda p: p.is_linked(eve))
        assert ann.said("peer refused") == []
        assert ann.said("no other node to join") == []
        await stopped(ann, eve)

    played(play)


def test_a_node_that_is_to_join_only_itself_says_so_once() -> None:
    async def play() -> None:
        ann = await Peer(ANN, join=("itself",)).start()
        await ann.until(lambda p: bool(p.said("no other node to join")))
        assert "Give the addresses of other nodes" in ann.said("no other node to join")[0]
        eve = await Peer(
            EVE, join=(ann.address,)
        ).start()  # whoever dials it is accepted all the same
        await ann.until(lambda p: p.is_linked(eve))
        assert len(ann.said("no other node to join")) == 1
        await stopped(ann, eve)

    played(play)


@pytest.mark.parametrize(
    "request_head",
    [b"GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n", b"PUT http://n/ HTTP/1.1\r\n", b"OPTIONS * HT"],
)
def test_a_client_of_http_is_given_the_port_that_is_meant(request_head: bytes) -> None:
    async def play() -> None:
        ann = Peer(ANN)
        member = msgspec.structs.replace(ann.hello.member, http="127.0.0.1:8500")
        ann.hello = msgspec.structs.replace(ann.hello, member=member)
        await ann.start()
        reader, writer = await raw(ann)
        writer.write(request_head)
        reply = await reader.read()
        assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"server port of node ann, for other nodes; its HTTP API is at 127.0.0.1:85" in reply
        head, _, body = reply.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
        assert ann.said("peer refused") == [
            "HTTP request on the server port, which is for other nodes: give the HTTP port"
        ]
        line = next(line for line in ann.logged if line["event"] == "peer refused")
        assert str(line["address"]).startswith("127.0.0.1:")
        writer.close()
        await stopped(ann)

    played(play)


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"\x16\x03\x01\x02\x00", "TLS on the server port"),
        (b"SSH-2.0-x\r\n", "does not speak"),
        (b"\0", "does not speak"),
        (b"QUORATF\n", "does not speak"),
    ],
)
def test_what_is_no_hello_costs_its_connection_only(first: bytes, why: str) -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        reader, writer = await raw(ann)
        writer.write(first)
        assert await reader.read() == b""
        assert why in ann.said("peer refused")[0]
        bob = await Peer(BOB, join=(ann.address,)).start()
        await ann.until(lambda p: p.is_linked(bob))
        writer.close()
        await stopped(ann, bob)

    played(play)


def test_damaged_frames_cost_the_link_and_the_node_is_notified_so() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        unknown = Peer(BOB)
        reader, writer = await raw(ann)
        writer.write(encode_hello(unknown.hello) + b"\xff" * 64)
        await reader.read()
        await ann.until(lambda p: p.count(Disconnected) == 1)
        assert [type(event) for event in ann.events] == [Connected, Disconnected]
        writer.close()
        unknown.listener.close()
        await stopped(ann)

    played(play)


def test_a_silent_connection_is_closed_at_the_deadline(monkeypatch: Any) -> None:
    monkeypatch.setattr(link_module, "HELLO_S", 0.01)

    async def play() -> None:
        ann = await Peer(ANN).start()
        reader, writer = await raw(ann)
        assert await reader.read() == b""
        assert "no whole Hello" in ann.said("peer refused")[0]
        writer.close()
        await stopped(ann)

    played(play)


def test_a_flood_of_silent_connections_does_not_grow_without_bound() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        floods = [await raw(ann) for _ in range(UNIDENTIFIED_MAX + 1)]
        with contextlib.suppress(ConnectionResetError):  # the system may tell it either way
            assert await floods[0][0].read(1) == b""  # the oldest
        assert ann.transport.connections <= UNIDENTIFIED_MAX + 1
        for _, writer in floods:
            writer.close()
        await stopped(ann)

    played(play)


def test_connections_that_say_nothing_keep_no_node_out() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        floods = [await raw(ann) for _ in range(2 * UNIDENTIFIED_MAX)]
        bob = await Peer(BOB, join=(ann.address,)).start()
        await ann.until(lambda p: p.is_linked(bob))
        assert bob.transport.counters.dials == 1
        for _, writer in floods:
            writer.close()
        await stopped(ann, bob)

    played(play)


def test_of_too_many_unknown_connections_a_host_that_has_many_loses_one() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        late = await raw(ann, "127.0.0.2")
        floods = [await raw(ann) for _ in range(2 * UNIDENTIFIED_MAX)]
        bob = Peer(BOB)
        late[1].write(encode_hello(bob.hello))
        assert await late[0].read(len(MAGIC)) == MAGIC
        for _, writer in (*floods, late):
            writer.close()
        bob.listener.close()
        await stopped(ann)

    played(play)


def test_a_peer_that_takes_nothing_loses_its_link_at_the_limit() -> None:
    async def play() -> None:
        ann = await Peer(ANN, waiting=1 << 20).start()
        lazy = Peer(BOB)
        _, writer = await raw(ann)
        writer.write(encode_hello(lazy.hello))
        await ann.until(lambda p: p.is_linked(lazy))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        big = Accept(Ballot(1, ANN), Slot(1), Slot(0), b"x" * (1 << 20))
        for _ in range(64):
            if not ann.transport.peers:
                break
            ann.say(BOB, big)
            await asyncio.sleep(0)
        assert ann.transport.peers == ()
        assert ann.transport.counters.dropped_slow == 1
        writer.close()
        lazy.listener.close()
        await stopped(ann)

    played(play)


def test_a_message_to_nobody_is_counted_and_forgotten() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        ann.say(BOB, WORD)
        assert ann.transport.counters.unsent == 1
        await stopped(ann)

    played(play)


def test_a_message_for_several_peers_is_encoded_once() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        others = [await Peer(node, join=(ann.address,)).start() for node in (BOB, EVE)]
        await ann.until(lambda p: p.is_linked(*others))
        for node in (BOB, EVE):
            ann.transport.send(node, WORD)
        assert (ann.transport.counters.sent, ann.transport.counters.encoded) == (2, 1)
        ann.transport.flush()
        for other in others:
            await other.until(lambda p: p.received() == [WORD])
        await stopped(ann, *others)

    played(play)


def test_a_message_arrives_with_its_group_and_is_encoded_anew_for_another() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = await Peer(BOB, join=(ann.address,)).start()
        await ann.until(lambda p: p.is_linked(bob))
        for group in (0, 7, 7):
            ann.transport.send(BOB, WORD, GroupNumber(group))
        assert (ann.transport.counters.sent, ann.transport.counters.encoded) == (3, 2)
        ann.transport.flush()
        await bob.until(lambda p: len(p.received()) == 3)
        arrived = [event.group for event in bob.events if isinstance(event, Received)]
        assert arrived == [0, 7, 7]
        await stopped(ann, bob)

    played(play)


def test_addresses_to_join_are_left_alone_once_the_members_are_known() -> None:
    async def play() -> None:
        bob = await Peer(BOB).start()
        eve = Peer(EVE)
        ann = await Peer(ANN, join=(bob.address, eve.address)).start()
        await ann.until(lambda p: p.is_linked(bob))
        ann.configure(bob)
        assert not ann.transport.wants(eve.address, None)
        await bob.transport.stop()
        await ann.until(lambda p: p.count(Disconnected) == 1)
        assert ann.transport.wants(eve.address, None)  # alone: perhaps everybody has moved
        await eve.start()
        await ann.until(lambda p: p.is_linked(eve))
        await stopped(ann, eve)

    played(play)


def test_what_a_cut_off_peer_says_waits_until_the_cut_is_mended() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = await Peer(BOB, join=(ann.address,)).start()
        await bob.until(lambda p: p.is_linked(ann))
        await ann.until(lambda p: p.is_linked(bob))
        bob.transport.cut_off(frozenset({"ann"}))
        ann.say(BOB, WORD)
        bob.say(ANN, WORD)
        await ann.until(lambda p: len(p.received()) == 1)  # only bob reads nothing
        assert bob.received() == []
        assert bob.is_linked(ann)
        bob.transport.cut_off(frozenset())
        await bob.until(lambda p: len(p.received()) == 1)
        await stopped(ann, bob)

    played(play)


def test_no_link_comes_up_across_a_cut() -> None:
    async def play() -> None:
        ann = await Peer(ANN).start()
        bob = Peer(BOB, join=(ann.address,))
        bob.transport.cut_off(frozenset({"ann"}))
        await bob.start()
        await ann.until(lambda p: p.count(Connected) > 0)  # it judged the link well, for its part
        await ann.until(lambda p: p.count(Disconnected) > 0)
        assert bob.events == []
        bob.transport.cut_off(frozenset())
        await bob.until(lambda p: p.is_linked(ann))
        await stopped(ann, bob)

    played(play)


def test_a_node_that_reaches_nobody_says_what_it_dialed_and_what_came_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport_module, "ISOLATED_S", 0.02)

    async def play() -> None:
        with socket.create_server((HOST, 0)) as closed:
            none_left = join_address(HOST, closed.getsockname()[1])
        ann = await Peer(ANN, join=(none_left, "no-such-host.invalid:1")).start()

        def tried() -> list[str]:
            return [
                str(line["tried"])
                for line in ann.logged
                if line["event"] == "no other node reached"
            ]

        await ann.until(lambda _: len(tried()) >= 2)
        await ann.until(lambda _: f"{none_left}: connection refused" in tried()[-1])
        bob = await Peer(BOB, join=(ann.address,)).start()
        await ann.until(lambda p: p.is_linked(bob))
        before = len(tried())
        await asyncio.sleep(0.1)
        assert len(tried()) == before
        await stopped(ann, bob)

    played(play)
