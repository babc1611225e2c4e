"""The command line against a running node, and against three."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from quorate.lab.launch import LocalCluster, NodeProcess, Ports, quorate_command
from quorate.runtime.reserved import HOST, free_ports
from tests.limits import HANG_S

pytestmark = pytest.mark.integration


class Shell:
    """Runs command lines against one node.

    Args:
        address: The node.
        directory: Where they run.
    """

    def __init__(self, address: str, directory: Path) -> None:
        self.environment = {"CONSUL_HTTP_ADDR": address, "PATH": "/usr/bin:/bin"}
        self.directory = directory
        self._started: list[subprocess.Popen[str]] = []

    def close(self) -> None:
        """End what still runs."""
        for process in self._started:
            process.kill()
            process.communicate()

    def start(self, *words: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*quorate_command(), *words],
            env=self.environment,
            cwd=self.directory,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,  # ours may be an orphaned one, where the kernel drops SIGTSTP
        )
        self._started.append(process)
        return process

    def run(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(stdin, timeout=HANG_S)
        return process.returncode, out, err

    def good(self, *words: str, stdin: str = "") -> str:
        """Run what must work; returns what it printed."""
        code, out, err = self.run(*words, stdin=stdin)
        assert code == 0, err
        return out


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """The address of a development node."""
    http, server = free_ports(2)
    process = subprocess.Popen(
        [*quorate_command(), "agent", "-dev", f"-http-port={http}", f"-server-port={server}"],
        stderr=subprocess.DEVNULL,
    )
    shell = Shell(f"{HOST}:{http}", tmp_path_factory.mktemp("start"))
    deadline_s = time.monotonic() + HANG_S
    while shell.run("kv", "put", "ready", "yes")[0] != 0:
        assert time.monotonic() < deadline_s, "the node did not start"
    try:
        yield f"{HOST}:{http}"
    finally:
        process.terminate()
        assert process.wait(HANG_S) == 0


@pytest.fixture
def shell(node: str, tmp_path: Path) -> Generator[Shell, None, None]:
    shell = Shell(node, tmp_path)
    yield shell
    shell.close()


def test_a_key_goes_round(shell: Shell) -> None:
    assert shell.good("kv", "put", "round/a", "-", stdin="from stdin") == (
        "Success! Data written to: round/a\n"
    )
    assert shell.good("kv", "get", "round/a") == "from stdin\n"
    index = json.loads(shell.good("kv", "get", "-json", "round/a"))["modify_index"]
    shell.good("kv", "put", "-cas", f"-modify-index={index}", "round/a", "2")
    assert shell.run("kv", "put", "-cas", f"-modify-index={index}", "round/a", "3")[0] == 1
    shell.good("kv", "delete", "-recurse", "round/")
    assert shell.run("kv", "get", "round/a") == (1, "", "Error! No key exists at: round/a\n")


def test_a_tree_is_exported_and_imported_as_it_was(shell: Shell) -> None:
    for number, value in enumerate(["", "plain", "ü", "two\nlines"]):
        shell.good("kv", "put", f"-flags={number}", f"tree/{number}", value)
    shell.good("kv", "put", "tree/ümlaut key", "x")
    exported = shell.good("kv", "export", "tree/")
    shell.good("kv", "import", "-prefix=copy/", "-", stdin=exported)
    copied = json.loads(shell.good("kv", "export", "copy/"))
    for entry in copied:
        entry["key"] = entry["key"].removeprefix("copy/")
    assert copied == json.loads(exported)


def test_keys_that_no_path_carries_are_exported_and_imported_too(shell: Shell) -> None:
    keys = ["bare//b", "bare/./c", "bare/../d", "bare/line\nend\ttab", "bare/plain"]
    sets = [{"KV": {"Verb": "set", "Key": key, "Value": "MQ==", "Flags": 7}} for key in keys]
    shell.good("txn", "-", stdin=json.dumps(sets))
    exported = shell.good("kv", "export", "bare/")
    assert {row["key"] for row in json.loads(exported)} == set(keys)
    shell.good("kv", "delete", "-recurse", "bare/")
    assert json.loads(shell.good("kv", "export", "bare/")) == []
    shell.good("kv", "import", "-", stdin=exported)
    assert json.loads(shell.good("kv", "export", "bare/")) == json.loads(exported)
    shell.good("kv", "delete", "-recurse", "bare/")


@pytest.mark.parametrize("key", ["100%", "q?x=1&y#z", "no-break\u00a0space", "日本/鍵😀", "dir/"])
def test_a_key_of_any_characters_goes_round(shell: Shell, key: str) -> None:
    shell.good("kv", "put", f"odd/{key}", key)
    assert shell.good("kv", "get", f"odd/{key}") == f"{key}\n"
    exported = shell.good("kv", "export", "odd/")
    shell.good("kv", "delete", "-recurse", "odd/")
    shell.good("kv", "import", "-", stdin=exported)
    assert shell.good("kv", "get", "-keys", "-separator=", "odd/") == f"odd/{key}\n"
    shell.good("kv", "delete", "-recurse", "odd/")


def test_a_watch_sees_what_another_command_writes(shell: Shell) -> None:
    shell.good("kv", "put", "watched", "first")
    watch = shell.start("kv", "watch", "-count=2", "watched")
    assert watch.stdout is not None
    assert watch.stdout.readline() == "first\n"
    shell.good("kv", "put", "watched", "second")
    assert watch.communicate(timeout=HANG_S) == ("second\n", "")
    assert watch.returncode == 0


def test_a_lock_keeps_others_out_until_its_command_ends(shell: Shell) -> None:
    holding = "echo in; read x; echo out"
    holder = shell.start("lock", "-verbose", "-pass-stdin", "locks/a", holding)
    assert holder.stdout is not None
    while holder.stdout.readline() != "in\n":
        pass
    code, out, err = shell.run("lock", "-timeout=300ms", "locks/a", "echo never")
    assert (code, out) == (1, "")
    assert err == "Shutdown triggered or timeout during lock acquisition\n"
    waiting = shell.start("lock", "locks/a", "echo $QUORATE_LOCK_FENCE")
    assert holder.communicate("go\n", timeout=HANG_S)[0].startswith("out\n")
    assert waiting.communicate(timeout=HANG_S)[0].strip().isdigit()
    assert shell.good("kv", "list", "locks/") == ""


def test_a_semaphore_of_another_limit_is_refused_in_words(shell: Shell) -> None:
    shell.good("kv", "put", "limited/.lock", '{"Limit":3,"Holders":{}}')
    code, _, err = shell.run("lock", "-n=2", "limited", "echo never")
    assert (code, err) == (1, "limited/.lock has limit 3, not 2: say -n=3\n")
    shell.good("kv", "put", "limited/.lock", "mine")
    code, _, err = shell.run("lock", "-n=2", "limited", "echo never")
    assert code == 1
    assert err.startswith("limited/.lock is no semaphore: ")


def test_a_semaphore_lets_in_as_many_as_it_says(shell: Shell) -> None:
    holders = [shell.start("lock", "-n=2", "-pass-stdin", "sema", "echo in; read x") for _ in "ab"]
    for holder in holders:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "in\n"
    code, _, err = shell.run("lock", "-n=2", "-timeout=500ms", "sema", "echo never")
    assert (code, err) == (1, "Shutdown triggered or timeout during lock acquisition\n")
    code, _, err = shell.run("lock", "-n=3", "sema", "echo never")
    assert code == 1
    assert "limit 2, not 3" in err
    for holder in holders:
        holder.communicate("go\n", timeout=HANG_S)
        assert holder.returncode == 0
    assert shell.good("lock", "-n=2", "sema", "echo three") == "three\n"
    assert shell.good("kv", "list", "sema/") == ""


def test_a_command_that_loses_its_lock_is_stopped(shell: Shell) -> None:
    holder = shell.start(
        "lock", "lost", "trap 'echo stopped; exit 0' TERM; echo in; sleep 30 & wait"
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "in\n"
    shell.good("kv", "delete", "lost/.lock")
    out, err = holder.communicate(timeout=HANG_S)
    assert out == "stopped\n"
    assert holder.returncode == 1
    assert err.startswith("Lock lost, the command was stopped: ")


class Orphan:
    """A command under a lock, with a process of its own, and all of their ids.

    Args:
        shell: Where it runs.
        name: Of the lock.
        command: What it does after it has identified itself.
    """

    def __init__(self, shell: Shell, name: str, command: str = "sleep 3600; true") -> None:
        # In the foreground: a shell has what runs behind it ignore SIGINT and SIGQUIT.
        self.process = shell.start("lock", name, f"echo $$; {command}")
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline())
        while not self._sleeps():  # before that its shell may take a signal and lose it
            assert self.process.poll() is None
            time.sleep(0.01)

    def _sleeps(self) -> bool:
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = path.read_text().rpartition(")")
                if int(rest.split()[2]) == self.child and name.endswith("(sleep"):
                    return True
        return False

    def states(self) -> set[str]:
        """The states of all processes of the command's group; empty if there are none."""
        found: set[str] = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.child and fields[0] != "Z":
                    found.add(fields[0])
        return found

    def guard(self) -> int:
        stat = Path(f"/proc/{self.child}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])

    def until(self, states: set[str]) -> None:
        """Wait until its processes are in these states."""
        deadline_s = time.monotonic() + HANG_S
        while not self.states() <= states:
            assert time.monotonic() < deadline_s, self.states()
            time.sleep(0.05)


@pytest.mark.parametrize("number", ["HUP", "QUIT", "TERM", "INT", "KILL", "ABRT"])
def test_a_command_ends_with_who_holds_its_lock(shell: Shell, number: str) -> None:
    orphan = Orphan(shell, f"locks/end-{number}")
    orphan.process.send_signal(signal.Signals[f"SIG{number}"])
    orphan.until(set())
    orphan.process.communicate(timeout=HANG_S)
    assert orphan.process.returncode not in {0, None}


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_a_command_stops_and_goes_on_with_who_holds_its_lock(
    shell: Shell, number: signal.Signals
) -> None:
    orphan = Orphan(shell, f"locks/stop-{number}")
    orphan.process.send_signal(number)
    orphan.until({"T"})
    orphan.process.send_signal(signal.SIGCONT)
    orphan.until({"S", "R"})
    orphan.process.send_signal(signal.SIGSTOP)
    orphan.until({"T"})
    orphan.process.kill()
    orphan.until(set())


def test_a_command_whose_lock_went_while_we_were_stopped_does_not_go_on(shell: Shell) -> None:
    orphan = Orphan(shell, "locks/gone", "sleep 60; echo went on")
    orphan.process.send_signal(signal.SIGSTOP)
    orphan.until({"T"})
    shell.good("kv", "delete", "locks/gone/.lock")
    orphan.process.send_signal(signal.SIGCONT)
    out, err = orphan.process.communicate(timeout=HANG_S)
    assert (orphan.process.returncode, out) == (1, "")
    assert "Lock lost" in err
    assert orphan.states() == set()


def test_a_command_ends_if_its_guard_is_killed(shell: Shell) -> None:
    orphan = Orphan(shell, "locks/guard")
    os.kill(orphan.guard(), signal.SIGKILL)
    orphan.until(set())
    _, err = orphan.process.communicate(timeout=HANG_S)
    assert err == "Error running handler: signal: SIGKILL\n"


def test_a_guard_that_fails_ends_its_command() -> None:
    program = (
        "import asyncio\n"
        "from quorate.cli.lockguard import fork_guard\n"
        "guard = fork_guard(['sleep', '3600'], passes_stdin=False)\n"
        "async def run():\n"
        "    guard.run({})\n"
        "    guard._socket.send(b'nonsense')\n"
        "    return await guard.ended()\n"
        "print(asyncio.run(run()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_S, check=True
    )
    assert (done.stdout, done.stderr) == ("signal: SIGKILL\n", "")


def test_a_command_that_ignores_the_end_is_killed(shell: Shell) -> None:
    orphan = Orphan(shell, "locks/stubborn", "trap '' TERM; while :; do sleep 1; done")
    orphan.process.kill()
    orphan.until(set())


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("/", ".lock"),
        ("/locks//path/", "locks/path/.lock"),
        ("locks/./x/../path", "locks/path/.lock"),
    ],
)
def test_the_prefix_of_a_lock_is_a_path(shell: Shell, prefix: str, key: str) -> None:
    holder = shell.start("lock", "-pass-stdin", prefix, "echo in; read x")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "in\n"
    assert "Session" in shell.good("kv", "get", "-detailed", key)
    holder.communicate("go\n", timeout=HANG_S)
    assert holder.returncode == 0


