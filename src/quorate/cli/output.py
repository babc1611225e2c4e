"""What commands print: data on stdout, everything else on stderr; no meaning is in colours alone.

A failure says what happened, what is safe to do now, and what would help.
"""

import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import msgspec

from quorate.base.errors import OutcomeUnknownError, QuorateError

NOTICE_S = 1.0  # a longer wait is reported
PROGRESS_AFTER_ITEMS = 200  # less work is done before a bar is drawn

Json = Annotated[bool, "Print JSON, for programs."]
Format = Annotated[str, "`pretty` for people, `json` for programs."]

_ADVICE = {
    "unreachable": "Name the HTTP address of a node with -http-addr or CONSUL_HTTP_ADDR, or start "
    "one with `quorate agent -dev`.",
    "no_quorum": "What failed was not done, and it is safe to try again. `quorate cluster list` "
    "shows which nodes this one knows, and which are alive.",
    "not_leader": "No leader is elected right now; that takes about a second. Try again.",
    "overloaded": "The node has more to do than it can hold. Try again in a moment.",
    "read_only": "What failed was not done. The node's disk is full: free space there; it goes on "
    "by itself. Or ask another one with -http-addr.",
    "stopping": "The node is about to stop. Ask another one with -http-addr.",
    "forbidden": "Give a token that may do this, with -token or CONSUL_HTTP_TOKEN.",
}
_UNKNOWN = "It may have happened, or may still happen. Look before you do it again."


def say(text: str) -> None:
    """Print a line of data."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_bytes(data: bytes) -> None:
    """Print a value as it is, and a line end."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


def say_json(value: Any) -> None:
    """Print a line of JSON."""
    say(msgspec.json.encode(value).decode())


def show(value: Any, lines: Iterable[str], json: bool) -> None:
    """Print a result: as JSON for programs, or as lines for people."""
    if json:
        say_json(value)
        return
    for line in lines:
        say(line)


def is_json(name: str) -> bool:
    """Whether a format is that for programs; another one than `pretty` ends the command."""
    if name not in {"pretty", "json"}:
        fail(f"Unknown format: {name}")
    return name == "json"


def note(text: str) -> None:
    """Print a line that is no data."""
    sys.stderr.write(f"{text}\n")


def fail(text: str, code: int = 1) -> NoReturn:
    """End the command with a message."""
    note(text)
    raise SystemExit(code)


def advice_on(error: QuorateError) -> list[str]:
    """Sentences about what is safe, and what would help; empty if the error needs none."""
    advice = [_UNKNOWN] if isinstance(error, OutcomeUnknownError) else []
    return [*advice, _ADVICE[error.code]] if error.code in _ADVICE else advice


def reason(error: OSError) -> str:
    """The system's error, as Go's programs write it."""
    return (error.strerror or str(error)).lower()


def fail_with(error: QuorateError, doing: str) -> NoReturn:
    """End the command because of an error from the cluster; the message begins with `doing`."""
    note(f"{doing}: {error.response or error.text}")
    for sentence in advice_on(error):
        note(sentence)
    raise SystemExit(1)


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in which every column is as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def readable(size: int) -> str:
    """A number of bytes for people: `812B`, `1.2KB`, `3.4MB`."""
    if size < 1024:
        return f"{size}B"
    power = min((size.bit_length() - 1) // 10, 3)
    return f"{size / 1024**power:.1f}{' KMG'[power]}B"


@contextmanager
def waiting(
    node: str, find_reason: Callable[[], str], *, has_progress: bool = False
) -> Generator[None]:
    """Report after a second that the command waits for an answer, and why, if that is known.

    `find_reason` is called in a thread. If it returns "", only a terminal gets the report, and none
    does if the command `has_progress` to show.
    """
    is_over = threading.Event()

    def report() -> None:
        why = find_reason()
        if is_over.is_set() or not (why or (sys.stderr.isatty() and not has_progress)):
            return
        what = f"waiting: {node} knows no leader: {why}" if why else f"waiting for {node} to answer"
        note(f"{what}; Ctrl-C gives up")

    timer = threading.Timer(NOTICE_S, report)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        is_over.set()
        timer.cancel()


@contextmanager
def progress(about: str, total: float | None) -> Generator[Callable[[float], object]]:
    """Show a bar on stderr while the body runs; nothing if stderr is no terminal.

    `total` is None if the amount of work is unknown. Yields a function that takes the amount of
    work done since its last call.
    """
    if (total is not None and total < PROGRESS_AFTER_ITEMS) or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as bars
    from rich.console import Console

    with bars.Progress(
        "{task.description}",
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(about, total=total)
        yield lambda count: bar.advance(task, count)
