"""House rules that no reader can be trusted to remember. One list per rule.

A rule is a function from a module to its offences, so that the second half of this file can
feed each rule an offence and see it caught, and something innocent and see it spared.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import quorate

SOURCE = Path(quorate.__file__).parent
REPOSITORY = Path(__file__).parent.parent

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"base"}),
    frozenset({"wire", "chunks", "accounts", "security", "balancing", "monitoring", "filters"}),
    frozenset(
        {
            "paxos",
            "machine",
            "kv",
            "sessions",
            "catalog",
            "configentries",
            "events",
            "preparedqueries",
            "tasks",
            "objects",
            "acl",
            "replication",
        }
    ),
    frozenset({"domains"}),
    frozenset({"node", "serving", "localstate"}),
    frozenset({"net"}),
    frozenset({"httpserver"}),
    frozenset({"runtime", "sim", "gateways", "client", "worker"}),
    frozenset({"agent", "lab", "recovery"}),
    frozenset({"cli", "testing"}),
)
LAYER_OF = {package: number for number, packages in enumerate(LAYERS) for package in packages}
PURE_LAYER_MAX = 4
PURE_PACKAGES = {package for package, layer in LAYER_OF.items() if layer <= PURE_LAYER_MAX}

PURE_THIRD_PARTY = {"msgspec"}
THIRD_PARTY_OF_PACKAGE = {"wire": {"google_crc32c", "blake3"}, "filters": {"re2"}}
IMPURE_MODULES = {
    # I/O and the world outside
    "asyncio", "concurrent", "ctypes", "fcntl", "http", "io", "logging", "mmap",
    "multiprocessing", "os", "pathlib", "platform", "queue", "select", "selectors", "shutil",
    "signal", "socket", "socketserver", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
    "urllib.request",
    # clocks
    "sched", "time",
    # randomness, and what depends on memory addresses or the collector
    "gc", "random", "secrets", "uuid", "weakref",
}  # fmt: skip
IMPURE_CALLS = {
    "open": "ask for an effect",
    "input": "take an argument",
    "print": "return a fact",
    "hash": "use a checksum: hash() differs between processes",
    "id": "use an identifier: id() is a memory address",
}
LAZY_PACKAGES = {"cli"}  # a command's module is imported when that command is run
CLOCK_CALLS = ("datetime.now", "datetime.utcnow", "datetime.today", "date.today")

SELF_WRITING_PACKAGES = {
    "base", "wire", "paxos", "machine", "kv", "sessions", "catalog", "configentries", "events",
    "node", "serving", "runtime", "gateways", "httpserver", "net", "balancing", "monitoring",
}  # fmt: skip
WRITES_OTHERS = {
    # a request, its connection and what that holds are one record: methods would cost every answer
    "httpserver/connection.py",
    "gateways/http/routes.py",  # who counts the answer, once per request: likewise
    "httpserver/traffic.py",  # `Histogram.observe` written out, once per request
    "gateways/http/archive.py",  # tarfile's TarInfo is made by its attributes
    "runtime/probes/targets.py",  # so is a context of ssl
}

TRANSLATING_PACKAGES = {"gateways", "sim"}  # what they have clients for goes through serving
DECIDED_IN_SERVING = {"needs_renewal", "SessionRenew", "Watches"}
WAITING = {"sim/backend.py"}  # fills the port

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 500
BINARY_BYTES_MAX = 64 * 1024
FILE_BYTES_MAX = 1024 * 1024
LEFTOVER = re.compile(
    r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b"
)

# Whoever consumes a set through these cannot see its order.
ORDER_FREE = {"sorted", "set", "frozenset", "len", "min", "max", "any", "all", "sum"}
ORDERED_COPIES = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "dict"}


class Module(NamedTuple):
    """One source file, parsed."""

    package: str
    path: str
    text: str
    tree: ast.Module


Rule = Callable[[Module], list[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def parsed(package: str, path: str, text: str) -> Module:
    return Module(package, path, text, ast.parse(text))


def modules() -> Iterator[Module]:
    """Every module of the package; the root package itself belongs to the package ''."""
    for path in sorted(SOURCE.rglob("*.py")):
        inside = path.relative_to(SOURCE)
        package = inside.parts[0] if len(inside.parts) > 1 else inside.stem
        package = package if len(inside.parts) > 1 or package in LAYER_OF else ""
        yield parsed(package, f"src/quorate/{inside}", path.read_text())


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all imports, wherever they hide."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module or ''}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def functions(tree: ast.AST) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def called_name(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


# --- the rules --------------------------------------------------------------------------------


def imports_go_down(module: Module) -> list[str]:
    """Never up, never sideways; and every package has a layer."""
    if module.package == "":
        return []  # the root only re-exports; test_exports watches that it stays light
    if module.package not in LAYER_OF:
        return [f"{module.path}: package {module.package!r} has no layer"]
    offences: list[str] = []
    for line, name in imports(module.tree):
        if not name.startswith("quorate."):
            continue
        other = name.split(".")[1]
        if other == module.package or other not in LAYER_OF:
            continue
        if LAYER_OF[other] >= LAYER_OF[module.package]:
            offences.append(f"{module.path}:{line}: {module.package} may not know {other}")
    return offences


def pure_packages_import_nothing_impure(module: Module) -> list[str]:
    """No I/O, clock, randomness or thread, and one library."""
    if module.package not in PURE_PACKAGES:
        return []
    allowed = PURE_THIRD_PARTY | THIRD_PARTY_OF_PACKAGE.get(module.package, set()) | {"quorate"}
    offences: list[str] = []
    for line, name in imports(module.tree):
        top = name.split(".")[0]
        impure = any(name == bad or name.startswith(f"{bad}.") for bad in IMPURE_MODULES)
        if impure or (top not in sys.stdlib_module_names and top not in allowed):
            offences.append(f"{module.path}:{line}: {name} in a pure package; use a port or effect")
    return offences


def pure_packages_call_nothing_impure(module: Module) -> list[str]:
    """The built-in functions that reach outside, or differ from run to run."""
    if module.package not in PURE_PACKAGES:
        return []
    offences: list[str] = []
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        name = called_name(node)
        if name in IMPURE_CALLS:
            offences.append(f"{module.path}:{node.lineno}: {name}(); {IMPURE_CALLS[name]}")
        elif ast.unparse(node.func).endswith(CLOCK_CALLS):
            offences.append(f"{module.path}:{node.lineno}: reads a clock; take now_s")
    return offences


def no_import_hides(module: Module) -> list[str]:
    """A cycle that has to be hidden is a type in the wrong package."""
    offences = [
        f"{module.path}: {name}; move the type to the package where it belongs"
        for name in ("TYPE_" + "CHECKING",)
        if name in module.text
    ]
    if module.package not in LAZY_PACKAGES:
        for function in functions(module.tree):
            offences += [
                f"{module.path}:{line}: {name} imported inside {function.name}"
                for line, name in imports(function)
            ]
    return offences


def files_and_functions_stay_short(module: Module) -> list[str]:
    """The state machine's file is the one that grows; cut it by role."""
    lines = len(module.text.splitlines())
    offences = [f"{module.path}: {lines} lines"] if lines > FILE_LINES_MAX else []
    for function in functions(module.tree):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        if length > FUNCTION_LINES_MAX:
            offences.append(f"{module.path}:{function.lineno}: {function.name}, {length} lines")
    return offences


