"""The guard of `quorate lock`: a process that runs the command, and outlives us if it must.

A command may run only while somebody keeps its lock. The process that does so can end or stop in
ways in which it can do nothing any more: SIGKILL, SIGSTOP, Ctrl-Z, a terminal that is gone. So
it does not run the command itself. It forks a guard at its start, in a process group of its own,
and tells it several times a second that the lock is held:

GRD-1: when the guard hears nothing for `SILENCE_S`, it stops the command (SIGSTOP) and lets it go
    on when it hears again; the lock is held for longer than that after the last word.
GRD-2: when the other end is gone, or says so, the guard ends the command: SIGTERM, and SIGKILL
    after `TERMINATE_S`, to all of the command's process group. What is left of the group of a
    command that a signal ended, as a shell's own children that ignore SIGINT, is killed, too.
GRD-3: when the guard itself is killed, the kernel kills the command (parent-death signal).

Words go over a socket, a line of JSON each; what the guard says last is how the command ended.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

SILENCE_S = 1.2
"""Less than what a lock is certainly held for after it was last known to be: a tenth of 15 s."""

TERMINATE_S = 5.0  # from SIGTERM to SIGKILL
GRACE_S = 3.0  # how long we wait for the guard beyond that

_PR_SET_PDEATHSIG = 1
_LINE_BYTES_MAX = 1024 * 1024
_CAUGHT = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN,
    signal.SIGTTOU, signal.SIGCHLD,
)  # fmt: skip


class Guard:
    """Our end. Made by `fork_guard`."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self._has_run = False
        self._pid = pid
        self._socket = end
        self._heard = b""
        self._group = 0  # of the command, if it has one of its own

    async def run(
        self, command: Sequence[str], environment: Mapping[str, str], *, passes_stdin: bool
    ) -> None:
        """Have the command run. Its group is its own, or ours if it reads from our terminal."""
        self._has_run = True
        group = os.getpgrp() if passes_stdin else 0
        word = {"run": list(command), "environment": dict(environment), "group": group}
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._socket, _line(word | {"stdin": passes_stdin}))

    def beat(self) -> None:
        """Say that the lock is held."""
        self._say({})

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command."""
        self._say({"signal": int(number)})

    async def ended(self) -> str:
        """Wait until the command has ended; empty if it succeeded, else how it did not."""
        loop = asyncio.get_running_loop()
        while True:
            line, end, rest = self._heard.partition(b"\n")
            if end:
                self._heard = rest
                word = json.loads(line)
                if "ended" in word:
                    return str(word["ended"])
                self._group = int(word["group"])
                continue
            try:
                data = await loop.sock_recv(self._socket, _LINE_BYTES_MAX)
            except ConnectionResetError:  # it was killed before it had read all that we said
                data = b""
            if not data:
                self.end_group()
                return "signal: SIGKILL"
            self._heard += data

    def end_group(self) -> None:
        """Kill what the command left, if it has a group of its own.

        For a command that was ended, not for one that ended by itself.
        """
        if self._group:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._group, signal.SIGKILL)

    async def stop(self) -> None:
        """End the command, and wait until it has."""
        self._say({"stop": True})
        with contextlib.suppress(TimeoutError):  # then the guard is hung; its end is the command's
            await asyncio.wait_for(self.ended(), TERMINATE_S + GRACE_S)

    def close(self) -> None:
        """Let the guard go; it ends what still runs."""
        self._socket.close()
        if not self._has_run:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _say(self, word: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it is gone, or hung: silence tells it the same
            self._socket.send(_line(word))


def _line(word: dict[str, Any]) -> bytes:
    return json.dumps(word).encode() + b"\n"


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
            _Guarding(theirs).run()
            code = 0
        finally:
            os._exit(code)
    theirs.close()
    ours.setblocking(False)
    return Guard(pid, ours)


def _ignore(*_: object) -> None:
    return


class _Guarding:
    """What the guard does."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._woken, waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(waker, False)
        # Handlers that do nothing, not SIG_IGN: the command would inherit that.
        for number in _CAUGHT:
            signal.signal(number, _ignore)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        self._buffer = b""
        self._child: subprocess.Popen[bytes] | None = None
        self._has_group = False
        self._heard_s = time.monotonic()
        self._kill_s = inf
        self._is_stopped = False
        self._is_ending = False
        self._is_alone = False  # the other end is gone

    def run(self) -> None:
        """Until the command has ended; or at once, if the other end goes before it was started."""
        while True:
            child = self._child
            if child is not None and (code := child.poll()) is not None:
                how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
                self._say({"ended": how if code else ""})
                return
            sources = [self._woken] if self._is_alone else [self._woken, self._end.fileno()]
            readable, _, _ = select.select(sources, [], [], self._wait_s())
            if self._woken in readable:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            if self._end.fileno() in readable:
                self._listen()
            if self._is_alone and self._child is None:
                return
            self._look_at_time()

    def _wait_s(self) -> float | None:
        """Until something is due; None if nothing is."""
        due_s = min(self._kill_s, self._silent_s())
        return max(due_s - time.monotonic(), 0.0) if due_s < inf else None

    def _silent_s(self) -> float:
        """When to stop the command if nothing is heard; never if it is stopped or told to end."""
        is_running = self._child and not self._is_stopped and not self._is_ending
        return self._heard_s + SILENCE_S if is_running else inf

    def _look_at_time(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._kill_s:
            self._send(signal.SIGKILL)
            self._kill_s = inf
        elif now_s >= self._silent_s():
            self._send(signal.SIGSTOP)
            self._is_stopped = True

    def _listen(self) -> None:
        """Do what is said; end the command if the other end is gone."""
        try:
            data = self._end.recv(_LINE_BYTES_MAX)
        except OSError:
            data = b""
        if not data:
            self._is_alone = True
            self._terminate()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._do(json.loads(line))

    def _do(self, word: dict[str, Any]) -> None:
        self._heard_s = time.monotonic()
        if "run" in word:
            self._start(word)
        elif "signal" in word:
            self._send(signal.Signals(word["signal"]))
        elif "stop" in word:
            self._terminate()
        elif self._is_stopped and not self._is_ending:
            self._is_stopped = False
            self._send(signal.SIGCONT)

    def _start(self, word: dict[str, Any]) -> None:
        self._has_group = not word["group"]
        guard = os.getpid()
        libc = ctypes.CDLL(None)

        def die_with_the_guard() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:  # it died before the kernel knew what we want
                os._exit(1)
            # Before the command can start others, which are found by it if the guard is killed.
            self._say({"group": os.getpid() if self._has_group else 0})

        try:
            self._child = subprocess.Popen(  # noqa: S603 - what the user asked to run
                word["run"],
                env=word["environment"],
                stdin=None if word["stdin"] else subprocess.DEVNULL,
                process_group=word["group"],
                preexec_fn=die_with_the_guard,  # noqa: PLW1509 - one thread; it makes few calls
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._say({"ended": f"{word['run'][0]}: {reason}"})
            os._exit(0)

    def _terminate(self) -> None:
        """Begin to end the command."""
        if self._child is None or self._is_ending:
            return
        self._is_ending = True
        self._kill_s = time.monotonic() + TERMINATE_S
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)  # what is stopped takes no other signal

    def _send(self, number: signal.Signals) -> None:
        if self._child is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._has_group:
                os.killpg(self._child.pid, number)
            else:
                self._child.send_signal(number)

    def _say(self, word: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            self._end.sendall(_line(word))