def test_ctrl_c_during_a_command_is_seen_in_the_exit_code(shell: Shell) -> None:
    orphan = Orphan(shell, "locks/ctrl-c", "exec sleep 60")
    orphan.process.send_signal(signal.SIGINT)
    orphan.process.communicate(timeout=HANG_S)
    assert orphan.process.returncode == 130
    assert shell.run("kv", "get", "locks/ctrl-c/.lock")[0] == 1


@pytest.mark.parametrize("number", ["INT", "TERM", "HUP", "QUIT"])
def test_who_waits_for_a_lock_can_be_stopped_by_a_signal(shell: Shell, number: str) -> None:
    key = f"locks/waiter-{number}"
    holder = shell.start("lock", "-pass-stdin", key, "echo in; read x")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "in\n"
    waiter = shell.start("lock", key, "echo never")
    wait_for_sessions(shell, key, 2)
    waiter.send_signal(signal.Signals[f"SIG{number}"])
    out, _ = waiter.communicate(timeout=HANG_S)
    expected = 130 if number == "INT" else -signal.Signals[f"SIG{number}"]
    assert (waiter.returncode, out) == (expected, "")
    assert shell.good("session", "list").count(key) == 1  # that of the holder

    holder.communicate("go\n", timeout=HANG_S)
    failing = ("lock", "-timeout=60s", "-child-exit-code", key, "exit 7")
    assert shell.run(*failing)[0] == 2


