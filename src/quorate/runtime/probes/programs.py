"""Programs: a script of a check, or a tool of the system; the exit code decides.

PRG-1: a program runs in a process group of its own. When it has ended, was cancelled or has written
    more than `OUTPUT_BYTES_MAX`, the whole group is killed: nothing that it started stays, except
    what left the group on purpose.
PRG-2: a process that it left behind and that holds its output open is not waited for.

Source: https://developer.hashicorp.com/consul/docs/reference/service/health-check, script checks.
"""

import asyncio
import os
import signal
from contextlib import suppress

from quorate.runtime.probes.found import OutputTail, ProbeError, ProbeFinding, of_exit_code
from quorate.runtime.probes.targets import READ_BYTES

OUTPUT_BYTES_MAX = 16 * 1024 * 1024
"""A program that writes more is killed."""

REAP_S = 60.0
"""So long the end of a killed program is waited for: the kernel may be busy with it."""


class _Output:
    """The output of a program: read while it runs, so that it never waits for us."""

    def __init__(self, descriptor: int, tail: OutputTail) -> None:
        self._descriptor = descriptor
        self._tail = tail
        self._loop = asyncio.get_running_loop()
        self.is_too_long = self._loop.create_future()
        self._loop.add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        if not self._read():
            self._loop.remove_reader(self._descriptor)

    def _read(self) -> bool:
        """Read a piece; False: there is no more now, or no more is wanted."""
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        self._tail.add(data)
        if self._tail.total > OUTPUT_BYTES_MAX and not self.is_too_long.done():
            self.is_too_long.set_result(None)
        return bool(data) and self._tail.total <= OUTPUT_BYTES_MAX

    def close(self) -> None:
        """Read what the program wrote before its end, and nothing that comes later (PRG-2)."""
        self._loop.remove_reader(self._descriptor)
        with suppress(BlockingIOError):
            while self._tail.total <= OUTPUT_BYTES_MAX:
                data = os.read(self._descriptor, READ_BYTES)
                if not data:
                    break
                self._tail.add(data)
        os.close(self._descriptor)


async def run_program(args: tuple[str, ...], bytes_max: int) -> ProbeFinding:
    """Run a program to its end; cancel it to kill it.

    Args:
        args: Its name, or path, and arguments.
        bytes_max: What is kept of its output.

    Raises:
        ProbeError: It cannot be started, or writes too much.
    """
    tail = OutputTail(bytes_max)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    output = _Output(reading, tail)
    try:
        try:
            process = await _started(args, writing)
        finally:
            os.close(writing)
        await _ended(process, output)
    finally:
        output.close()
    if tail.total > OUTPUT_BYTES_MAX:
        raise ProbeError(f"the output is over {OUTPUT_BYTES_MAX} bytes: killed\n{tail.text}")
    return of_exit_code(process.returncode or 0, tail.captured)


async def _started(args: tuple[str, ...], writing: int) -> asyncio.subprocess.Process:
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
        )
    )
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with suppress(OSError, ValueError):  # it was not started
            process = await starting
            _kill_group(process)
            await process.wait()
        raise
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ProbeError(f"fork/exec {args[0]}: {why}") from error
    except ValueError as error:
        raise ProbeError(f"fork/exec {args[0]!r}: {error}") from error


async def _ended(process: asyncio.subprocess.Process, output: _Output) -> None:
    """Wait for its end, or until it has written too much; then its group is killed (PRG-1)."""
    end = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({end, output.is_too_long}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        _kill_group(process)
        output.is_too_long.cancel()
        await asyncio.wait({end}, timeout=REAP_S)
        end.cancel()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