def public_names_have_docstrings(module: Module) -> list[str]:
    """Modules, and the classes, functions and methods that others may call."""
    offences = [] if ast.get_docstring(module.tree) else [f"{module.path}: no docstring"]
    bodies: list[tuple[str, list[ast.stmt]]] = [("", module.tree.body)]
    while bodies:
        prefix, body = bodies.pop()
        for node in body:
            if not isinstance(node, ast.ClassDef | Function) or node.name.startswith("_"):
                continue
            if isinstance(node, ast.ClassDef):
                bodies.append((f"{prefix}{node.name}.", node.body))
            elif {"overload", "override", "setter"} & set(decorators(node)):
                continue
            if not ast.get_docstring(node):
                offences.append(f"{module.path}:{node.lineno}: {prefix}{node.name}: no docstring")
    return offences


def decorators(function: Function) -> Iterator[str]:
    for node in function.decorator_list:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def nothing_is_left_over(module: Module) -> list[str]:
    """What is to be done is written where work is planned, not in the source."""
    return [
        f"{module.path}:{number}: {line.strip()}"
        for number, line in enumerate(module.text.splitlines(), 1)
        if LEFTOVER.search(line)
    ]


def no_assert_in_source(module: Module) -> list[str]:
    """`python -O` removes assertions; a safety check must survive it."""
    return [
        f"{module.path}:{node.lineno}: assert; use invariant()"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]


