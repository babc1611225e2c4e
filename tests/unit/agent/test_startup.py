"""What an agent says first."""

import errno
from pathlib import Path

import msgspec
import pytest

from quorate.agent.settings import settings_of
from quorate.agent.starting import cannot_listen, startup_block
from quorate.base.batches import Configuration, Member
from quorate.base.ids import NO_BALLOT, NodeId, Slot
from quorate.base.ports import Status
from quorate.base.versions import CONSUL_VERSION, QUORATE_VERSION
from quorate.cli.agent import parse_flags

ME = Member(NodeId("0b6e"), "n1", "127.0.0.1:8300")
BLANK = Status(
    ME, "", "joining", None, float("inf"), False, NO_BALLOT, Slot(0), Slot(0), 0, 0, 0,
    Configuration(0, 0, ()), frozenset({ME.id}), {}, "waiting for 2 of 3 nodes to bootstrap",
)  # fmt: skip


def block(status: Status, *flags: str) -> dict[str, str]:
    """The rows of the block by name."""
    settings, _ = settings_of(parse_flags([*flags, "-bind=127.0.0.1", "-node=n1"]))
    text = startup_block(settings, status, Path("/data"))
    first, *rows, last = text.splitlines()
    assert (first, last) == ("==> Quorate agent running", "==> Log:")
    return {name.strip(): value for name, _, value in (row.partition(": ") for row in rows)}


def test_a_node_that_waits_says_for_whom() -> None:
    flags = ("-server", "-data-dir=/data", "-bootstrap-expect=3", "-retry-join=10.0.0.2:8300")
    rows = block(BLANK, *flags)
    assert rows["Node"] == "n1 (0b6e)"
    assert rows["Version"] == f"{QUORATE_VERSION} (HTTP API of Consul {CONSUL_VERSION})"
    assert (rows["Cluster"], rows["Members"]) == ("none yet", "none yet")
    assert rows["Joins"] == "10.0.0.2:8300"
    assert rows["State"] == "waiting for 2 of 3 nodes to bootstrap"
    assert (rows["HTTP"], rows["Server port"]) == ("127.0.0.1:8500", "127.0.0.1:8300")
    assert rows["Data directory"] == "/data"


def test_a_member_says_of_which_cluster_and_with_whom() -> None:
    learner = Member(NodeId("77aa"), "n2", "127.0.0.2:8300")
    status = msgspec.structs.replace(
        BLANK, cluster_id="c0ffee", configuration=Configuration(2, 1, (ME,), (learner,)), reason=""
    )
    rows = block(status, "-dev")
    assert (rows["Cluster"], rows["Members"]) == ("c0ffee", "n1, n2 (learner)")
    assert "State" not in rows
    assert "Joins" not in rows
    assert rows["Data directory"].endswith("(temporary: it goes with this process)")


@pytest.mark.parametrize(
    ("flags", "shown"),
    [
        (["-client=0.0.0.0"], "0.0.0.0:8500"),
        (
            ["-client=127.0.0.1 ::1 unix:///run/q.sock"],
            "127.0.0.1:8500, [::1]:8500, unix:///run/q.sock",
        ),
        (["-http-port=-1"], "none"),
        (["-http-port=-1", "-client=unix:///run/q.sock"], "unix:///run/q.sock"),
    ],
)
def test_where_clients_are_waited_for_is_said_as_it_was_given(flags: list[str], shown: str) -> None:
    assert block(BLANK, "-dev", *flags)["HTTP"] == shown


def test_members_are_named_in_order() -> None:
    others = [Member(NodeId(name), name, f"{name}:8300") for name in ("n3", "n2")]
    configuration = Configuration(1, 1, (others[0], ME, others[1]))
    status = msgspec.structs.replace(BLANK, configuration=configuration)
    assert block(status, "-dev")["Members"] == "n1, n2, n3"


@pytest.mark.parametrize("flag", ["-http-port", "-server-port", "-dns-port"])
@pytest.mark.parametrize("number", [errno.EADDRINUSE, errno.EACCES])
def test_a_port_that_cannot_be_used_is_named_with_its_flag_alone(number: int, flag: str) -> None:
    said = str(cannot_listen(OSError(number, "why"), "127.0.0.1", 80, flag))
    assert "port 80" in said
    assert [each for each in said.split() if each.startswith("-")] == [flag]
