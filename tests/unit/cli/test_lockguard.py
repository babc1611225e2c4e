"""The lock holder's end of the connection to its guard."""

import asyncio
import json
import socket

import pytest

from quorate.cli.lockguard import Guard


@pytest.mark.parametrize("reason", ["", "exit status 7"])
@pytest.mark.parametrize("unread", [0, 3])
def test_how_the_command_ended_is_known_though_the_guard_left_messages_unread(
    reason: str, unread: int
) -> None:
    """The guard ends with the command, whatever was sent to it meanwhile."""
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    guard = Guard(0, ours)
    for _ in range(unread):
        guard.send()
    theirs.send(json.dumps({"group": 0}).encode())
    theirs.send(json.dumps({"ended": reason}).encode())
    theirs.close()
    with ours:
        assert asyncio.run(guard.ended()) == reason


@pytest.mark.parametrize("unread", [0, 1])
def test_a_guard_that_was_killed_took_the_command_with_it(unread: int) -> None:
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    guard = Guard(0, ours)
    for _ in range(unread):
        guard.send()
    theirs.close()
    with ours:
        assert asyncio.run(guard.ended()) == "signal: SIGKILL"
