"""`quorate lock`: run a command while holding a lock, or one of several places."""

import math
from typing import Annotated

import typer

from quorate.cli.connect import Connection, connected
from quorate.cli.flags import application, command
from quorate.cli.output import fail, note
from quorate.client import durations

EXIT_CHILD = 2  # Consul's: the child failed, whatever its own code was
EXIT_SIGNAL = 128  # and the number of the signal that we got

app = application("Run a command while holding a lock.")


@command(
    app,
    "lock",
    verbatim=True,
    examples=[
        "quorate lock jobs/backup ./backup.sh",
        "quorate lock -timeout=10s -child-exit-code jobs/backup 'make && make install'",
        "quorate lock -n=3 jobs/resize ./resize.sh",
    ],
)
@connected("Error! Lock not taken", takes_time=True)
def lock(
    connection: Connection,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="PREFIX COMMAND...", show_default=False),
    ] = None,
    *,
    limit: Annotated[int, typer.Option("-n", help="How many may hold it at once.")] = 1,
    name: Annotated[str, typer.Option("--name", help="Stored with the lock, for people.")] = "",
    timeout: Annotated[
        str, typer.Option("--timeout", help="Give up after this, such as 10s; 0: never.")
    ] = "0",
    attempt: Annotated[str, typer.Option("--try", help="The same as --timeout.")] = "0",
    shell: Annotated[
        bool, typer.Option("--shell/--no-shell", help="Run COMMAND by /bin/sh.")
    ] = True,
    child_exit_code: Annotated[
        bool, typer.Option("--child-exit-code", help="Exit with 2 if COMMAND fails.")
    ] = False,
    monitor_retry: Annotated[  # ours tries as long as the session lives
        int, typer.Option("--monitor-retry", help="Accepted for Consul's sake.")
    ] = 3,
    pass_stdin: Annotated[
        bool, typer.Option("--pass-stdin", help="COMMAND reads our standard input.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what is done.")] = False,
) -> None:
    """Wait for the lock PREFIX, run COMMAND, give it back; flags come before PREFIX.

    COMMAND finds the fencing token in QUORATE_LOCK_FENCE. When the lock is lost it gets
    SIGTERM, and SIGKILL after 5 seconds.
    """
    del monitor_retry
    given = words or []
    if len(given) < 2:
        fail("Key prefix and child command must be specified")
    if limit < 1:
        fail("Lock holder limit must be positive")
    prefix, child = given[0].strip("/"), given[1:]
    wait_s = durations.parse(timeout) or durations.parse(attempt) or math.inf
    with connection.client():
        pass  # speaks up at once if nobody is there
    from quorate.cli import lockrun

    plan = lockrun.Plan(
        prefix, limit, name, wait_s, ["/bin/sh", "-c", " ".join(child)] if shell else child,
        passes_stdin=pass_stdin, is_verbose=verbose,
    )  # fmt: skip
    try:
        how, told = lockrun.run(connection.node(), connection.secret(), plan)
    except lockrun.NotLockedError as error:
        fail(str(error))
    if how:
        note(f"Error running handler: {how}")
    if told is not None:
        raise typer.Exit(EXIT_SIGNAL + told)
    if how:
        raise typer.Exit(EXIT_CHILD if child_exit_code else 0)
