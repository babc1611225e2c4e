"""Peers that speak well but are no members: what they may cost, and what must still work."""

import asyncio
import contextlib
import struct
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from quorate.base.batches import Configuration, Member
from quorate.base.ids import Ballot, NodeId, Slot
from quorate.base.messages import Accept
from quorate.runtime import transport as module
from quorate.wire.frame import FRAME_BYTES_MAX, encode_frame
from quorate.wire.hello import encode_hello
from tests.limits import HANG_S
from tests.unit.runtime.test_transport import ANN, BOB, WORD, Peer, played, raw, stopped

KIB = 1024
LONG = Accept(Ballot(1, NodeId("zoe")), Slot(1), Slot(0), b"z" * 700 * KIB)
HEAD = struct.pack("<IIII", 0, FRAME_BYTES_MAX, 0, 0)


class Outsider:
    """Whoever says a Hello, and then what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    async def is_dropped(self) -> bool:
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(HANG_S):
                while await self.reader.read(65536):
                    pass
        return True


class Scene:
    """A node whose configuration names bob, and whoever else comes."""

    def __init__(self) -> None:
        self.ann = Peer(ANN)
        members = (self.ann.hello.member, Member(BOB, BOB, "127.0.0.1:1"))
        self.ann.transport.configure(Configuration(1, 0, members), "cluster")
        self._outsiders: list[Outsider] = []

    async def come(self, name: str, start: int = 1) -> Outsider:
        """Somebody says a Hello."""
        member = Member(NodeId(name), name, f"{name}:1")
        hello = msgspec.structs.replace(
            self.ann.hello, member=member, incarnation=start, nonce=start
        )
        self._outsiders.append(Outsider(*await raw(self.ann)))
        self._outsiders[-1].say(encode_hello(hello))
        return self._outsiders[-1]

    async def linked(self, name: str, start: int = 1) -> Outsider:
        """Somebody says a Hello that is accepted."""
        found = await self.come(name, start)
        await self.ann.until(lambda p: NodeId(name) in p.transport.peers)
        return found

    async def unlinked(self, name: str) -> None:
        """Wait until a link is gone."""
        await self.ann.until(lambda p: NodeId(name) not in p.transport.peers)

    async def reached(self, held_bytes: int) -> None:
        """Wait until so much of unfinished messages has come."""
        async with asyncio.timeout(HANG_S):
            while self.ann.transport.unfinished_bytes != held_bytes:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.001)

    async def run(self, play: Callable[["Scene"], Awaitable[None]]) -> None:
        await self.ann.start()
        try:
            await play(self)
        finally:
            for outsider in self._outsiders:
                outsider.writer.close()
            await stopped(self.ann)


def played_out(play: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        await Scene().run(play)

    played(run)


def test_unfinished_frames_of_outsiders_are_bounded_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OUTSIDERS_BYTES_MAX", 1000 * KIB)

    async def play(scene: Scene) -> None:
        first, second, third = [await scene.linked(name) for name in ("x", "y", "z")]
        first.say(HEAD + bytes(300 * KIB))
        await scene.reached(len(HEAD) + 300 * KIB)
        second.say(HEAD + bytes(500 * KIB))
        await scene.reached(2 * len(HEAD) + 800 * KIB)
        third.say(HEAD + bytes(400 * KIB))
        assert await first.is_dropped()  # it began before all others
        await scene.reached(2 * len(HEAD) + 900 * KIB)
        assert scene.ann.said("peer refused") == [
            "it is no member, and left a message unfinished while others needed the space"
        ]
        assert set(scene.ann.transport.peers) == {"y", "z"}

    played_out(play)


def test_whoever_goes_on_is_not_taken_for_whoever_began_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OUTSIDERS_BYTES_MAX", 1000 * KIB)

    async def play(scene: Scene) -> None:
        busy, idle = [await scene.linked(name) for name in ("x", "y")]
        word = b"".join(encode_frame(WORD))
        busy.say(word[:5])
        await scene.reached(5)
        idle.say(HEAD + bytes(700 * KIB))
        await scene.reached(5 + len(HEAD) + 700 * KIB)
        busy.say(word[5:])
        await scene.ann.until(lambda p: p.received() == [WORD])
        busy.say(*encode_frame(LONG))
        assert await idle.is_dropped()
        await scene.ann.until(lambda p: p.received() == [WORD, LONG])

    played_out(play)


def test_members_may_send_whatever_outsiders_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTSIDERS_BYTES_MAX", 100 * KIB)

    async def play(scene: Scene) -> None:
        bob = await scene.linked(BOB)
        bob.say(b"".join(encode_frame(LONG))[:-1])
        await scene.reached(len(b"".join(encode_frame(LONG))) - 1)
        other = await scene.linked("x")
        other.say(HEAD + bytes(200 * KIB))
        assert await other.is_dropped()
        bob.say(b"z")
        await scene.ann.until(lambda p: len(p.received()) == 1)

    played_out(play)


def test_outsiders_take_no_link_from_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINKS_MAX", 2)

    async def play(scene: Scene) -> None:
        for name in ("x", "y"):
            await scene.linked(name)
        assert await (await scene.come("z")).is_dropped()
        await scene.linked(BOB)

    played_out(play)


def test_an_earlier_incarnation_is_refused_beside_a_link_and_accepted_without_one() -> None:
    """Without one it is linked, so that it can be notified of what it has forgotten."""

    async def play(scene: Scene) -> None:
        bob = await scene.linked(BOB, 5)
        assert await (await scene.come(BOB, 4)).is_dropped()
        assert f"node '{BOB}'" in scene.ann.said("peer refused")[-1]
        assert "incarnation 5 was seen" in scene.ann.said("peer refused")[-1]
        bob.writer.close()
        await scene.unlinked(BOB)
        await scene.linked(BOB, 4)

    played_out(play)
