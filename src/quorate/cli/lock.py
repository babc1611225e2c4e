"""`quorate lock`: run a command while holding a lock, or one of several places."""

import asyncio
import math
import os
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.lockguard import Guard, fork_guard
from quorate.cli.output import fail, note
from quorate.cli.output import say as echo
from quorate.client import durations
from quorate.client.aio.client import AsyncClient
from quorate.client.errors import LockHeldError, LockLostError, SemaphoreError
from quorate.client.holding import Held

EXIT_CHILD = 2  # Consul's: the child failed, whatever its own code was
EXIT_SIGNAL = 128  # and the number of the signal that we got

TTL_S = 15.0
LOCK_DELAY_S = 15.0
BEAT_S = 0.25  # how often the guard is told that the lock is held
GAP_S = 1.0
"""After a longer pause between two beats (we were stopped, or the machine is busy) the lock may be
lost without our having noticed: it is asked for before the guard is told."""

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_FORWARDED = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip


@connected("lock", "PREFIX COMMAND...", "Error! Lock not taken", takes_time=True, is_verbatim=True)
def lock(
    connection: ConnectionFlags,
    *words: str,
    n: Annotated[int, "How many may hold it at once."] = 1,
    name: Annotated[str, "Stored with the lock, for people."] = "",
    timeout: Annotated[str, "Give up after this, such as 10s; 0: never."] = "0",
    try_: Annotated[str, "The same as --timeout."] = "0",
    shell: Annotated[bool, "Run COMMAND by /bin/sh."] = True,
    child_exit_code: Annotated[bool, "Exit with 2 if COMMAND fails."] = False,
    monitor_retry: Annotated[int, "Accepted for Consul's sake."] = 3,  # ours tries on and on
    pass_stdin: Annotated[bool, "COMMAND reads our standard input."] = False,
    verbose: Annotated[bool, "Say what is done."] = False,
) -> None:
    """Wait for the lock PREFIX, run COMMAND, give it back; flags come before PREFIX.

    COMMAND finds the fencing token in QUORATE_LOCK_FENCE. When the lock is lost it gets
    SIGTERM, and SIGKILL after 5 seconds.

    Examples:
        quorate lock jobs/backup ./backup.sh
        quorate lock -timeout=10s -child-exit-code jobs/backup 'make && make install'
        quorate lock -n=3 jobs/resize ./resize.sh
    """
    del monitor_retry
    if len(words) < 2:
        fail("Key prefix and child command must be specified")
    if n < 1:
        fail("Lock holder limit must be positive")
    prefix, child = words[0].strip("/"), list(words[1:])
    wait_s = durations.parse(timeout) or durations.parse(try_) or math.inf
    connection.client.close()  # it spoke up at once if nobody is there
    child = ["/bin/sh", "-c", " ".join(child)] if shell else child
    plan = LockedCommand(
        prefix, n, name, wait_s, child, passes_stdin=pass_stdin, is_verbose=verbose
    )
    guard = fork_guard()  # before there is another thread
    try:
        how, told = asyncio.run(_locked(connection.node, connection.secret, plan, guard))
    except SemaphoreError as error:
        fail(error.text + f": say -n={error.limit}" * bool(error.limit))
    except NotLockedError as error:
        fail(str(error))
    finally:
        guard.close()
    if how:
        note(f"Error running handler: {how}")
    if told is not None:
        raise SystemExit(EXIT_SIGNAL + told)
    if how:
        raise SystemExit(EXIT_CHILD if child_exit_code else 0)


class NotLockedError(Exception):
    """The lock was not had in time, or was lost; the text says which."""


class LockedCommand(NamedTuple):
    """What to run, and under which lock."""

    prefix: str
    limit: int
    name: str
    wait_s: float
    child: Sequence[str]
    passes_stdin: bool
    is_verbose: bool


class ChildOutcome(NamedTuple):
    """What became of the child."""

    how: str  # empty if it succeeded, else `exit status 3` or `signal: SIGTERM`
    told: signal.Signals | None  # what we got and passed on


async def _locked(node: str, token: str, plan: LockedCommand, guard: Guard) -> ChildOutcome:
    def say(text: str) -> None:
        if plan.is_verbose:
            echo(text)

    semaphore = f"semaphore (limit {plan.limit}) at prefix: {plan.prefix}"
    say(f"Setting up {semaphore if plan.limit > 1 else f'lock at path: {plan.prefix}/.lock'}")
    async with AsyncClient(node, token=token) as client:
        try:
            async with _held(client, plan) as held:
                say("Lock taken, running the command")
                outcome = await _child(plan, client, held, guard)
        except LockHeldError as error:
            say(error.text)
            raise NotLockedError("Shutdown triggered or timeout during lock acquisition") from error
        except LockLostError as error:
            raise NotLockedError(f"Lock lost, the command was stopped: {error.text}") from error
        say("Lock given back")
    return outcome


@asynccontextmanager
async def _held(client: AsyncClient, plan: LockedCommand) -> AsyncGenerator[Held, None]:
    """Hold the lock or a place in the semaphore; leave no keys behind."""
    if plan.limit > 1:
        async with client.semaphore(
            plan.prefix, plan.limit, value=plan.name, ttl_s=TTL_S, wait_s=plan.wait_s
        ) as held:
            yield held
        return
    key = f"{plan.prefix}/.lock"
    lock = client.lock(
        key, value=plan.name.encode(), ttl_s=TTL_S, wait_s=plan.wait_s, lock_delay_s=LOCK_DELAY_S
    )
    async with lock as held:
        yield held
    entry = await client.kv.get(key)
    if entry is not None and not entry.session:
        await client.kv.delete(key, index=entry.modify_index)


async def _child(
    plan: LockedCommand, client: AsyncClient, held: Held, guard: Guard
) -> ChildOutcome:
    environment = os.environ | {"CONSUL_LOCK_HELD": "true", "QUORATE_LOCK_FENCE": str(held.fence)}
    told: list[signal.Signals] = []

    def forward(number: signal.Signals) -> None:
        told.append(number)
        guard.signal(number)

    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        loop.add_signal_handler(number, forward, number)
    await guard.run(plan.child, environment, passes_stdin=plan.passes_stdin)
    beats = asyncio.create_task(_beat(client, held, guard))
    how = ""
    has_ended = False
    try:
        how = await guard.ended()
        has_ended = True
        if _ENDING.intersection(told):
            guard.end_group()
    finally:
        beats.cancel()
        if not has_ended:  # the lock is lost
            await guard.stop()
        for number in _FORWARDED:
            loop.remove_signal_handler(number)
    return ChildOutcome(how, told[-1] if told else None)


async def _beat(client: AsyncClient, held: Held, guard: Guard) -> None:
    """Tell the guard again and again that the lock is held, as long as that is known."""
    loop = asyncio.get_running_loop()
    last_s = loop.time()
    while not held.is_lost:
        if loop.time() - last_s < GAP_S or await _is_held(client, held):
            guard.beat()
            last_s = loop.time()
        await asyncio.sleep(BEAT_S)


async def _is_held(client: AsyncClient, held: Held) -> bool:
    try:
        entry = await client.kv.get(held.name, deadline_s=GAP_S)
    except QuorateError:  # nobody knows: it is asked again
        return False
    return entry is not None and entry.session == held.session
