"""`quorate demo`: three real nodes on this machine; one is killed, one cut off; nothing is lost."""

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

from quorate.cli.commands import command
from quorate.cli.output import columns, fail, progress, show
from quorate.lab.demo import Demo, prepare_directory
from quorate.lab.demowork import WrongAnswerError
from quorate.lab.launch import LaunchError


@command("demo")
def demo(
    *,
    json: Annotated[bool, "Print the result as JSON."] = False,
    keep: Annotated[bool, "Leave the nodes running until Ctrl-C."] = False,
    directory: Annotated[Path | None, "Where data goes; temporary if unset."] = None,
) -> None:
    """Start three nodes, fill them, kill one and cut one off while writing; count what is lost.

    Examples:
        quorate demo
        quorate demo -json
        quorate demo -keep
    """
    import_module("quorate.agent.run")  # missing libraries are reported before a node is started
    began_s = time.monotonic()
    _end_like_ctrl_c()
    with ExitStack() as stack:
        if directory is None:
            scratch = tempfile.TemporaryDirectory(prefix="quorate-demo-")
            directory = Path(stack.enter_context(scratch))
        try:
            prepare_directory(directory)
            result = asyncio.run(Demo(directory, progress, keep=keep).run())
        except (LaunchError, WrongAnswerError, TimeoutError) as error:
            fail(f"Error! The demo could not go on: {error}")
    result["seconds"] = round(time.monotonic() - began_s, 1)
    show(result, _lines(result), json)
    if result["writes_lost"] or not result["copies_equal"]:
        fail("Error! Acknowledged writes were lost or copies differ. Please report this.")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGINT)


def _end_like_ctrl_c() -> None:
    """Let SIGTERM and a closed terminal have the effect of Ctrl-C: the nodes end, too."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # set by nohup
            signal.signal(number, _interrupt)


def _lines(result: dict[str, Any]) -> Iterator[str]:
    yield ""
    yield from columns(
        [
            ["files imported", f"{result['files']:,} ({result['file_bytes'] / 1e6:.1f} MB)"],
            ["writes acknowledged", f"{result['writes_acknowledged']:,}"],
            ["writes lost", f"{result['writes_lost']}"],
            ["outcome unknown", f"{result['writes_unknown']} (reported to the client)"],
            ["longest pause", f"{result['longest_pause_s']:.2f} s"],
            ["copies equal", "yes" if result["copies_equal"] else "NO"],
            *([f"  digest of {name}", digest] for name, digest in result["digests"].items()),
            ["took", f"{result['seconds']} s"],
        ]
    )
    yield (
        "\nHow to go on: `quorate agent -dev` starts a node to play with, `quorate kv put a 1` "
        "writes\nto it, `quorate demo -keep` leaves three running, `quorate --help` lists the rest."
    )
