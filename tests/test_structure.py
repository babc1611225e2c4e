"""What keeps the parts apart that must be able to grow apart; each rule is fed an offence below.

`tests/test_tidy.py` has the rules of every line; here are those of the design: who may name a
domain, that every question says who asks, who opens sockets, and that what the protocol's packages
define is what runs.
"""

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import msgspec
import pytest

from quorate.base import effects, events, ports
from quorate.base.context import RequestContext
from quorate.base.ids import GROUP
from quorate.domains import DOMAINS
from tests import test_tidy as tidy
from tests.test_tidy import Module, Rule, functions, imports, parsed


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the source."""
    return tuple(tidy.modules())


# --- a new command or table touches the package of its domain -----------------------------------

DOMAIN_PACKAGES = {domain.name for domain in DOMAINS.all[1:]}  # the first is the engine's
TRANSLATORS = {
    "gateways",
    "sim",
    "localstate",  # keeps the catalog equal to what this agent registered
}  # the one says in a protocol what a domain does; the other uses it
KNOWS_A_DOMAIN = {
    "domains.py",  # the list
    "node/detector.py",  # a member registers itself in the catalog
    "node/recovering.py",  # a recovery counts the keys that it found
    "cli/inventory.py",  # `snapshot inspect` sums up keys by their paths
}


def names_a_domain(module: Module) -> list[str]:
    """Engine, node, serving and runtime know a domain only from the list that they are given."""
    path = module.path.removeprefix("src/quorate/")
    if module.package in TRANSLATORS | DOMAIN_PACKAGES or path in KNOWS_A_DOMAIN:
        return []
    return [
        f"{module.path}:{line}: names {name}"
        for line, name in imports(module.tree)
        if name.startswith("quorate.") and name.split(".")[1] in DOMAIN_PACKAGES
    ]


def test_whoever_knows_a_domain_is_known() -> None:
    assert [each for module in modules() for each in names_a_domain(module)] == []
    assert {"kv", "sessions", "catalog"} <= DOMAIN_PACKAGES


# --- nothing is decided without knowing who asks -------------------------------------------------

QUESTIONS = (
    ports.Submit.submit,
    ports.ReadIndex.read,
    ports.Watch.watch,
    ports.Admin.change,
    ports.Local.report,
)
SHARED_CONTEXTS = {"PLAIN", "PLAIN_STALE", "PLAIN_CONSISTENT", "OWN"}
SHARES_A_CONTEXT = {
    "base/ports.py",  # an error that no request met
    "runtime/local.py",  # likewise
    "httpserver/request.py",  # until the API has read the headers
    "gateways/http/routes.py",  # requests whose headers say nothing of it
    "gateways/http/server.py",  # errors of the engine, which no request met
    "localstate/aliases.py",  # an alias follows another node by itself
    "localstate/agent.py",  # the agent tells the catalog by itself what changed
    "runtime/server.py",  # the node asks itself, when it comes and goes
}


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__qualname__)
def test_every_question_to_a_node_says_who_asks(question: Callable[..., object]) -> None:
    assert inspect.signature(question).parameters["context"].annotation is RequestContext


def shared_contexts(module: Module) -> list[str]:
    """A handler passes on the context of its request: it does not make one."""
    if module.path.removeprefix("src/quorate/") in SHARES_A_CONTEXT:
        return []
    return [
        f"{module.path}:{line}: {name}; pass on the context of the request"
        for line, name in imports(module.tree)
        if name.removeprefix("quorate.base.context.") in SHARED_CONTEXTS
    ]


def test_no_handler_decides_without_the_context_of_its_request() -> None:
    assert [each for module in modules() for each in shared_contexts(module)] == []


# --- one place to listen and to dial, one majority ----------------------------------------------

OPENS = {
    "create_server", "create_connection", "create_unix_server", "create_unix_connection",
    "start_server", "open_connection", "start_unix_server", "open_unix_connection",
}  # fmt: skip
OPENS_BY_ITSELF = {
    "net/connector.py",
    "lab/proxy.py",  # passes bytes on between nodes, and stands in for the network
    "cli/connect.py",  # looks whether somebody listens, and says nothing
}


def opened_sockets(module: Module) -> list[str]:
    """Listening and dialing are in `net`, so that TLS has one place to go to."""
    if module.path.removeprefix("src/quorate/") in OPENS_BY_ITSELF:
        return []
    return [
        f"{module.path}:{node.lineno}: {node.func.attr}; use net.connector"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in OPENS
        and not ast.unparse(node.func.value).endswith("connector")
    ]


def test_sockets_are_opened_in_one_place() -> None:
    assert [each for module in modules() for each in opened_sockets(module)] == []


def counted_majorities(module: Module) -> list[str]:
    """How many of so many are a quorum is `base.batches.majority`, everywhere."""
    if module.path.endswith("base/batches.py"):
        return []
    return [
        f"{module.path}:{line}: // 2 + 1; call majority"
        for line, text in enumerate(module.text.splitlines(), 1)
        if "// 2 + 1" in text
    ]


def test_there_is_one_majority() -> None:
    assert [each for module in modules() for each in counted_majorities(module)] == []


# --- many groups need no new format, and no turn a deeper stack -----------------------------------

OF_ONE_GROUP = (
    effects.Persist, effects.Send, effects.Truncate, effects.Install,
    events.Received, events.SnapshotTaken, events.Installed, events.ChunkStored,
)  # fmt: skip
"""What is about records, messages or tables of one group; links and the log file are the node's."""


