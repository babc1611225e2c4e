import asyncio
import socket

import uvloop

from quorate.monitoring.checks import CRITICAL, PASSING
from quorate.runtime.probes.found import ProbeFinding
from tests.unit.runtime.probes.lab import SOON_NS, against, check, one, probed


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_port_that_takes_connections_passes() -> None:
    found = against(silent, lambda port: check(tcp=f"127.0.0.1:{port}"))
    assert found.status == PASSING
    assert found.output.startswith("TCP connect 127.0.0.1:")
    assert found.output.endswith(": Success")


def test_a_port_that_refuses_and_an_address_that_is_none_are_critical() -> None:
    refused = one(check(tcp="127.0.0.1:1"))
    assert refused == (CRITICAL, "dial tcp 127.0.0.1:1: connect: connection refused")
    for wrong in ("127.0.0.1", "127.0.0.1:x", ":80", "a b:1"):
        assert one(check(tcp=wrong)).status == CRITICAL
    found = one(check(tcp="no-such-host.invalid:1"))
    assert found == (CRITICAL, "dial tcp: lookup no-such-host.invalid: no such host")


def test_a_target_that_takes_part_in_no_handshake_is_critical_at_the_timeout() -> None:
    found = against(
        silent, lambda port: check(tcp=f"127.0.0.1:{port}", tcp_use_tls=True, timeout_ns=SOON_NS)
    )
    assert found.status == CRITICAL


def udp(answer: bytes | None) -> ProbeFinding:
    """The result against a target that answers so, or never."""

    async def story() -> ProbeFinding:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as target:
            target.setblocking(False)
            target.bind(("127.0.0.1", 0))

            def readable() -> None:
                data, place = target.recvfrom(100)
                assert data == b""
                if answer is not None:
                    target.sendto(answer, place)

            loop.add_reader(target, readable)
            port = target.getsockname()[1]
            limit = {} if answer is not None else {"timeout_ns": SOON_NS}
            found = await probed(check(udp=f"127.0.0.1:{port}", **limit))
            loop.remove_reader(target)
        return found

    return uvloop.run(story())


def test_any_answer_to_a_datagram_passes_and_silence_says_nothing() -> None:
    assert udp(b"hello").status == PASSING
    assert udp(b"").status == PASSING
    assert udp(None) == (None, "")


def test_a_refused_datagram_is_critical() -> None:
    found = one(check(udp="127.0.0.1:1"))
    assert (found.status, "connection refused" in found.output) == (CRITICAL, True)
