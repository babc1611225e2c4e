"""What tests of commands share: a client without a cluster, and a way to run a command line."""

from typing import NamedTuple, Protocol

import pytest

from quorate.cli.connect import ConnectionFlags
from quorate.cli.main import main
from tests.unit.cli.fakes import FakeClient


class Said(NamedTuple):
    """What a command line did."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command line."""

    def __call__(self, *words: str) -> Said: ...


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()

    monkeypatch.setattr(ConnectionFlags, "client", fake)
    return fake


@pytest.fixture
def run(client: FakeClient, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    _ = client  # takes the place of the real one

    def run_(*words: str) -> Said:
        code = main(words)
        printed = capfdbinary.readouterr()
        return Said(code, printed.out.decode(), printed.err.decode())

    return run_