def no_module_writes_attributes_of_others(module: Module) -> list[str]:
    """An object's attributes change by its own methods, which say why.

    Spared is a record that is written where it is defined: a field of a Struct of this module.
    """
    is_exempt = module.path.removeprefix("src/quorate/") in WRITES_OTHERS
    if module.package not in SELF_WRITING_PACKAGES or is_exempt:
        return []
    return list(writes_to_others(module))


def writes_to_others(module: Module) -> Iterator[str]:
    """Whatever is stored to, or deleted, in an object that is not `self`."""
    fields = set(record_fields(module.tree))
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
            continue
        is_own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        if not is_own and node.attr not in fields:
            yield (
                f"{module.path}:{node.lineno} writes .{node.attr} of another object: give that "
                "one a method that says why, or pass it in"
            )


def record_fields(tree: ast.Module) -> Iterator[str]:
    """The fields of the Structs that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(base) in ("msgspec.Struct", "Struct") for base in node.bases
        ):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    yield line.target.id


def no_set_is_iterated_in_pure_packages(module: Module) -> list[str]:
    """The order of a set of strings differs from process to process; sort it first."""
    if module.package not in PURE_PACKAGES:
        return []
    offences: list[str] = []
    for scope, sets in scopes(module.tree):
        offences += [
            f"{module.path}:{node.lineno}: iterates a set; use sorted() or a dict"
            for node in ordered_uses(scope)
            if is_set(node, sets)
        ]
    return sorted(set(offences))


def scopes(tree: ast.Module) -> Iterator[tuple[ast.AST, set[str]]]:
    """Each function, and the module, with the names known there to be sets."""
    attributes = {
        name for name in sets_named_in(tree, inside_functions=True) if name.startswith("self.")
    }
    shared = sets_named_in(tree, inside_functions=False) | attributes
    yield tree, shared
    for function in functions(tree):
        yield function, shared | sets_named_in(function, inside_functions=True)


def sets_named_in(tree: ast.AST, *, inside_functions: bool) -> set[str]:
    """Names bound or annotated as sets. A guess: the types themselves are not looked up."""
    found: set[str] = set()
    nodes = ast.walk(tree) if inside_functions else walk_outside_functions(tree)
    for node in nodes:
        if isinstance(node, ast.AnnAssign) and is_set_annotation(node.annotation):
            found.add(ast.unparse(node.target))
        elif isinstance(node, ast.arg) and node.annotation and is_set_annotation(node.annotation):
            found.add(node.arg)
        elif isinstance(node, ast.Assign) and is_set(node.value, found):
            found |= {ast.unparse(target) for target in node.targets}
    return found


def walk_outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += [
            child for child in ast.iter_child_nodes(node) if not isinstance(child, Function)
        ]


def is_set_annotation(node: ast.expr) -> bool:
    name = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(name, ast.Name) and name.id in {"set", "frozenset", "AbstractSet"}


def is_set(node: ast.expr, known: set[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp) or called_name(node) in {"set", "frozenset"}:
        return True
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub):
        return is_set(node.left, known) or is_set(node.right, known)
    return isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in known


def ordered_uses(tree: ast.AST) -> Iterator[ast.expr]:
    """Every expression whose order of elements can be seen by what comes after."""
    free = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called_name(node) in ORDER_FREE
        for argument in node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            yield node.iter
        elif isinstance(node, ast.ListComp | ast.DictComp | ast.GeneratorExp):
            if id(node) not in free:
                yield from (generator.iter for generator in node.generators)
        elif isinstance(node, ast.Call) and id(node) not in free:
            joins = isinstance(node.func, ast.Attribute) and node.func.attr == "join"
            if joins or called_name(node) in ORDERED_COPIES:
                yield from node.args
        elif isinstance(node, ast.Starred):
            yield node.value


def only_serving_waits(module: Module) -> list[str]:
    """How requests are carried out is there once: others translate, or fill its ports."""
    if (
        module.package not in TRANSLATING_PACKAGES
        or module.path.removeprefix("src/quorate/") in WAITING
    ):
        return []
    offences = [
        f"{module.path}:{line} imports {name}: serving decides that"
        for line, name in imports(module.tree)
        if name.rpartition(".")[2] in DECIDED_IN_SERVING
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_wait = node.func.attr in {"watch", "unwatch"}
            offences += [f"{module.path}:{node.lineno} watches: serving waits"] * is_wait
    return offences


RULES: tuple[Rule, ...] = (
    only_serving_waits,
    imports_go_down,
    pure_packages_import_nothing_impure,
    pure_packages_call_nothing_impure,
    no_import_hides,
    files_and_functions_stay_short,
    public_names_have_docstrings,
    nothing_is_left_over,
    no_assert_in_source,
    no_module_writes_attributes_of_others,
    no_set_is_iterated_in_pure_packages,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Rule) -> None:
    assert [offence for module in modules() for offence in rule(module)] == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks", "examples"])
def test_nothing_is_left_over_beside_the_source(folder: str) -> None:
    for path in sorted((REPOSITORY / folder).rglob("*.py")):
        assert nothing_is_left_over(parsed("", str(path), path.read_text())) == []


def test_every_module_that_may_write_to_others_does() -> None:
    writing = {
        module.path.removeprefix("src/quorate/")
        for module in modules()
        if any(writes_to_others(module))
    }
    assert writing >= WRITES_OTHERS


@pytest.mark.parametrize("package", sorted(TRANSLATING_PACKAGES))
@pytest.mark.parametrize("name", ["reads", "renewals", "serving.Serving"])
def test_what_ships_is_what_is_simulated(package: str, name: str) -> None:
    """Both carry out what clients ask by the same code, and nothing else is exempt from that."""
    imported = {
        found
        for module in modules()
        if module.package == package
        for _, found in imports(module.tree)
    }
    assert f"quorate.serving.{name}" in imported


# --- rules about more than one file -----------------------------------------------------------


def repository_files() -> list[Path]:
    """What git keeps; empty outside a checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False, text=True
    )
    found = (REPOSITORY / name for name in listing.stdout.split("\0") if name)
    return [path for path in found if path.is_file()]