def wait_for_sessions(shell: Shell, name: str, count: int) -> None:
    """Wait until so many sessions have a name that contains this."""
    deadline_s = time.monotonic() + HANG_S
    while (found := shell.good("session", "list").count(name)) != count:
        assert time.monotonic() < deadline_s, f"{found} sessions of {name}"


@pytest.mark.parametrize("number", ["INT", "QUIT", "TERM", "HUP"])
def test_what_a_command_has_in_the_background_ends_with_it(shell: Shell, number: str) -> None:
    """A shell has its background ignore SIGINT and SIGQUIT: it would run on without the lock."""
    orphan = Orphan(shell, f"locks/behind-{number}", "sleep 3600 & exec sleep 3600")
    orphan.process.send_signal(signal.Signals[f"SIG{number}"])
    orphan.process.communicate(timeout=HANG_S)
    orphan.until(set())
    assert shell.run("kv", "get", f"locks/behind-{number}/.lock")[0] == 1


def test_a_command_that_cannot_be_run_is_named(shell: Shell) -> None:
    code, _, err = shell.run("lock", "-shell=false", "-child-exit-code", "locks/none", "/none/x")
    assert (code, err) == (2, "Error running handler: /none/x: No such file or directory\n")


def test_a_transaction_happens_or_does_not(shell: Shell) -> None:
    steps = [
        {"KV": {"Verb": "set", "Key": "txn/a", "Value": "MQ=="}},
        {"KV": {"Verb": "get", "Key": "txn/a"}},
    ]
    answer = json.loads(shell.good("txn", "-json", stdin=json.dumps(steps)))
    assert [row["KV"]["Key"] for row in answer["Results"]] == ["txn/a", "txn/a"]
    steps.append({"KV": {"Verb": "check-not-exists", "Key": "txn/a"}})
    code, out, err = shell.run("txn", stdin=json.dumps(steps))
    assert (code, out) == (1, "")
    assert "operation 2" in err
    code, _, err = shell.run("txn", stdin='[{"KV":{"Verb":"dance","Key":"a"}}]')
    assert code == 1
    assert "unknown verb 'dance'" in err


