from pathlib import Path

import pytest

from quorate.monitoring.checks import CRITICAL, PASSING
from tests.unit.runtime.probes.lab import check, one


def test_a_unit_that_is_active_passes_and_any_other_state_is_critical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "systemctl"
    tool.write_text('#!/bin/sh\ncase "$*" in\n'
                    '"is-active -- good") echo active;;\n'
                    '"is-active -- -x") echo activating; exit 1;;\n'
                    "*) echo inactive; exit 3;;\nesac\n")  # fmt: skip
    tool.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert one(check(os_service="good")) == (PASSING, 'Service "good" is active')
    assert one(check(os_service="-x")) == (CRITICAL, 'Service "-x" is activating')
    assert one(check(os_service="bad")) == (CRITICAL, 'Service "bad" is inactive')


def test_without_systemd_it_is_critical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = one(check(os_service="x"))
    assert found == (CRITICAL, "fork/exec systemctl: no such file or directory")
