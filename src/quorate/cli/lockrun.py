"""Holding a lock while a child process runs."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from quorate.cli.output import say as echo
from quorate.cli.semaphore import Semaphore
from quorate.client.aio.client import AsyncClient
from quorate.client.errors import LockHeldError, LockLostError
from quorate.client.holding import Held

TTL_S = 15.0
LOCK_DELAY_S = 15.0
TERMINATE_S = 5.0  # from SIGTERM to SIGKILL


class NotLockedError(Exception):
    """The lock was not had in time, or was lost; the text says which."""


class Plan(NamedTuple):
    """What to run, and under which lock."""

    prefix: str
    limit: int
    name: str
    wait_s: float
    child: Sequence[str]
    passes_stdin: bool
    is_verbose: bool


def run(node: str, token: str, plan: Plan) -> str:
    """Run the child while holding the lock.

    Returns:
        Empty if the child succeeded, else how it ended: `exit status 3`, `signal: SIGTERM`.

    Raises:
        NotLockedError: The lock was not had in time, or was lost while the child ran.
        QuorateError: The cluster does not answer.
    """
    return asyncio.run(_run(node, token, plan))


async def _run(node: str, token: str, plan: Plan) -> str:
    def say(text: str) -> None:
        if plan.is_verbose:
            echo(text)

    if plan.limit > 1:
        say(f"Setting up semaphore (limit {plan.limit}) at prefix: {plan.prefix}")
    else:
        say(f"Setting up lock at path: {plan.prefix}/.lock")
    async with AsyncClient(node, token=token) as client:
        try:
            async with _held(client, plan) as held:
                say("Lock taken, running the command")
                how = await _child(plan, held)
        except LockHeldError as error:
            say(error.text)
            raise NotLockedError("Shutdown triggered or timeout during lock acquisition") from error
        except LockLostError as error:
            raise NotLockedError(f"Lock lost, the command was stopped: {error.text}") from error
        say("Lock given back")
    return how


@asynccontextmanager
async def _held(client: AsyncClient, plan: Plan) -> AsyncGenerator[Held, None]:
    """Hold the lock or a place in the semaphore; leave no keys behind."""
    if plan.limit > 1:
        async with Semaphore(client, plan.prefix, plan.limit, plan.name, plan.wait_s) as held:
            yield held
        return
    key = f"{plan.prefix}/.lock"
    lock = client.lock(
        key,
        value=plan.name.encode(),
        ttl_s=TTL_S,
        wait_s=plan.wait_s,
        lock_delay_s=LOCK_DELAY_S,
    )
    async with lock as held:
        yield held
    entry = await client.kv.get(key)
    if entry is not None and not entry.session:
        await client.kv.delete(key, index=entry.modify_index)


async def _child(plan: Plan, held: Held) -> str:
    environment = os.environ | {
        "CONSUL_LOCK_HELD": "true",
        "QUORATE_LOCK_FENCE": str(held.fence),
    }
    try:
        process = await asyncio.create_subprocess_exec(
            *plan.child,
            stdin=None if plan.passes_stdin else asyncio.subprocess.DEVNULL,
            env=environment,
            # A group of its own, so that a lost lock stops all the child has started; but who
            # reads from the terminal must be in the terminal's group.
            process_group=None if plan.passes_stdin else 0,
        )
    except OSError as error:
        return f"{plan.child[0]}: {error.strerror or error}"
    loop = asyncio.get_running_loop()
    send = _signaller(process, is_group=not plan.passes_stdin)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, send, number)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _stop(process, send)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    if code < 0:
        return f"signal: {signal.Signals(-code).name}"
    return f"exit status {code}" if code else ""


Send = Callable[[signal.Signals], None]


def _signaller(process: asyncio.subprocess.Process, *, is_group: bool) -> Send:
    """What sends a signal to the child, or to all of its group."""

    def send(number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if is_group:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)

    return send


async def _stop(process: asyncio.subprocess.Process, send: Send) -> None:
    send(signal.SIGTERM)
    try:
        async with asyncio.timeout(TERMINATE_S):
            await process.wait()
    except TimeoutError:
        send(signal.SIGKILL)
        await process.wait()