def test_sessions_and_snapshots(shell: Shell) -> None:
    session = shell.good("session", "create", "-name=s", "-ttl=20s").strip()
    assert json.loads(shell.good("session", "renew", "-json", session))["ttl_s"] == 20.0
    shell.good("kv", "put", "kept", "before")
    shell.good("snapshot", "save", "s.snap")
    shell.good("kv", "put", "kept", "after")
    shell.good("snapshot", "restore", "s.snap")
    assert shell.good("kv", "get", "kept") == "before\n"
    assert session in shell.good("session", "list")
    shell.good("session", "destroy", session)
    assert session not in shell.good("session", "list")


def test_bench_measures_and_leaves_nothing_behind(shell: Shell) -> None:
    found = json.loads(shell.good("bench", "-seconds=0.3", "-concurrency=8", "-json"))
    assert [each["name"] for each in found] == ["put", "get", "get stale"]
    assert all(each["per_s"] > 0 and each["errors"] == 0 for each in found)
    assert shell.good("kv", "list", "quorate-bench/") == ""


def hand_over(shell: Shell, cluster: LocalCluster, name: str) -> None:
    """Transfer leadership, until it is not lost at once: on a starved machine nodes elect anew."""
    end_s = time.monotonic() + HANG_S
    done = f"Success! Leader is now: {name}\n"
    said = ""
    while said != done or cluster.wait_for_leader(HANG_S).name != name:
        assert time.monotonic() < end_s, said
        _, out, err = shell.run("cluster", "transfer", name)
        said = out + err


