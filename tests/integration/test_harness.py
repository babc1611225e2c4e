"""The judges of these tests, against planted faults; and the wires."""

import asyncio
from math import inf
from pathlib import Path

import pytest

from quorate.lab.launch import NodeProcess, Ports
from quorate.runtime.reserved import HOST, free_ports
from quorate.sim.search import ABSENT, Call
from tests.integration.load import KEYS, History
from tests.integration.wires import FRONT, Wires
from tests.limits import HANG_S, SILENT_S

pytestmark = pytest.mark.integration

KEY = KEYS[0]
WRITTEN = Call(1.0, 2.0, "set", b"new", 0, (True, 7))


def history(*calls: Call) -> History:
    made = History()
    made.calls[KEY] += calls
    return made


def test_a_stale_read_is_seen() -> None:
    fresh = Call(3.0, 4.0, "get", None, 0, (b"new", 7))
    stale = Call(3.0, 4.0, "get", None, 0, ABSENT)
    during = Call(1.5, 4.0, "get", None, 0, ABSENT)
    assert history(WRITTEN, fresh).not_linearizable() == []
    assert history(WRITTEN, during).not_linearizable() == []
    assert history(WRITTEN, stale).not_linearizable() == [KEY]


def test_a_write_that_was_refused_and_is_read_is_seen() -> None:
    read = Call(3.0, 4.0, "get", None, 0, (b"refused", 8))
    assert history(WRITTEN, read).not_linearizable() == [KEY]


def test_a_write_that_happened_twice_is_seen() -> None:
    other = Call(3.0, 4.0, "set", b"other", 0, (True, 8))
    again = Call(5.0, 6.0, "get", None, 0, (b"new", 9))
    assert history(WRITTEN, other, again).not_linearizable() == [KEY]


def test_a_write_of_which_nobody_knows_may_have_happened_or_not() -> None:
    unknown = Call(1.0, inf, "set", b"maybe", 0, None)
    happened = Call(8.0, 9.0, "get", None, 0, (b"maybe", 8))
    not_yet = Call(3.0, 4.0, "get", None, 0, (b"new", 7))
    assert history(WRITTEN, unknown, not_yet, happened).not_linearizable() == []
    assert history(WRITTEN, unknown, not_yet).not_linearizable() == []


def test_what_was_lost_and_what_should_not_be_there_is_named() -> None:
    made = History()
    made.acknowledged |= {"a": b"1", "b": b"2", "c": b"3"}
    made.refused |= {"d": b"4", "e": b"5"}
    assert made.lost({"a": b"1", "b": b"?"}) == ["b", "c"]
    assert made.undead({"a": b"1", "e": b"5"}) == ["e"]


class _Echo(asyncio.Protocol):
    """Sends back what comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def _echoed(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, within_s: float = HANG_S
) -> bool:
    writer.write(b"x")
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1) == b"x"
    except (TimeoutError, ConnectionError):
        return False


def test_a_cut_wire_is_silent_in_one_direction_until_it_is_healed(tmp_path: Path) -> None:
    async def play() -> None:
        node = NodeProcess("n1", tmp_path, Ports(*free_ports(2)), [], 0)
        unknown = NodeProcess("", tmp_path, Ports(1, 1), [], 0)  # whose process is none of ours
        wires = Wires([node])
        await wires.start()
        server = await asyncio.get_running_loop().create_server(_Echo, HOST, node.ports.server)
        first = await asyncio.open_connection(FRONT, node.ports.server)
        assert await _echoed(*first)
        wires.cut([node], [unknown])
        assert not await _echoed(*first, SILENT_S)
        wires.heal()
        assert not await _echoed(*first, SILENT_S)
        second = await asyncio.open_connection(FRONT, node.ports.server)
        assert await _echoed(*second)
        for _, writer in (first, second):
            writer.transport.abort()
        await wires.stop()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(play())
