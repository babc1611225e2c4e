"""Each house rule is fed an offence and must see it, and something innocent and must spare it."""

import pytest

from tests import test_tidy as tidy

LONG_FUNCTION = "def f():\n" + "    x = 1\n" * tidy.FUNCTION_LINES_MAX
LONG_FILE = "x = 1\n" * (tidy.FILE_LINES_MAX + 1)
MARK = "TO" + "DO"
GUARD = "TYPE_" + "CHECKING"

OFFENCES: list[tuple[tidy.Rule, str, str]] = [
    (tidy.only_serving_waits, "gateways", "local.watch(context, subjects, fire)"),
    (tidy.only_serving_waits, "sim", "self.node.unwatch(1)"),
    (tidy.only_serving_waits, "gateways", "from quorate.sessions.tables import needs_renewal"),
    (tidy.only_serving_waits, "sim", "from quorate.sessions.commands import SessionRenew"),
    (tidy.imports_go_down, "base", "import quorate.wire"),
    (tidy.imports_go_down, "kv", "from quorate.catalog import tables"),
    (tidy.imports_go_down, "kv", "from quorate import paxos"),
    (tidy.imports_go_down, "gateways", "def f():\n    from quorate.runtime import wal"),
    (tidy.imports_go_down, "attic", "x = 1"),
    (tidy.pure_packages_import_nothing_impure, "paxos", "import time"),
    (tidy.pure_packages_import_nothing_impure, "node", "from os import path"),
    (tidy.pure_packages_import_nothing_impure, "machine", "import lmdb"),
    (tidy.pure_packages_import_nothing_impure, "kv", "import google_crc32c"),
    (tidy.pure_packages_import_nothing_impure, "kv", "from urllib import request"),
    (tidy.pure_packages_call_nothing_impure, "machine", "x = hash('a')"),
    (tidy.pure_packages_call_nothing_impure, "wire", "open('a')"),
    (tidy.pure_packages_call_nothing_impure, "kv", "x = datetime.datetime.now(UTC)"),
    (tidy.no_import_hides, "node", f"from typing import {GUARD}"),
    (tidy.no_import_hides, "runtime", "def f():\n    import lmdb"),
    (tidy.files_and_functions_stay_short, "node", LONG_FUNCTION),
    (tidy.files_and_functions_stay_short, "node", LONG_FILE),
    (tidy.public_names_have_docstrings, "kv", "x = 1"),
    (tidy.public_names_have_docstrings, "kv", '"""M."""\ndef f(): ...'),
    (tidy.public_names_have_docstrings, "kv", '"""M."""\nclass A:\n    x = 1'),
    (
        tidy.public_names_have_docstrings,
        "kv",
        '"""M."""\nclass A:\n    """A."""\n    async def f(self): ...',
    ),
    (tidy.nothing_is_left_over, "kv", f"x = 1  # {MARK} later"),
    (tidy.no_assert_in_source, "runtime", "assert True"),
    (tidy.no_module_writes_attributes_of_others, "node", "replica.linked |= peers"),
    (tidy.no_module_writes_attributes_of_others, "node", "self.replica.digest = 1"),
    (tidy.no_module_writes_attributes_of_others, "paxos", "home.a, (home.b, c) = 1, (2, 3)"),
    (tidy.no_module_writes_attributes_of_others, "machine", "rows.index: int = 1"),
    (tidy.no_module_writes_attributes_of_others, "runtime", "del link.peer"),
    (tidy.no_module_writes_attributes_of_others, "runtime", "for link.peer in peers: pass"),
    (tidy.no_module_writes_attributes_of_others, "gateways", "with f() as request.spool: pass"),
    (tidy.no_module_writes_attributes_of_others, "gateways", "f()[0].data = b''"),
    (
        tidy.no_module_writes_attributes_of_others,
        "paxos",
        "class A:\n  slot: int\ndef f(a: A): a.slot = 1",
    ),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "for x in set('ab'): pass"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "for x in {1, 2}: pass"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "y = [x for x in {a for a in 'ab'}]"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "y = {'a', 'b'}\nz = list(y)"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "y: set[str] = f()\nz = [*y]"),
    (
        tidy.no_set_is_iterated_in_pure_packages,
        "paxos",
        "def f(a: set[str]) -> str: return ','.join(a)",
    ),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "for x in set(a) - b: pass"),
    (
        tidy.no_set_is_iterated_in_pure_packages,
        "paxos",
        "class A:\n def f(self):\n  self.a: set[int] = g()\n def h(self):\n  return tuple(self.a)",
    ),
]

