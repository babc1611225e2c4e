"""Views that are closed under their readers, because too much changed meanwhile."""

import json

import pytest

from quorate.base.ports import HeldView
from quorate.kv.commands import KvSet
from quorate.serving.held import ANEW_MAX
from tests.unit.gateways.test_longlists import MANY, SlowHarness, fill

READS = ["/v1/kv/?recurse", "/v1/kv/?keys", "/v1/kv/?keys&separator=/"]


class Pressed(SlowHarness):
    """Closes so many of the views that are held, before anything was read of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, closing: int) -> None:
        super().__init__()
        fill(self)
        self.closed = 0
        hold = self.local.tables.hold

        def held(*, is_for_client: bool = False) -> HeldView:
            view: HeldView = hold(is_for_client=is_for_client)
            if self.closed < closing:
                self.closed += 1
                view.close()
            return view

        monkeypatch.setattr(self.local.tables, "hold", held)


@pytest.mark.parametrize("target", READS)
def test_a_long_read_begins_anew_on_a_fresh_state(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    quiet, harness = Pressed(monkeypatch, 0), Pressed(monkeypatch, ANEW_MAX)
    for one in (quiet, harness):
        one.post("GET", target)
        one.finish()
    (expected,), (reply,) = quiet.replies(), harness.replies()
    assert harness.closed == ANEW_MAX
    assert (reply.status, reply.body) == (200, expected.body)


@pytest.mark.parametrize("target", READS)
def test_a_read_whose_states_are_all_closed_is_asked_to_come_back(
    monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    harness = Pressed(monkeypatch, 1_000)
    harness.post("GET", target)
    harness.finish()
    (reply,) = harness.replies()
    assert (reply.status, reply.headers["X-Quorate-Error"]) == (429, "overloaded")
    assert reply.headers["Retry-After"] == "1"


@pytest.mark.parametrize("closing", [1, ANEW_MAX])
def test_a_reader_that_waits_for_a_change_of_a_long_list_gets_it(
    monkeypatch: pytest.MonkeyPatch, closing: int
) -> None:
    harness = Pressed(monkeypatch, closing)
    index = harness.local.lab.machine.index
    harness.local.apply(KvSet(b"zz", b"another prefix"))
    harness.post("GET", f"/v1/kv/a/?keys&index={index}")
    harness.finish()
    assert harness.replies() == []
    harness.local.apply(KvSet(b"a/00007", b"new"))
    harness.finish()
    (reply,) = harness.replies()
    assert reply.status == 200
    assert len(json.loads(reply.body)) == MANY


@pytest.mark.parametrize(("closing", "status"), [(ANEW_MAX, 200), (1_000, 429)])
def test_so_does_a_long_transaction_of_reads(
    monkeypatch: pytest.MonkeyPatch, closing: int, status: int
) -> None:
    harness = Pressed(monkeypatch, closing)
    body = json.dumps([{"KV": {"Verb": "get-tree", "Key": "a/"}}] * 40).encode()
    harness.post("PUT", "/v1/txn", body)
    harness.finish()
    (reply,) = harness.replies()
    assert harness.closed >= ANEW_MAX
    assert reply.status == status