@pytest.mark.parametrize("each", OF_ONE_GROUP, ids=lambda each: each.__name__)
def test_effects_and_events_say_their_group_and_it_is_number_0(each: type[msgspec.Struct]) -> None:
    fields = {field.name: field.default for field in msgspec.structs.fields(each)}
    assert fields["group"] == GROUP == 0


def self_calls(module: Module) -> list[str]:
    """A turn goes on until nothing is left, in a loop: however much there is, the stack is flat."""
    if module.package not in {"paxos", "node"}:
        return []
    return [
        f"{module.path}:{call.lineno}: {function.name} calls itself; loop"
        for function in functions(module.tree)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in (function.name, f"self.{function.name}")
    ]


def test_no_turn_calls_itself() -> None:
    assert [each for module in modules() for each in self_calls(module)] == []


# --- a library is used by what it publishes -------------------------------------------------------


def classes_by_name(module: Module) -> list[str]:
    """A class that is looked for by its name as a string is one that no library publishes."""
    return [
        f"{module.path}:{node.lineno}: {ast.unparse(node)}; compare classes"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Compare)
        and isinstance(node.left, ast.Attribute)
        and node.left.attr in ("__name__", "__qualname__")
    ]


def test_no_class_is_found_by_its_name() -> None:
    assert [each for module in modules() for each in classes_by_name(module)] == []


# --- what the protocol's packages define is what runs -------------------------------------------

PROTOCOL = {
    "base",
    "wire",
    "paxos",
    "machine",
    "kv",
    "sessions",
    "catalog",
    "configentries",
    "events",
    "node",
    "serving",
}
NOT_RUN = {
    "paxos/synod.py": "the protocol for one value, to read and to compare with",
    "machine/snapshot.py": "`dump`: tests and people look at tables by it",
    "machine/watches.py": "`marked`: tests look at the bound",
    "paxos/replica.py": "`take_released`: tests drive a replica without its group",
}


def unused_names(everything: Iterable[Module]) -> list[str]:
    """Functions and classes of the protocol that nothing in the source names."""
    everything = list(everything)
    used = {name for module in everything for name in used_names(module.tree)}
    return [
        f"{module.path}: {node.name}"
        for module in everything
        if module.package in PROTOCOL and module.path.removeprefix("src/quorate/") not in NOT_RUN
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and node.name not in used
        and not node.name.startswith("__")
    ]


def used_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg is not None:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_what_the_protocol_defines_is_what_runs() -> None:
    assert unused_names(modules()) == []


# --- offences -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (names_a_domain, "machine/txn.py", "from quorate.kv import tables"),
        (names_a_domain, "runtime/local.py", "import quorate.sessions.commands"),
        (shared_contexts, "gateways/http/kv.py", "from quorate.base.context import PLAIN"),
        (opened_sockets, "runtime/dialing.py", "await loop.create_connection(f, host, 1)"),
        (opened_sockets, "gateways/dns/server.py", "await asyncio.start_server(f, host)"),
        (self_calls, "node/node.py", "def flush(self):\n    return self.flush()"),
        (classes_by_name, "cli/main.py", "any(kind.__name__ == 'ClickException' for kind in mro)"),
        (counted_majorities, "node/node.py", "enough = len(voters) // 2 + 1"),
    ],
)
def test_an_offence_is_found(rule: Rule, path: str, text: str) -> None:
    assert rule(parsed(path.partition("/")[0], f"src/quorate/{path}", text))


def test_a_name_that_nothing_uses_is_found() -> None:
    whole = parsed("paxos", "src/quorate/paxos/a.py", "def f(): ...\ndef g(): return f()")
    assert unused_names([whole]) == ["src/quorate/paxos/a.py: g"]


def test_nobody_is_exempt_without_need() -> None:
    found = {module.path.removeprefix("src/quorate/"): module for module in modules()}
    assert {*KNOWS_A_DOMAIN, *SHARES_A_CONTEXT, *OPENS_BY_ITSELF, *NOT_RUN} <= found.keys()
    for path in KNOWS_A_DOMAIN:
        assert names_a_domain(found[path]._replace(path="x.py")), path
    for path in SHARES_A_CONTEXT:
        assert shared_contexts(found[path]._replace(path="x.py")), path
    for path in OPENS_BY_ITSELF:
        assert opened_sockets(found[path]._replace(path="x.py")), path