def too_large(name: str, content: bytes) -> list[str]:
    """Large data belongs beside the repository, not in its history for ever."""
    limit = BINARY_BYTES_MAX if b"\0" in content[:8192] else FILE_BYTES_MAX
    return [f"{name}: {len(content)} bytes, at most {limit}"] if len(content) > limit else []


def test_the_repository_holds_no_large_files() -> None:
    offences = [o for path in repository_files() for o in too_large(str(path), path.read_bytes())]
    assert offences == []


CLIENT_MAY_KNOW = {"base", "balancing"}


def packages_missing_in_contracts(packages: set[str], settings: dict[str, Any]) -> list[str]:
    """import-linter cannot name a package that does not exist yet; this test says when."""
    contracts = {
        contract["source_modules"][0]: contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "forbidden"
    }
    named_pure = contracts["quorate.base"]["source_modules"]
    named_server = contracts["quorate.client"]["forbidden_modules"]
    offences: list[str] = []
    for package in packages & PURE_PACKAGES:
        if f"quorate.{package}" not in named_pure:
            offences.append(f"{package}: not in the contract of the pure")
        if f"quorate.{package}" not in named_server and package not in CLIENT_MAY_KNOW:
            offences.append(f"{package}: not in the contract of the client")
    return sorted(offences)


def settings() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_every_package_is_named_in_the_import_contracts() -> None:
    packages = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert packages_missing_in_contracts(packages, settings()) == []


# --- rules by label ---------------------------------------------------------------------------

DEFINED = re.compile(r"^(?:\* \*\*)?([A-Z]{3}-\d+)(?:: |\*\* )", re.MULTILINE)
CITED = re.compile(r"\b[A-Z]{3}-\d+\b")
OLD_LABEL = re.compile(r"^[A-Z]{1,2}\d+: ", re.MULTILINE)
RULES_BY_PAGE = ("docs/protocol/log.md",)
"""Pages that define rules of their own, beside the docstrings of modules."""
NO_RULES = (
    "ADR",
    "CRC",
    "SHA",
    "MIT",
    "BSD",
    "UTF",
    "RFC",
    "ISO",
    "AES",
    "TLS",
    "CVE",
    "PEP",
    "SSH",
)
GENERATED = "src/quorate/client/sync/"
"""Made from `client/aio`, so it repeats what stands there."""


