"""`quorate cluster`: members, votes and leadership."""

import time
from collections import Counter
from pathlib import Path
from typing import Annotated

from msgspec.structs import asdict

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
from quorate.client.membership import ClusterMember, ConfiguredServer
from quorate.client.sync.client import Client
from quorate.client.sync.operator import Operator

POLL_S = 0.2  # between two looks at the configuration
_NO_PEER = "cannot find peer"  # Consul's words for a leader without another live voter
REMOVE_S = 60.0  # how long a removal is retried whose outcome is unknown


def _named(word: str, servers: list[ConfiguredServer]) -> list[ConfiguredServer]:
    return [each for each in servers if word in {each.id, each.node, each.address}]


def _one(servers: list[ConfiguredServer], word: str) -> ConfiguredServer:
    """Find a node by its id, name or address.

    Raises:
        NotFoundError: There is none.
        RequestError: There are several of that name.
    """
    found = _named(word, servers)
    if not found:
        names = ", ".join(sorted(each.node for each in servers))
        text = f"no node {word!r} in the configuration; there are: {names}"
        raise NotFoundError("not_found", text)
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise RequestError("bad_request", f"several nodes are called {word!r}; say which id: {ids}")
    return found[0]


@connected("cluster list")
def list_(connection: ConnectionFlags, *, json: Json = False) -> None:
    """List every member: its role, whether it is alive, its lag, and its last contact.

    The node answers from what it knows, also while there is no leader.

    Examples:
        quorate cluster list
        quorate cluster list -json
    """
    found = Operator(connection.client).overview()
    heading = ["Node", "ID", "Role", "Alive", "Lag", "Last heard", "Version", "Address"]
    rows = (_row(each) for each in found.members)
    value = asdict(found) | {"members": [asdict(each) for each in found.members]}
    show(value, columns([heading, *rows]), json)
    if found.reason and not json:
        note(f"{found.node} knows no leader: {found.reason}")
    for name in duplicate_names(found.members):
        note(f"several members that are alive are called {name}: give each a name of its own")


def duplicate_names(members: list[ClusterMember]) -> list[str]:
    """The names that more than one live member has."""
    names = Counter(each.name.lower() for each in members if each.alive)
    return [name for name, count in names.items() if count > 1]


def _row(member: ClusterMember) -> list[str]:
    alive = "yes" if member.alive else "no"
    lag = "-" if member.lag is None else str(member.lag)
    last_heard = "-" if member.last_heard is None else f"{member.last_heard:.1f} s"
    facts = [member.role, alive, lag, last_heard, member.version or "-", member.address]
    return [member.name, member.id, *facts]


@connected("cluster add", "NODE", "Error waiting for the node", takes_time=True)
def add(
    connection: ConnectionFlags,
    node: str,
    *,
    timeout: Annotated[str, "How long to wait for it; 0: try once."] = "5m",
) -> None:
    """Give a vote to a node that has joined: wait until it has joined and caught up.

    A node that was started with -retry-join is a learner: it replicates everything and has no
    vote. NODE is its name or id.

    Examples:
        quorate cluster add n4
        quorate cluster add -timeout=0 n4
    """
    wait_s = durations.parse(timeout)
    servers = Operator(connection.client).servers()
    found = _named(node, servers)
    if not found:
        joins = " ".join(f"-retry-join {each.address}" for each in servers if each.voter)
        note("Start it on its machine, with an empty data directory:")
        note(f"  quorate agent -server -node {node} -data-dir DIR -bind ADDRESS {joins}")
        if not wait_s:
            note(f"Then let it vote: quorate cluster add {node}")
            fail(f"Error! {node} does not vote yet: it has not joined. Nothing was changed.")
    if found and all(each.voter for each in found):
        say(f"{node} is a voter already: nothing was changed")
        return
    with progress(f"waiting for {node} to vote", None):
        _promote(connection.client, node, time.monotonic() + wait_s)
    say(f"Success! Added node: {node}")


