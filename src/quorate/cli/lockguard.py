"""The guard of `quorate lock`: a process that runs the command, and can outlive the lock holder.

The command may run only while its lock is held. The process that holds the lock can end or stop in
ways that it cannot react to: SIGKILL, SIGSTOP, Ctrl-Z, a closed terminal. So it does not run the
command itself. It forks a guard at its start, in a process group of its own, and sends it
heartbeats while the lock is held:

GRD-1: when the guard has received nothing for `SILENCE_S`, it stops the command (SIGSTOP); the next
    heartbeat resumes it. The lock is certainly held for longer than that after the last heartbeat.
GRD-2: when the connection is closed, or on request, the guard ends the command: SIGTERM, and
    SIGKILL after `TERMINATE_S`, to the command's whole process group. What is left of that group
    after a signal ended the command (children of a shell ignore SIGINT) is killed, too.
GRD-3: when the guard itself is killed, the kernel kills the command (parent-death signal).

Messages go over a socket, a line of JSON each. The guard's last message is how the command ended.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

SILENCE_S = 1.2
"""Less than what a lock is certainly held for after it was last known to be: a tenth of 15 s."""

TERMINATE_S = 5.0  # from SIGTERM to SIGKILL
GRACE_S = 3.0  # how long to wait for the guard beyond that

_PR_SET_PDEATHSIG = 1
_LINE_BYTES_MAX = 16 * 1024 * 1024  # a command's whole environment is in one
_CAUGHT = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN,
    signal.SIGTTOU,
)  # fmt: skip


class Guard:
    """The lock holder's end of the connection. Made by `fork_guard`."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self._has_run = False
        self._pid = pid
        self._socket = end
        self._received = b""
        self._group = 0  # of the command, if it has one of its own

    async def run(
        self, command: Sequence[str], environment: Mapping[str, str], *, passes_stdin: bool
    ) -> None:
        """Start the command, in a group of its own, or in ours if it reads from our terminal."""
        self._has_run = True
        message = {
            "run": list(command),
            "environment": dict(environment),
            "group": os.getpgrp() if passes_stdin else 0,
            "stdin": passes_stdin,
        }
        await asyncio.get_running_loop().sock_sendall(self._socket, _line(message))

    def send(self, **message: int) -> None:
        """Send `signal=…` for the command, `stop=True` to end it, or nothing: a heartbeat."""
        with contextlib.suppress(OSError):  # it is gone, or hangs: silence has the same effect
            self._socket.send(_line(message))

    async def ended(self) -> str:
        """Wait until the command has ended; returns why it failed, empty if it succeeded."""
        loop = asyncio.get_running_loop()
        while True:
            line, end, rest = self._received.partition(b"\n")
            if end:
                self._received = rest
                message = json.loads(line)
                if "ended" in message:
                    return str(message["ended"])
                self._group = int(message["group"])
                continue
            data = b""
            with contextlib.suppress(ConnectionResetError):  # killed with messages unread
                data = await loop.sock_recv(self._socket, 4096)
            if not data:
                self.end_group()
                return "signal: SIGKILL"
            self._received += data

    def end_group(self) -> None:
        """Kill what is left of the command's group; only after a signal has ended the command."""
        if self._group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)

    async def stop(self) -> None:
        """End the command, and wait until it has ended."""
        self.send(stop=True)
        with contextlib.suppress(TimeoutError):  # then the guard hangs; its end is the command's
            await asyncio.wait_for(self.ended(), TERMINATE_S + GRACE_S)

    def close(self) -> None:
        """Close the connection: the guard ends the command, if it still runs."""
        self._socket.close()
        if not self._has_run:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _ignored(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing. Not SIG_IGN: the command would inherit that."""


def fork_guard() -> Guard:
    """Fork the guard. To be called before there are threads or a loop."""
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ours.close()
            os.setpgid(0, 0)
            for number in _CAUGHT:
                signal.signal(number, _ignored)
            asyncio.run(_guard(theirs))
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    ours.setblocking(False)
    return Guard(pid, ours)


async def _guard(end: socket.socket) -> None:
    """The guard's process: run one command; nothing if the other end is closed before that."""
    reader, writer = await asyncio.open_connection(sock=end, limit=_LINE_BYTES_MAX)
    if not (line := await _read(reader)):
        return
    message = json.loads(line)
    try:
        child = _start(message, end.fileno())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        failure = f"{message['run'][0]}: {reason}"
    else:
        control = _Control(child, has_group=not message["group"])
        following = asyncio.create_task(control.follow(reader))
        following.add_done_callback(_exit_on_error)
        code = await asyncio.to_thread(child.wait)
        following.cancel()
        failure = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        failure = failure if code else ""
    with contextlib.suppress(OSError):  # the other end is gone
        writer.write(_line({"ended": failure}))
        await writer.drain()


def _exit_on_error(following: asyncio.Task[None]) -> None:
    """End the guard, and by GRD-3 the command, if nothing controls it any more."""
    if not following.cancelled() and following.exception() is not None:
        os._exit(1)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """The next line; empty if the other end is gone, even with messages that it has not read."""
    try:
        return await reader.readline()
    except ConnectionResetError:
        return b""


def _start(message: Mapping[str, Any], end: int) -> subprocess.Popen[bytes]:
    guard, group = os.getpid(), message["group"]
    libc = ctypes.CDLL(None)

    def die_with_the_guard() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it died before that call
            os._exit(1)
        # Sent before the command can start others: the group finds them if the guard is killed.
        with contextlib.suppress(OSError):
            os.write(end, _line({"group": 0 if group else os.getpid()}))

    return subprocess.Popen(  # noqa: S603 - what the user asked to run
        message["run"],
        env=message["environment"],
        stdin=None if message["stdin"] else subprocess.DEVNULL,
        process_group=group,
        preexec_fn=die_with_the_guard,  # noqa: PLW1509 - there is one thread; it makes few calls
    )


class _Control:
    """Sends a command the signals that messages, or their absence, call for."""

    def __init__(self, child: subprocess.Popen[bytes], *, has_group: bool) -> None:
        self._child = child
        self._has_group = has_group
        self._is_stopped = False
        self._is_ending = False

    async def follow(self, reader: asyncio.StreamReader) -> None:
        """Act on messages until the connection is closed; then end the command."""
        while not self._is_ending:
            try:
                line = await asyncio.wait_for(_read(reader), SILENCE_S)
            except TimeoutError:
                self._send(signal.SIGSTOP)
                self._is_stopped = True
                line = await _read(reader)
            message = json.loads(line) if line else {"stop": True}
            if "signal" in message:
                self._send(signal.Signals(message["signal"]))
            elif "stop" in message:
                self._is_ending = True
            elif self._is_stopped:
                self._is_stopped = False
                self._send(signal.SIGCONT)
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # a stopped process takes no other signal
        await asyncio.sleep(TERMINATE_S)
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._has_group:
                os.killpg(self._child.pid, number)
            else:
                self._child.send_signal(number)
