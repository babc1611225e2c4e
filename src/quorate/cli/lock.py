"""`quorate lock`: run a command while holding a lock or a semaphore."""

import asyncio
import math
import posixpath
import signal
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple, cast

from quorate.base.errors import QuorateError
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.lockguard import Guard, fork_guard
from quorate.cli.output import fail, note, say
from quorate.client import durations
from quorate.client.aio.client import AsyncClient
from quorate.client.errors import LockHeldError, LockLostError, SemaphoreError
from quorate.client.holding import Held

EXIT_CHILD = 2  # Consul's: the command failed, whatever its own code was
EXIT_SIGNAL = 128  # and the number of the signal that ended us

TTL_S = 15.0
HEARTBEAT_S = 0.25
PAUSE_S = 1.0
"""After a longer pause between two heartbeats (this process was stopped, the machine is busy) the
lock may be lost without a notice yet: the cluster is queried before the next one."""

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_FORWARDED = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2)
_CANCELLING = _ENDING - {signal.SIGINT}  # asyncio cancels for SIGINT by itself


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
    monitor_retry: Annotated[int, "Accepted for Consul's sake."] = 3,  # this one always retries
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
    prefix, command = cleaned(words[0]), list(words[1:])
    wait_s = durations.parse(timeout) or durations.parse(try_) or math.inf
    connection.client.close()  # it has reported an unreachable node
    command = ["/bin/sh", "-c", " ".join(command)] if shell else command
    job = LockRequest(prefix, n, name, wait_s, is_verbose=verbose)
    guard = fork_guard(command, passes_stdin=pass_stdin)  # before there is another thread
    failure, forwarded = _run_until_ended(connection, job, guard)
    if failure:
        note(f"Error running handler: {failure}")
    if forwarded:
        raise SystemExit(EXIT_SIGNAL + forwarded[-1])
    if failure and child_exit_code:
        raise SystemExit(EXIT_CHILD)


def cleaned(prefix: str) -> str:
    """A prefix as the path it means, as in Consul: `/a//b/` and `a/b` are the same lock."""
    return posixpath.normpath(f"/{prefix}").lstrip("/")


class LockRequest(NamedTuple):
    """Which lock to hold, and how long to wait for it."""

    prefix: str
    limit: int
    name: str
    wait_s: float
    is_verbose: bool

    @property
    def key(self) -> str:
        """The key of a lock that one process holds."""
        return posixpath.join(self.prefix, ".lock")

    def tell(self, text: str) -> None:
        """Print progress, if that is wanted."""
        if self.is_verbose:
            say(text)


Ended = tuple[str, Sequence[signal.Signals]]
"""Why the command failed, empty if it succeeded; and the signals that it was forwarded."""


def _run_until_ended(connection: ConnectionFlags, job: LockRequest, guard: Guard) -> Ended:
    ended_by: list[signal.Signals] = []
    try:
        return asyncio.run(_run(connection.node, connection.secret, job, guard, ended_by))
    except SemaphoreError as error:
        fail(error.text + f": say -n={error.limit}" * bool(error.limit))
    except LockHeldError as error:
        job.tell(error.text)
        fail("Shutdown triggered or timeout during lock acquisition")
    except LockLostError as error:
        fail(f"Lock lost, the command was stopped: {error.text}")
    except asyncio.CancelledError:
        if not ended_by:
            raise
    finally:
        guard.close()
    signal.signal(ended_by[0], signal.SIG_DFL)
    signal.raise_signal(ended_by[0])
    raise SystemExit(EXIT_SIGNAL + ended_by[0])


async def _run(
    node: str, token: str, job: LockRequest, guard: Guard, ended_by: list[signal.Signals]
) -> Ended:
    _cancel_by_signals(ended_by)
    semaphore = f"semaphore (limit {job.limit}) at prefix: {job.prefix}"
    job.tell(f"Setting up {semaphore if job.limit > 1 else f'lock at path: {job.key}'}")
    async with AsyncClient(node, token=token) as client:
        async with _held(client, job) as held:
            await asyncio.sleep(0)  # a signal that came meanwhile cancels here
            job.tell("Lock taken, running the command")
            ended = await _run_command(client, held, guard)
        job.tell("Lock given back")
    return ended


def _cancel_by_signals(ended_by: list[signal.Signals]) -> None:
    """Let a signal cancel this task, which then ends its session; a second one ends the process.

    It adds the signal to `ended_by`. While the command runs, signals are for the command.
    """
    loop = asyncio.get_running_loop()
    task = cast("asyncio.Task[Ended]", asyncio.current_task())

    def cancel(number: signal.Signals) -> None:
        ended_by.append(number)
        loop.remove_signal_handler(number)
        task.cancel()

    for number in _CANCELLING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # set by nohup
            loop.add_signal_handler(number, cancel, number)


@asynccontextmanager
async def _held(client: AsyncClient, job: LockRequest) -> AsyncGenerator[Held, None]:
    """Hold the lock or semaphore; leave no keys behind."""
    name, wait_s = job.name, job.wait_s
    if job.limit > 1:
        semaphore = client.semaphore(job.prefix, job.limit, value=name, ttl_s=TTL_S, wait_s=wait_s)
        async with semaphore as held:
            yield held
        return
    key = job.key
    async with client.lock(key, value=name, ttl_s=TTL_S, wait_s=wait_s) as held:
        yield held
    entry = await client.kv.get(key)
    if entry is not None and not entry.session:
        await client.kv.delete(key, index=entry.modify_index)


async def _run_command(client: AsyncClient, held: Held, guard: Guard) -> Ended:
    forwarded: list[signal.Signals] = []

    def forward(number: signal.Signals) -> None:
        forwarded.append(number)
        guard.send(signal=number)

    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        loop.add_signal_handler(number, forward, number)
    guard.run({"CONSUL_LOCK_HELD": "true", "QUORATE_LOCK_FENCE": str(held.fence)})
    heartbeats = asyncio.create_task(_send_heartbeats(client, held, guard))
    has_ended = False
    try:
        failure = await guard.ended()
        has_ended = True
        if _ENDING.intersection(forwarded):
            guard.end_group()
    finally:
        heartbeats.cancel()
        if not has_ended:  # the lock is lost
            await guard.stop()
        for number in _FORWARDED:
            loop.remove_signal_handler(number)
    return failure, forwarded


async def _send_heartbeats(client: AsyncClient, held: Held, guard: Guard) -> None:
    """Send heartbeats to the guard as long as the lock is known to be held."""
    loop = asyncio.get_running_loop()
    last_s = loop.time()
    while not held.is_lost:
        if loop.time() - last_s < PAUSE_S or await _is_held(client, held):
            guard.send()
            last_s = loop.time()
        await asyncio.sleep(HEARTBEAT_S)


async def _is_held(client: AsyncClient, held: Held) -> bool:
    try:
        entry = await client.kv.get(held.name, deadline_s=PAUSE_S)
    except QuorateError:  # unknown: queried again
        return False
    return entry is not None and entry.session == held.session