class Text(NamedTuple):
    """One file that may define rules, or cite them."""

    path: str
    text: str


def docstring_of(path: str, text: str) -> str:
    """Where a module of the source names its rules; empty for other files."""
    is_source = path.startswith("src/") and path.endswith(".py")
    is_written = is_source and not path.startswith(GENERATED)
    return text.split('"""')[1] if is_written and text.startswith('"""') else ""


def defined_labels(texts: list[Text]) -> dict[str, list[str]]:
    """Each label, with the files that define it."""
    found: dict[str, list[str]] = {}
    for path, text in texts:
        defining = text if path in RULES_BY_PAGE else docstring_of(path, text)
        for label in DEFINED.findall(defining):
            found.setdefault(label, []).append(path)
    return found


def labels_at_odds(texts: list[Text]) -> list[str]:
    """Labels that two places define, that are cited and defined nowhere, and of the old form."""
    defined = defined_labels(texts)
    # a page may say again what a module says
    twice = {
        label: [path for path in paths if path.startswith("src/")] or paths
        for label, paths in defined.items()
    }
    offences = [
        f"{label}: defined in {', '.join(paths)}"
        for label, paths in twice.items()
        if len(paths) > 1
    ]
    for path, text in texts:
        offences += [
            f"{path}: {label} is defined nowhere"
            for label in sorted(set(CITED.findall(text)) - defined.keys())
            if not label.startswith(NO_RULES)
        ]
        old_labels = OLD_LABEL.findall(docstring_of(path, text))
        offences += [f"{path}: {old}write it as AAA-1" for old in old_labels]
    return offences


def labels_not_listed(page: str, texts: list[Text]) -> list[str]:
    """What the list of labels does not say, or says otherwise than the modules."""
    rows = re.findall(r"^\| ([A-Z]{3})-(\d+)(?:-\1-(\d+))? \|[^|]*\| `([^`]+)`", page, re.MULTILINE)
    listed = {
        (f"{name}-{number}", file)
        for name, first, last, file in rows
        for number in range(int(first), int(last or first) + 1)
    }
    real = {
        (label, path.removeprefix("src/quorate/"))
        for label, paths in defined_labels(texts).items()
        for path in ([each for each in paths if each.startswith("src/")] or paths)
    }
    return sorted(f"{label}: `{file}`" for label, file in listed ^ real)


def texts_with_labels() -> list[Text]:
    """Sources, tests and pages; not what tests plant."""
    return [
        Text(name, path.read_text())
        for path in repository_files()
        if (name := str(path.relative_to(REPOSITORY))).startswith(("src/", "tests/", "docs/"))
        and path.suffix in (".py", ".md", ".txt", ".patch")
        and "/data/" not in name
        and not name.startswith(("tests/test_tidy", "tests/compat/"))
    ]


def test_each_label_of_a_rule_is_defined_once_and_each_cited_one_is() -> None:
    texts = texts_with_labels()
    assert labels_at_odds(texts) == []
    assert len(defined_labels(texts)) > 100


def test_the_list_of_labels_says_which_module_defines_each() -> None:
    page = (REPOSITORY / "docs/protocol/rules.md").read_text()
    assert labels_not_listed(page, texts_with_labels()) == []


# --- names of classes -------------------------------------------------------------------------


def class_names_used_twice(found: list[Module]) -> list[str]:
    """Classes that share a name, wherever in the source they are.

    A name stands for one thing: whoever reads it, searches for it or finds it in a traceback need
    not ask which of two is meant. A class that fills a Protocol is another thing than the Protocol.
    """
    places: dict[str, list[str]] = {}
    for module in found:
        if module.path.startswith(GENERATED):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(f"{module.path}:{node.lineno}")
    return [
        f"{name}: {', '.join(where)}; give the less public one a more exact name"
        for name, where in sorted(places.items())
        if len(where) > 1
    ]


def test_each_class_has_a_name_of_its_own() -> None:
    assert class_names_used_twice(list(modules())) == []
