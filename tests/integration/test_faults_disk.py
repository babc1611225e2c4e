"""What disks do to one node of three: tear, corrupt and lose files, while the others go on."""

import asyncio
import base64
import http.client
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from quorate.lab.launch import NodeProcess
from quorate.wire.records import StoredKind
from tests.integration import damage
from tests.integration.stage import MIB, Stage, log_of, played

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

REFUSED = 1
DISK_FAILED = 74


async def a_follower(stage: Stage) -> NodeProcess:
    """A node that does not lead."""
    return stage.others(await stage.leader())[0]


async def refuses(stage: Stage, node: NodeProcess, *words: str) -> None:
    """Start a node that must not start: it says why, and the others go on."""
    since = node.log.stat().st_size
    node.start()
    assert await stage.ended(node) == REFUSED
    said = log_of(node, since)
    assert all(word in said for word in words), said
    assert "Traceback" not in said
    await stage.load.writes()


# --- the log ----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["half a record", "garbage", "a shorter file"])
def test_a_torn_tail_of_the_log_is_dropped_and_nothing_is_lost(tmp_path: Path, how: str) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        victim.kill()
        newest = damage.segments(victim)[-1]
        found, end = damage.headers(newest)
        with newest.open("r+b") as file:
            if how == "half a record":
                file.truncate(found[-1].end - 8)
            elif how == "garbage":
                file.seek(end)
                file.write(bytes(range(256)) * 16)
            else:
                file.truncate(end + 100)
        await stage.start(victim)
        if how == "half a record":
            assert "the last write was torn" in log_of(victim)

    played(tmp_path, story)


