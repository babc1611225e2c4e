"""Programs of checks; none of these tests depends on how fast they run."""

import asyncio
import os
import select
import signal
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.runtime.probes import programs
from quorate.runtime.probes.found import ProbeFinding
from quorate.runtime.probes.runner import LOCAL_SCRIPTS_DISABLED, SCRIPTS_DISABLED, ProbeRunner
from tests.limits import HANG_S
from tests.unit.runtime.probes.lab import SOON_NS, check, one


def shell(text: str, *, bytes_max: int = 4096, **fields: int) -> ProbeFinding:
    return one(check(args=("sh", "-c", text), **fields), bytes_max)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state not in "ZX"


def gone(pid: int) -> bool:
    """Whether a killed process ends; one that was not killed sleeps for as long as this waits."""
    with suppress(ProcessLookupError, ChildProcessError):
        descriptor = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(descriptor)
            poll.poll(HANG_S * 1000)
        finally:
            os.close(descriptor)
    return not is_running(pid)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo fine", (PASSING, "fine\n")),
        ("echo hm; exit 1", (WARNING, "hm\n")),
        ("echo bad >&2; exit 7", (CRITICAL, "bad\n")),
        ("kill -9 $$", (CRITICAL, "")),
        ("cat", (PASSING, "")),  # its input is empty
        ("printf '\\377'", (PASSING, "\ufffd")),
    ],
)
def test_the_exit_code_decides_and_all_that_is_written_is_the_output(
    text: str, expected: tuple[str, str]
) -> None:
    assert shell(text) == expected


def test_a_long_output_is_cut_at_its_begin() -> None:
    found = shell("head -c 5000 /dev/zero | tr '\\0' x; printf end")
    tail = "x" * 4093 + "end"
    assert found == (PASSING, f"Captured 4096 of 5003 bytes\n...\n{tail}")


def test_a_program_that_is_not_there_is_critical() -> None:
    found = one(check(args=("/no/such/program",)))
    assert found == (CRITICAL, "fork/exec /no/such/program: no such file or directory")
    assert one(check(args=("a\0b",))).status == CRITICAL


def test_a_program_that_never_ends_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = f"trap '' TERM HUP; sleep 3600 & echo $! >{pids}; echo $$ >>{pids}; echo on >&2; wait"
    timeout_ns = SOON_NS
    while True:  # on a machine that was slow to start it, it is given longer
        found = shell(text, timeout_ns=timeout_ns)
        assert found.status == CRITICAL
        assert found.output.startswith("Timed out (")
        written = pids.read_text().split() if pids.exists() else []
        if len(written) == 2:
            break
        timeout_ns *= 2
    assert all(gone(int(pid)) for pid in written)


def test_what_a_program_left_behind_is_killed_when_it_ends_and_not_waited_for(
    tmp_path: Path,
) -> None:
    pid = tmp_path / "pid"
    found = shell(f"sleep 3600 & echo $! >{pid}; echo fine; exit 1")
    assert found == (WARNING, "fine\n")
    assert gone(int(pid.read_text()))


def test_a_process_that_left_the_group_and_holds_the_output_is_not_waited_for(
    tmp_path: Path,
) -> None:
    pid = tmp_path / "pid"
    found = shell(f"setsid sh -c 'echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 3600' & "
                  f"until [ -f {pid} ]; do :; done; echo fine")  # fmt: skip
    try:
        assert found == (PASSING, "fine\n")
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_a_program_that_writes_without_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "OUTPUT_BYTES_MAX", 100_000)
    found = shell("while :; do echo again; done", bytes_max=12)
    assert found.status == CRITICAL
    assert found.output.startswith("the output is over 100000 bytes: killed\n")
    assert len(found.output) < 100


def test_a_runner_that_stops_kills_what_runs(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    def ignored(status: str | None, output: str) -> None:
        """No result is waited for."""

    async def story() -> None:
        runner = ProbeRunner(4096, runs_scripts=True)
        runner.start(check(args=("sh", "-c", f"echo $$ >{pid}; exec sleep 3600")), ignored)
        async with asyncio.timeout(HANG_S):
            while not pid.exists() or not pid.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0)  # the file tells no event
        await runner.stop()

    uvloop.run(story())
    assert gone(int(pid.read_text()))


def test_programs_of_the_configuration_have_a_setting_of_their_own(tmp_path: Path) -> None:
    found: list[tuple[str | None, str]] = []

    def noted(status: str | None, output: str) -> None:
        found.append((status, output))

    async def story() -> None:
        local = ProbeRunner(4096, runs_scripts=False, runs_local_scripts=True)
        definition = check(args=("touch", str(tmp_path / "ran")))
        assert local.refusal(definition) is not None
        assert local.refusal(definition, is_configured=True) is None
        local.start(definition, noted, is_configured=True)
        await local.idle()
        remote = ProbeRunner(4096, runs_scripts=True, runs_local_scripts=False)
        assert remote.refusal(definition) is None
        refusal = remote.refusal(definition, is_configured=True)
        assert refusal is not None
        assert (refusal.text, refusal.is_by_setting) == (LOCAL_SCRIPTS_DISABLED, True)

    uvloop.run(story())
    assert found == [(PASSING, "")]
    assert (tmp_path / "ran").exists()


def test_without_the_setting_no_program_runs(tmp_path: Path) -> None:
    found: list[tuple[str | None, str]] = []

    def noted(status: str | None, output: str) -> None:
        found.append((status, output))

    async def story() -> None:
        runner = ProbeRunner(4096, runs_scripts=False)
        definitions = (
            check(args=("touch", str(tmp_path / "ran"))),
            check(args=("true",), docker="container"),
        )
        for definition in definitions:
            refusal = runner.refusal(definition)
            assert refusal is not None
            assert (refusal.text, refusal.is_by_setting) == (SCRIPTS_DISABLED, True)
            runner.start(definition, noted)
        await runner.idle()

    uvloop.run(story())
    assert found == [(CRITICAL, SCRIPTS_DISABLED)] * 2
    assert not (tmp_path / "ran").exists()
