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

Messages go over a socket that keeps them apart, in JSON. The guard's last message is how the
command ended.
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

SILENCE_S = 1.2
"""Less than what a lock is certainly held for after it was last known to be: a tenth of 15 s."""

TERMINATE_S = 5.0  # from SIGTERM to SIGKILL
GRACE_S = 3.0  # how long to wait for the guard beyond that

_PR_SET_PDEATHSIG = 1
_MESSAGE_BYTES_MAX = 256 * 1024  # more than fits into a socket: the name of a command is in one
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
        self._group = 0  # of the command, if it has one of its own

    def run(self, variables: Mapping[str, str]) -> None:
        """Start the command with our environment and these variables."""
        self._has_run = True
        self.send(run=variables)

    def send(self, **message: object) -> None:
        """Send `signal=…` for the command, `stop=True` to end it, or nothing: a heartbeat."""
        with contextlib.suppress(OSError):  # it is gone, or hangs: silence has the same effect
            self._socket.send(_encoded(message))

    async def ended(self) -> str:
        """Wait until the command has ended; returns why it failed, empty if it succeeded."""
        while data := await _read(self._socket):
            message = json.loads(data)
            if "ended" in message:
                return str(message["ended"])
            self._group = int(message["group"])
        self.end_group()
        return "signal: SIGKILL"

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


def _encoded(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode()


def _ignored(number: int, frame: FrameType | None) -> None:
    """A handler that does nothing. Not SIG_IGN: the command would inherit that."""


def fork_guard(command: Sequence[str], *, passes_stdin: bool) -> Guard:
    """Fork the guard. To be called before there are threads or a loop.

    The command gets a group of its own, or ours if it reads from our terminal.
    """
    ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    group = os.getpgrp() if passes_stdin else 0
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
            asyncio.run(_guard(theirs, command, group))
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    return Guard(pid, ours)


async def _guard(end: socket.socket, command: Sequence[str], group: int) -> None:
    """The guard's process: run one command; nothing if the other end is closed before that."""
    if not (data := await _read(end)):
        return
    try:
        child = _start(command, json.loads(data)["run"], group, end.fileno())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        failure = f"{command[0]}: {reason}"
    else:
        control = _Control(child, has_group=not group)
        following = asyncio.create_task(control.follow(end))
        following.add_done_callback(_exit_on_error)
        code = await asyncio.to_thread(child.wait)
        following.cancel()
        failure = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        failure = failure if code else ""
    with contextlib.suppress(OSError):  # the other end is gone
        end.send(_encoded({"ended": failure}))


def _exit_on_error(following: asyncio.Task[None]) -> None:
    """End the guard, and by GRD-3 the command, if nothing controls it any more."""
    if not following.cancelled() and following.exception() is not None:
        os._exit(1)


async def _read(end: socket.socket) -> bytes:
    """The next message; empty if the other end is gone.

    If it went without having read all messages, the system reports that first, once, and only then
    the messages that it had sent before.
    """
    receive = asyncio.get_running_loop().sock_recv
    try:
        return await receive(end, _MESSAGE_BYTES_MAX)
    except ConnectionResetError:
        return await receive(end, _MESSAGE_BYTES_MAX)


def _start(
    command: Sequence[str], variables: Mapping[str, str], group: int, end: int
) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    libc = ctypes.CDLL(None)

    def die_with_the_guard() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it died before that call
            os._exit(1)
        # Sent before the command can start others: the group finds them if the guard is killed.
        with contextlib.suppress(OSError):
            os.write(end, _encoded({"group": 0 if group else os.getpid()}))

    return subprocess.Popen(  # noqa: S603 - what the user asked to run
        command,
        env=os.environ | variables,
        stdin=None if group else subprocess.DEVNULL,
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

    async def follow(self, end: socket.socket) -> None:
        """Act on messages until the connection is closed; then end the command."""
        while not self._is_ending:
            reading = asyncio.create_task(_read(end))
            await asyncio.wait([reading], timeout=SILENCE_S)
            if not reading.done():
                self._send(signal.SIGSTOP)
                self._is_stopped = True
            data = await reading
            message = json.loads(data) if data else {"stop": True}
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