@pytest.mark.parametrize("which", [0, -1], ids=["oldest", "newest"])
@pytest.mark.parametrize("part", ["header", "body"])
def test_corruption_in_the_log_is_named_and_the_node_can_be_replaced(
    tmp_path: Path, which: int, part: str
) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.fill(stage, 3)
        victim.kill()
        segment = damage.segments(victim)[which]
        found, _ = damage.headers(segment)
        votes = [each for each in found if each.kind == StoredKind.VOTE]
        vote = votes[len(votes) // 2]
        at = vote.body_offset + vote.body_bytes // 2 if part == "body" else vote.body_offset - 40
        damage.flip(segment, at)
        await refuses(
            stage, victim, segment.name, "the record at offset", "is bad", "This is corruption",
            "remove it from the cluster and let it join again with an empty directory",
        )  # fmt: skip
        await damage.replace(stage, victim)

    played(tmp_path, story, settings=damage.OFTEN)


def test_a_log_without_one_of_its_files_is_refused(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.fill(stage, 4)
        victim.kill()
        missing = damage.segments(victim)[1]
        missing.unlink()
        await refuses(stage, victim, missing.name, "is missing", "Put it back")
        await damage.replace(stage, victim)

    played(tmp_path, story, settings={"wal_segment_bytes": MIB})


@pytest.mark.parametrize("what", ["log", "log and tables", "node.json"])
def test_a_node_without_its_promises_does_not_start(tmp_path: Path, what: str) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        victim.kill()
        if what == "node.json":
            (victim.data / "node.json").unlink()
            said = ("node.json is missing", "has lost its name")
        else:
            shutil.rmtree(victim.data / "wal")
            said = ("the log of this node is missing", "its promises are lost")
        if what == "log and tables":
            shutil.rmtree(victim.data / "tables")
        await refuses(stage, victim, *said, "with an empty directory")
        await damage.replace(stage, victim)

    played(tmp_path, story)


def test_a_node_that_lost_everything_comes_back_as_another(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        victim.kill()
        before = json.loads((victim.data / "node.json").read_text())
        await damage.replace(stage, victim)
        assert json.loads((victim.data / "node.json").read_text())["id"] != before["id"]

    played(tmp_path, story)


def test_who_lost_everything_and_was_not_removed_is_one_more_until_that_is_done(
    tmp_path: Path,
) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        victim.kill()
        lost = json.loads((victim.data / "node.json").read_text())["id"]
        shutil.rmtree(victim.data)
        await stage.start(victim)
        fresh = json.loads((victim.data / "node.json").read_text())["id"]

        async def voters() -> list[bool]:
            servers = await damage.configuration(stage.others(victim)[0])
            return sorted(bool(each["Voter"]) for each in servers)

        async def are_four() -> bool:
            return await voters() == [False, True, True, True]

        await stage.until(are_four, "the new one does not learn")
        await damage.command(victim, "cluster", "add", fresh)
        assert await voters() == [True] * 4
        await damage.command(victim, "cluster", "remove", lost)
        await damage.voting(stage, victim)

    played(tmp_path, story)


# --- the tables -------------------------------------------------------------------------------


def test_corruption_in_tables_is_found_when_a_node_starts(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.fill(stage)
        await stage.caught_up(victim)
        victim.kill()
        assert damage.flip_all(damage.tables(victim), damage.filling(7, 1)[:4000]) > 0
        await stage.start(victim)
        await stage.says(victim, "damaged", "the row does not match its checksum")
        await stage.says(victim, "tables made anew")
        assert await served(victim, damage.filled_key(7)) == damage.filling(7, 1)

    played(tmp_path, story)


def test_corruption_while_a_node_runs_is_not_served_and_the_tables_are_made_anew(
    tmp_path: Path,
) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.fill(stage)
        await stage.caught_up(victim)
        assert damage.flip_all(damage.tables(victim), damage.filling(7, 1)[:4000]) > 0
        assert await served(victim, damage.filled_key(7)) is None
        assert await stage.ended(victim) == DISK_FAILED
        await stage.says(victim, "corrupt", "the row does not match its checksum")
        assert list(victim.data.glob("flight-*.jsonl"))
        await stage.start(victim)
        assert "tables made anew" in log_of(victim)
        assert await served(victim, damage.filled_key(7)) == damage.filling(7, 1)

    played(tmp_path, story)


async def served(node: NodeProcess, key: str) -> bytes | None:
    """What a node answers from its own tables; None: nothing, or an error."""
    try:
        answer: Any = await asyncio.to_thread(node.get, f"/v1/kv/{key}?stale")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return base64.b64decode(answer[0]["Value"])


def test_corruption_that_nobody_reads_is_found_by_the_next_snapshot(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.fill(stage)
        await stage.caught_up(victim)
        assert damage.flip_all(damage.tables(victim), damage.filling(7, 1)[:4000]) > 0
        writing = asyncio.create_task(damage.fill(stage, 100, first=2, spared=7))
        try:
            assert await stage.ended(victim) == DISK_FAILED
        finally:
            writing.cancel()
            await asyncio.wait([writing])
        await stage.says(victim, "the row does not match its checksum")
        await stage.start(victim)

    played(tmp_path, story, settings=damage.OFTEN)


@pytest.mark.parametrize("how", ["lost", "emptied", "overwritten"])
def test_tables_that_are_no_tables_are_made_anew(tmp_path: Path, how: str) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        await damage.with_snapshots(stage, victim, 1)
        victim.kill()
        path = damage.tables(victim)
        if how == "lost":
            path.unlink()
        elif how == "emptied":
            path.write_bytes(b"")
        else:
            path.write_bytes(bytes(range(256)) * 4096)
        await stage.start(victim)
        await stage.says(victim, "tables made anew", "source=snapshot")

    played(tmp_path, story, settings=damage.OFTEN)


# --- snapshots --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2], ids=["the newest", "all"])
def test_a_damaged_snapshot_is_named_and_done_without(tmp_path: Path, count: int) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        turn = await damage.with_snapshots(stage, victim, 2)
        victim.kill()
        damage.tables(victim).unlink()
        found = damage.snapshots(victim)
        for path in found[-count:]:
            damage.flip(path, path.stat().st_size // 2)
        await stage.start(victim)
        for path in found[-count:]:
            await stage.says(victim, "damaged", path.name, "does not match its checksum")
        await stage.says(victim, "tables made anew", "source=snapshot" if count == 1 else "nothing")
        assert await served(victim, damage.filled_key(3)) == damage.filling(3, turn)

    played(tmp_path, story, settings=damage.OFTEN)


def test_a_node_with_nothing_but_its_log_takes_the_rest_from_the_others(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        victim = await a_follower(stage)
        turn = await damage.with_snapshots(stage, victim, 1)
        victim.kill()
        shutil.rmtree(victim.data / "tables")
        shutil.rmtree(victim.data / "snapshots")
        await stage.start(victim)
        await stage.says(victim, "tables made anew", "source=nothing")
        assert await served(victim, damage.filled_key(3)) == damage.filling(3, turn)

    played(tmp_path, story, settings=damage.OFTEN)