INNOCENT: list[tuple[tidy.Rule, str, str]] = [
    (tidy.imports_go_down, "kv", "from quorate.base import ids\nfrom quorate.kv import tables"),
    (tidy.imports_go_down, "cli", "from quorate import __version__"),
    (tidy.pure_packages_import_nothing_impure, "runtime", "import time, lmdb"),
    (tidy.pure_packages_import_nothing_impure, "wire", "import google_crc32c, msgspec, zlib"),
    (tidy.pure_packages_import_nothing_impure, "kv", "from urllib.parse import quote"),
    (tidy.pure_packages_call_nothing_impure, "machine", "self.open('a')"),
    (tidy.no_import_hides, "cli", "def f():\n    import lmdb"),
    (tidy.public_names_have_docstrings, "kv", '"""M."""\ndef _f(): ...'),
    (
        tidy.public_names_have_docstrings,
        "kv",
        '"""M."""\nclass A:\n    """A."""\n    @x.setter\n    def f(self): ...',
    ),
    (tidy.no_module_writes_attributes_of_others, "paxos", "class A:\n def f(self): self.a = b.a"),
    (
        tidy.no_module_writes_attributes_of_others,
        "paxos",
        "class A(msgspec.Struct, gc=False):\n  slot: int\ndef f(a: A): a.slot = 1",
    ),
    (tidy.no_module_writes_attributes_of_others, "cli", "options.name = 'a'"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "for x in sorted({1, 2}): pass"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "y = {'a'}\nz = sorted(x for x in y)"),
    (tidy.no_set_is_iterated_in_pure_packages, "paxos", "y = {'a'}\nz = len(y)\nw = 'a' in y"),
    (
        tidy.no_set_is_iterated_in_pure_packages,
        "paxos",
        "def f(y: set[str]): ...\nfor x in y: pass",
    ),
    (tidy.no_set_is_iterated_in_pure_packages, "runtime", "for x in {1, 2}: pass"),
]


@pytest.mark.parametrize(("rule", "package", "text"), OFFENCES)
def test_an_offence_is_seen(rule: tidy.Rule, package: str, text: str) -> None:
    assert rule(tidy.parsed(package, "planted.py", text))


@pytest.mark.parametrize(("rule", "package", "text"), INNOCENT)
def test_the_innocent_are_spared(rule: tidy.Rule, package: str, text: str) -> None:
    assert rule(tidy.parsed(package, "planted.py", text)) == []


def test_every_rule_is_fed_an_offence() -> None:
    assert {rule for rule, _, _ in OFFENCES} == set(tidy.RULES)


def test_a_large_binary_is_seen_and_a_small_one_is_spared() -> None:
    assert tidy.too_large("a.bin", b"\0" * (tidy.BINARY_BYTES_MAX + 1))
    assert tidy.too_large("a.txt", b"a" * (tidy.FILE_BYTES_MAX + 1))
    assert tidy.too_large("a.bin", b"\0" * tidy.BINARY_BYTES_MAX) == []


def test_a_package_that_no_contract_names_is_seen() -> None:
    missing = tidy.packages_missing_in_contracts({"kv", "security"}, tidy.settings())
    assert missing == [
        "security: not in the contract of the client",
        "security: not in the contract of the pure",
    ]


ONE = tidy.Text("src/quorate/paxos/a.py", '"""A.\n\nACC-1: one.\n"""\nx = 1  # ACC-1\n')


@pytest.mark.parametrize(
    "other",
    [
        tidy.Text("src/quorate/kv/b.py", '"""B.\n\nACC-1: another.\n"""'),
        tidy.Text("src/quorate/kv/b.py", '"""B."""\nx = 1  # ACC-2'),
        tidy.Text("src/quorate/kv/b.py", '"""B.\n\nA1: another.\n"""'),
        tidy.Text("docs/testing.md", "as KVS-1 says"),
    ],
)
def test_a_label_at_odds_is_seen(other: tidy.Text) -> None:
    assert tidy.labels_at_odds([ONE, other])


def test_a_label_that_is_cited_elsewhere_is_spared() -> None:
    page = tidy.Text("docs/testing.md", "as ACC-1 says, and ADR-9")
    assert tidy.labels_at_odds([ONE, page]) == []


def test_a_list_of_labels_that_is_not_that_of_the_modules_is_seen() -> None:
    assert tidy.labels_not_listed("| ACC-1 | one | `paxos/a.py` |", [ONE]) == []
    assert tidy.labels_not_listed("| ACC-1-ACC-2 | one | `paxos/a.py` |", [ONE])
    assert tidy.labels_not_listed("| ACC-1 | one | `paxos/b.py` |", [ONE])
    assert tidy.labels_not_listed("", [ONE])


def modules_of(*texts: tuple[str, str]) -> list[tidy.Module]:
    return [tidy.parsed("", f"src/quorate/{path}", text) for path, text in texts]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wire/b.py", "class Link: ..."),
        ("kv/b.py", "class Link(Protocol): ..."),
        ("kv/a.py", "class Link: ...\nclass Link: ..."),
        ("client/aio/b.py", "def f():\n    class Link: ..."),
    ],
)
def test_a_class_with_the_name_of_another_is_seen(path: str, text: str) -> None:
    assert tidy.class_names_used_twice(modules_of(("kv/c.py", "class Link: ..."), (path, text)))


def test_classes_with_names_of_their_own_are_spared() -> None:
    found = modules_of(
        ("client/aio/a.py", "class Link: ..."),
        ("client/sync/a.py", "class Link: ..."),  # generated
        ("kv/a.py", "class Links: ..."),
    )
    assert tidy.class_names_used_twice(found) == []
