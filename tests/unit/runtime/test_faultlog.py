from typing import Any

import structlog

from quorate.runtime.faultlog import FAULTS_MAX, PERIOD_S, FaultLog, kinds_of, places_of

SECRET = "the value of a key"


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def fault(kind: type[Exception] = ValueError) -> Exception:
    held = SECRET
    try:
        raise kind(held)
    except Exception as error:  # noqa: BLE001 - it is what the test wants
        return error


def wrapped() -> Exception:
    found: Exception = RuntimeError("nothing was raised")
    try:
        try:
            int(SECRET)
        except ValueError as error:
            raise KeyError(SECRET) from error
    except KeyError as error:
        found = error
    return found


def test_an_error_is_one_line_with_an_id_and_no_values() -> None:
    with structlog.testing.capture_logs() as lines:
        faults = FaultLog(structlog.get_logger(), Clock())
        name = faults.report(wrapped())
    (line,) = lines
    assert line["id"] == name
    assert line["error"] == "KeyError < ValueError"
    assert line["at"].startswith("test_faultlog.py:")
    assert "wrapped" in line["at"]
    assert SECRET not in repr(line)
    assert "\n" not in repr(line)


def test_the_same_fault_has_the_same_id_and_is_written_once_in_a_while() -> None:
    clock = Clock()
    lines: list[Any]
    with structlog.testing.capture_logs() as lines:
        faults = FaultLog(structlog.get_logger(), clock)
        names = {faults.report(fault()) for _ in range(1000)}
        assert len(names) == len(lines) == 1
        clock.now_s += PERIOD_S
        names.add(faults.report(fault()))
        names.add(faults.report(fault(TypeError)))
    assert len(names) == 2
    assert [line.get("unwritten") for line in lines] == [None, 999, None]


def test_what_was_seen_is_bounded() -> None:
    with structlog.testing.capture_logs() as lines:
        faults = FaultLog(structlog.get_logger(), Clock())
        for number in range(FAULTS_MAX + 1):
            faults.report(fault(type(f"Kind{number}Error", (Exception,), {})))
        faults.report(fault(type("Kind0Error", (Exception,), {})))
    assert len(lines) == FAULTS_MAX + 2  # the oldest was forgotten, and so is written again


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert (kinds_of(ValueError(SECRET)), places_of(ValueError(SECRET))) == ("ValueError", "")