def _promote(client: Client, word: str, deadline_s: float) -> None:
    """Retry until the node votes; a learner of that name comes before a voter, which may be lost.

    A voter is promoted as well: the answer confirms that its vote is durable.
    """
    why = "it has not joined yet"
    while True:
        found = _named(word, Operator(client).servers())
        learners = [each for each in found if not each.voter]
        if found:
            try:
                Operator(client).promote((_one(learners, word) if learners else found[0]).id)
            except (ConflictError, UnavailableError, OutcomeUnknownError) as error:
                why = error.text  # not yet
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
    """Remove a node from the configuration for good: it may come back only under a new id.

    NODE is its name, id or address. When this command has ended, the node may be shut down and its
    disk discarded.

    Examples:
        quorate cluster remove n3
        quorate cluster remove 127.0.0.1:8320
    """
    client = connection.client
    servers = Operator(client).servers()
    target = _one(servers, node)
    if not force:
        _check_majority(client, servers, target)
    _remove(client, target.id, time.monotonic() + REMOVE_S)
    say(f"Success! Removed node: {target.node or target.id}")


def _remove(client: Client, node_id: str, deadline_s: float) -> None:
    """Retry until the node is known to be removed, and may be shut down."""
    is_sent = False
    while True:
        try:
            Operator(client).remove(node_id)
        except (UnavailableError, OutcomeUnknownError) as error:
            is_sent = is_sent or isinstance(error, OutcomeUnknownError)
            if not is_sent or time.monotonic() >= deadline_s:
                raise
        else:
            return
        time.sleep(POLL_S)


def _check_majority(
    client: Client, servers: list[ConfiguredServer], target: ConfiguredServer
) -> None:
    """Refuse a removal that would leave a configuration without a live majority."""
    staying = [each for each in servers if each.voter and each.id != target.id]
    alive = {member.name for member in client.status.members() if member.status == "alive"}
    living = sum(each.node in alive for each in staying)
    if living < majority(len(staying)):
        fail(
            f"Error! Without {target.node} only {living} of {len(staying)} voters would be alive, "
            "which is no majority.\nNothing was done. Bring others back first, or say -force."
        )


@connected("cluster transfer", "[NODE]", "Error transferring leadership")
def transfer(connection: ConnectionFlags, node: str = "") -> None:
    """Transfer leadership to another node: the one given by name or id, or the best one.

    It returns when that node leads.

    Examples:
        quorate cluster transfer
        quorate cluster transfer n2
    """
    operator = Operator(connection.client)
    try:
        successor = _one(operator.servers(), node) if node else None
        operator.transfer("" if successor is None else successor.id)
    except QuorateError as error:
        if not error.text.endswith(_NO_PEER):
            raise
        fail(
            f"Error transferring leadership: {_NO_PEER}: no other node has a vote and is alive.\n"
            "`quorate cluster list` shows the nodes; `quorate cluster add NODE` gives a learner a "
            "vote."
        )
    leader = _leader_name(operator) if successor is None else successor.node
    say(f"Success! {f'Leader is now: {leader}' if leader else 'Leadership transferred'}")


def _leader_name(operator: Operator) -> str:
    """Who leads; empty if that cannot be read: what was done before stays done."""
    try:
        return next((each.node for each in operator.servers() if each.leader), "")
    except QuorateError:
        return ""


@command("cluster recover")
def recover(
    *,
    data_dir: Annotated[tuple[Path, ...], "A survivor's data directory; repeatable."] = (),
    into: Annotated[Path | None, "The new data directory; must be missing or empty."] = None,
    json: Json = False,
) -> None:
    """Build a new cluster from data directories when a majority is lost for good.

    Offline: every node of the old cluster must be stopped, for good. The old directories are
    only read. Data that only the lost nodes had is lost.

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
    slots = "slot" if made.guessed == 1 else f"{made.guessed} slots"
    guessed = f"The last {slots} may hold writes that were never acknowledged.\n"
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
