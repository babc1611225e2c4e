import asyncio
import errno

import pytest
import uvloop

from quorate.monitoring.checks import CRITICAL, PASSING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes import runner as running
from quorate.runtime.probes.found import ERROR_BYTES_MAX, ProbeError, ProbeFinding
from quorate.runtime.probes.runner import PROBES, ProbeRunner
from tests.limits import HANG_S
from tests.unit.runtime.probes.lab import SOON_NS, check

Results = dict[str, tuple[str | None, str]]


class FakeProbe:
    """A probe that does what the id of its check says."""

    def __init__(self) -> None:
        self.running = self.most = 0

    async def __call__(self, definition: CheckDefinition, _: int) -> ProbeFinding:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            match definition.id.rstrip("0123456789"):
                case "hangs":
                    await asyncio.Event().wait()
                case "raises":
                    raise ZeroDivisionError
                case "fails":
                    raise ProbeError("no route")
                case "quotes":
                    raise ProbeError("the target said " + 100_000 * "é")
                case "poor":
                    raise OSError(errno.EMFILE, "too many open files")
                case "short":
                    raise ProbeError("no") from OSError(errno.ENFILE, "too many open files")
                case _:
                    await asyncio.sleep(0)
            return ProbeFinding(PASSING, definition.id)
        finally:
            self.running -= 1


def run(*names: str) -> tuple[Results, FakeProbe]:
    fake, results = FakeProbe(), Results()

    async def story() -> None:
        runner = ProbeRunner(4096, runs_scripts=True, probes={"tcp": fake})
        for name in names:
            limit = {"timeout_ns": SOON_NS} if name.startswith("hangs") else {}

            def done(status: str | None, output: str, name: str = name) -> None:
                results[name] = status, output

            runner.start(check(id=name, tcp="a:1", **limit), done)
        async with asyncio.timeout(HANG_S):
            await runner.idle()

    uvloop.run(story())
    assert fake.running == 0
    return results, fake


def test_probes_take_turns_and_one_that_fails_stops_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "PROBES_MAX", 3)
    kinds = ("hangs", "raises", "fails", "fine")
    results, fake = run(*(f"{kind}{number}" for number in range(5) for kind in kinds))
    assert fake.most == 3
    expected = {
        "hangs": (CRITICAL, "dial tcp a:1: i/o timeout"),
        "raises": (CRITICAL, "ZeroDivisionError"),
        "fails": (CRITICAL, "no route"),
    }
    assert len(results) == 20
    for name, found in results.items():
        assert found == expected.get(name[:-1], (PASSING, name))


def test_an_error_that_quotes_its_target_is_cut_whatever_the_target_sent() -> None:
    results, _ = run("quotes")
    status, output = results["quotes"]
    assert status == CRITICAL
    assert output.startswith("the target said éé")
    assert output.endswith(f"(captured {ERROR_BYTES_MAX} of 200016 bytes)")
    assert len(output.encode()) < ERROR_BYTES_MAX + 100


def test_a_shortage_of_this_process_says_nothing_about_the_target() -> None:
    results, _ = run("poor", "short")
    assert [status for status, _ in results.values()] == [None, None]


def test_too_many_that_wait_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PROBES_MAX", 1)
    monkeypatch.setattr(running, "WAITING_MAX", 2)
    results, _ = run("a", "b", "c", "d")
    assert results["d"] == (None, "")
    assert [results[name][0] for name in "abc"] == [PASSING] * 3


def test_who_stops_waits_for_what_is_cancelled() -> None:
    fake, results = FakeProbe(), list[object]()

    def noted(status: str | None, output: str) -> None:
        results.append((status, output))

    async def story() -> None:
        runner = ProbeRunner(4096, runs_scripts=True, probes={"tcp": fake})
        for number in range(3):
            runner.start(check(id=f"hangs{number}", tcp="a:1"), noted)
        await asyncio.sleep(0)
        assert fake.running == 3
        await runner.stop()

    uvloop.run(story())
    assert (fake.running, results) == (0, [])


def test_a_kind_that_is_not_built_is_refused_and_says_so() -> None:
    runner = ProbeRunner(4096, runs_scripts=True)
    for kind in PROBES:
        fields = {"args": ("a",)} if kind == "script" else {kind: "a:1"}
        assert runner.refusal(check(**fields)) is None
