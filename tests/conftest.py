"""What holds for every test: hypothesis judges values, never time; and no skip goes unseen.

In CI hypothesis's choices are fixed, so that a run says something about the change and not about
luck; elsewhere each run tries others.

Skipped tests are counted by reason at the end of each run. With `CI` in the environment a reason
that `tests/skips.toml` does not allow, or one that skips more tests than it allows, fails the run.
"""

import os
import signal

import pytest
from hypothesis import settings

from tests.skips import ALLOWED, allowed, counted, objections, reason_of

settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")

# Who starts a run in the background, or with `nohup`, has it ignore these, and so would all that it
# starts: tests of what a signal does would test nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


def skipped(config: pytest.Config) -> dict[str, int]:
    """How many tests of this run were skipped, by reason."""
    reporter: pytest.TerminalReporter | None = config.pluginmanager.get_plugin("terminalreporter")
    reports: list[pytest.TestReport] = reporter.stats.get("skipped", []) if reporter else []
    return counted(reason_of(report.longrepr) for report in reports)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long is left to `make soak`: chosen only by an expression that names it."""
    if "soak" in str(config.getoption("markexpr")):
        return
    long = [item for item in items if item.get_closest_marker("soak")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A skip that nobody allowed fails the run in CI."""
    is_worker = hasattr(session.config, "workerinput")  # of xdist: its controller counts
    if "CI" not in os.environ or is_worker or exitstatus != pytest.ExitCode.OK:
        return
    if objections(skipped(session.config), allowed()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """List what was skipped, and what of it should not have been."""
    found = skipped(config)
    if not found:
        return
    terminalreporter.section(f"{sum(found.values())} skipped")
    for reason, count in sorted(found.items()):
        terminalreporter.write_line(f"{count:5} {reason}")
    for objection in objections(found, allowed()):
        terminalreporter.write_line(f"not allowed by {ALLOWED.name}: {objection}")