def test_a_node_is_added_leads_and_is_removed(tmp_path: Path) -> None:
    cluster = LocalCluster(tmp_path)
    cluster.start(HANG_S)
    joins = [f"{HOST}:{each.ports.server}" for each in cluster.nodes]
    fourth = NodeProcess("n4", tmp_path, Ports(*free_ports(2)), joins, 0)
    cluster.nodes.append(fourth)
    shell = Shell(cluster.nodes[0].address, tmp_path)
    try:
        waiting = shell.start("cluster", "add", "-timeout=100s", "n4")
        fourth.start()
        out, err = waiting.communicate(timeout=HANG_S)
        assert out == "Success! Added node: n4\n", err
        again = shell.good("cluster", "add", "n4")
        assert again == "n4 is a voter already: nothing was changed\n"
        hand_over(shell, cluster, "n4")
        hand_over(shell, cluster, "n1")
        shell.good("cluster", "remove", "n4")
        listed = json.loads(shell.good("cluster", "list", "-json"))["members"]
        assert [each["name"] for each in listed] == ["n1", "n2", "n3"]
    finally:
        shell.close()
        cluster.stop()


def children_s(run: Callable[[], object]) -> float:
    """The processor time of the children that end in a call."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def test_the_smallest_command_starts_fast(shell: Shell) -> None:
    """By processor time, of which a bare interpreter takes its part."""
    took_s = min(children_s(lambda: shell.good("kv", "get", "ready")) for _ in range(5))
    bare = [sys.executable, "-c", "pass"]
    bare_s = min(children_s(lambda: subprocess.run(bare, check=True)) for _ in range(5))
    assert took_s - bare_s < 0.25  # 0.12 on an idle machine
