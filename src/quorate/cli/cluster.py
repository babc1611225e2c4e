"""`quorate cluster`: who votes, and who leads."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import msgspec

from quorate.base.batches import majority
from quorate.base.errors import (
    ConflictError,
    NotFoundError,
    OutcomeUnknownError,
    QuorateError,
    RequestError,
    UnavailableError,
)
from quorate.cli.commands import CommandGroup, command
from quorate.cli.connect import ConnectionFlags, connected
from quorate.cli.output import Json, columns, fail, fail_with, note, progress, say, show
from quorate.client import durations
from quorate.client.sync.client import Client

POLL_S = 0.2  # between two looks at who votes
_NO_PEER = "cannot find peer"  # Consul's words for a leader that has nobody to hand over to
REMOVE_S = 60.0  # so long it is asked again what became of a removal


class Voter(msgspec.Struct, rename="pascal"):
    """One node of the configuration, as the API has it."""

    id: str = msgspec.field(name="ID")
    node: str = ""
    address: str = ""
    leader: bool = False
    voter: bool = True


class _Configuration(msgspec.Struct, rename="pascal"):
    servers: list[Voter]


class ListedMember(msgspec.Struct, rename="pascal"):
    """A member as the asked node knows it."""

    id: str = msgspec.field(name="ID")
    name: str
    address: str
    role: str  # leader, follower or learner
    voter: bool
    alive: bool
    lag: int | None  # slots that the asked node knows as chosen and this one does not
    last_heard: float | None  # seconds since the leader heard it
    version: str


class ClusterOverview(msgspec.Struct, rename="pascal"):
    """The members by name, and why there is no leader if there is none."""

    cluster: str
    node: str
    role: str
    leader: str
    reason: str
    members: list[ListedMember]


def overview(client: Client) -> ClusterOverview:
    """What the asked node knows."""
    found = msgspec.json.decode(
        client.call("GET", "/v1/operator/cluster").body, type=ClusterOverview
    )
    found.members.sort(key=lambda each: each.name)
    return found


def voters(client: Client) -> list[Voter]:
    """Everybody in the configuration."""
    reply = client.call("GET", "/v1/operator/raft/configuration")
    return msgspec.json.decode(reply.body, type=_Configuration).servers


def _called(word: str, candidates: list[Voter]) -> list[Voter]:
    return [each for each in candidates if word in {each.id, each.node, each.address}]


def chosen(candidates: list[Voter], word: str) -> Voter:
    """Find a node by its id, name or address.

    Raises:
        NotFoundError: There is none.
        RequestError: There are several of that name.
    """
    found = _called(word, candidates)
    if not found:
        names = ", ".join(sorted(each.node for each in candidates))
        text = f"no node {word!r} in the configuration; there are: {names}"
        raise NotFoundError("not_found", text)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise RequestError("bad_request", f"several nodes are called {word!r}; say which id: {ids}")
    return found[0]


@connected("cluster list")
def list_(connection: ConnectionFlags, *, json: Json = False) -> None:
    """List every member: its role, whether it is alive, how far behind, and when last heard.

    Answered by the asked node from what it knows, also while there is no leader.

    Examples:
        quorate cluster list
        quorate cluster list -json
    """
    found = overview(connection.client)
    members = [msgspec.structs.asdict(each) for each in found.members]
    heading = ["Node", "ID", "Role", "Alive", "Lag", "Last heard", "Version", "Address"]
    rows = (_row(each) for each in found.members)
    show(msgspec.structs.asdict(found) | {"members": members}, columns([heading, *rows]), json)
    if found.reason and not json:
        note(f"{found.node} knows no leader: {found.reason}")
    for name in twins(found.members):
        note(f"several members that are alive are called {name}: give each a name of its own")


def twins(members: list[ListedMember]) -> list[str]:
    """The names that more than one living member has."""
    names = Counter(each.name.lower() for each in members if each.alive)
    return [name for name, count in names.items() if count > 1]


def _row(member: ListedMember) -> list[str]:
    alive = "yes" if member.alive else "no"
    lag = "-" if member.lag is None else str(member.lag)
    heard = "-" if member.last_heard is None else f"{member.last_heard:.1f} s"
    facts = [member.role, alive, lag, heard, member.version or "-", member.address]
    return [member.name, member.id, *facts]


@connected("cluster add", "NODE", "Error waiting for the node", takes_time=True)
def add(
    connection: ConnectionFlags,
    node: str,
    *,
    timeout: Annotated[str, "How long to wait for it; 0: try once."] = "5m",
) -> None:
    """Let a node vote that has joined: wait for it, and until it has caught up.

    A node that was started with -retry-join is a learner: it holds everything and has no vote.
    NODE is its name or id.

    Examples:
        quorate cluster add n4
        quorate cluster add -timeout=0 n4
    """
    wait_s = durations.parse(timeout)
    present = voters(connection.client)
    found = _called(node, present)
    if not found:
        joins = " ".join(f"-retry-join {each.address}" for each in present if each.voter)
        note("Start it on its machine, with an empty data directory:")
        note(f"  quorate agent -server -node {node} -data-dir DIR -bind ADDRESS {joins}")
        if not wait_s:
            note(f"Then let it vote: quorate cluster add {node}")
            return
    if found and all(each.voter for each in found):
        say(f"{node} is a voter already: nothing was changed")
        return
    with progress(f"waiting for {node} to vote", None):
        _promote(connection.client, node, time.monotonic() + wait_s)
    say(f"Success! Added node: {node}")


def _promote(client: Client, word: str, deadline_s: float) -> None:
    """Ask until the node votes; a learner of that name goes before a voter, which may be lost.

    A voter is asked for as well: the answer says that this is durable, too.
    """
    why = "it has not joined yet"
    while True:
        found = _called(word, voters(client))
        learners = [each for each in found if not each.voter]
        if found:
            target = chosen(learners, word) if learners else found[0]
            try:
                client.call("PUT", "/v1/operator/raft/peer", id=target.id)
            except (ConflictError, UnavailableError, OutcomeUnknownError) as error:
                why = error.text  # not yet: asked again
            else:
                return
        if time.monotonic() >= deadline_s:
            fail(f"Error! {word} does not vote yet: {why}. See `quorate cluster list`")
        time.sleep(POLL_S)


@connected("cluster remove", "NODE", "Error removing the node")
def remove(
    connection: ConnectionFlags,
    node: str,
    *,
    force: Annotated[bool, "Also if fewer than a majority would be alive."] = False,
) -> None:
    """Take a node out of the configuration for good: it may come back only under a new id.

    NODE is its name, id or address. When this is answered, the node may be shut down, and its disk
    thrown away.

    Examples:
        quorate cluster remove n3
        quorate cluster remove 127.0.0.1:8320
    """
    client = connection.client
    target = chosen(voters(client), node)
    if not force:
        _check_majority(client, target)
    _remove(client, target.id, time.monotonic() + REMOVE_S)
    say(f"Success! Removed node: {target.node or target.id}")


def _remove(client: Client, node_id: str, deadline_s: float) -> None:
    """Ask until it is known that the node is removed, and may be shut down."""
    is_asked = False
    while True:
        try:
            client.call("DELETE", "/v1/operator/raft/peer", id=node_id)
        except (UnavailableError, OutcomeUnknownError) as error:
            is_asked = is_asked or isinstance(error, OutcomeUnknownError)
            if not is_asked or time.monotonic() >= deadline_s:
                raise
        else:
            return
        time.sleep(POLL_S)


def _check_majority(client: Client, target: Voter) -> None:
    """Refuse a removal that would leave a configuration without a living majority."""
    staying = [each for each in voters(client) if each.voter and each.id != target.id]
    alive = {member.name for member in client.status.members() if member.status == "alive"}
    living = sum(each.node in alive for each in staying)
    if living < majority(len(staying)):
        fail(
            f"Error! Without {target.node} only {living} of {len(staying)} voters would be alive, "
            "which is no majority.\nNothing was done. Bring others back first, or say -force."
        )


@connected("cluster transfer", "[NODE]", "Error transferring leadership")
def transfer(connection: ConnectionFlags, node: str = "") -> None:
    """Let another node lead: the one named, by name or id, or whichever is best.

    Examples:
        quorate cluster transfer
        quorate cluster transfer n2
    """
    client = connection.client
    where: dict[str, Any] = {"id": chosen(voters(client), node).id} if node else {}
    try:
        client.call("POST", "/v1/operator/raft/transfer-leader", **where)
    except QuorateError as error:
        if not error.text.endswith(_NO_PEER):
            raise
        fail(
            f"Error transferring leadership: {_NO_PEER}: no other node has a vote and is alive.\n"
            "`quorate cluster list` shows the nodes; `quorate cluster add NODE` gives a learner a "
            "vote."
        )
    say(f"Success! {f'Leader is to be: {node}' if node else 'Leadership transferred'}")


@command("cluster recover")
def recover(
    *,
    data_dir: Annotated[tuple[Path, ...], "A survivor's data directory; repeatable."] = (),
    into: Annotated[Path | None, "The new data directory; must be missing or empty."] = None,
    json: Json = False,
) -> None:
    """Found a new cluster out of data directories when a majority is lost for good.

    Offline: every node of the old cluster must be stopped, for good. The old directories are
    only read. What only the lost nodes had is lost.

    Examples:
        quorate cluster recover -data-dir=/var/lib/q2 -into=/var/lib/quorate-new
    """
    if not data_dir or into is None:
        fail("Error! Say -data-dir for every survivor, and -into for the new directory")
    from quorate.recovery.directories import recover as recovered_from

    note(f"reading {', '.join(map(str, data_dir))}")
    try:
        made = recovered_from(data_dir, into)
    except QuorateError as error:
        fail_with(error, "Error! Nothing was recovered")
    guessed = f"The last {made.guessed} slots may hold writes that nobody was told of.\n"
    text = (
        f"Success! Recovered {made.keys} keys, as of slot {made.slot}, into {into}\n"
        f"{guessed if made.guessed else ''}"
        f"It is a cluster of one. Start it:\n  quorate agent -server -data-dir {into} "
        f"-node {made.member.name} ...\n"
        "Then start others with empty data directories and -retry-join. Never start the old\n"
        "directories again."
    )
    show(made, [text], json)


cluster = CommandGroup("cluster", list_, add, remove, transfer, recover)
