"""What texts cite in backticks: which of it must exist, and whether it does.

Looked at are docstrings of the source, the tests and the scripts, and the Markdown pages. A span is
judged by its form; what has none of these forms (values, sentences, requests) is not looked at.

| Form | Must be |
|---|---|
| path | of the repository, from its root, the package or the page; `*` stands for anything |
| dotted name | a module of the package, with or without `quorate.`, or a name in one |
| Name, Name.part | a class or constant of the source, and a member of it |
| words joined by `_` | an identifier of the source, or a word in one of its strings |
| make and words | targets of the Makefile |

The changelog tells of the past, and code blocks are run by other tests.
"""

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

SPAN = re.compile(r"(?<![`\w])`([^`\n]+)`(?!`)")
PATH = re.compile(r"^(?:\.{1,2}/)?[\w.*<>…{},-]+(?:/[\w.*<>…{},-]+)*/?(?:::\w+)?$")
SUFFIXES = (".py", ".md", ".toml", ".txt", ".json", ".patch", ".lock", ".pyi", ".yaml", ".sh")
DOTTED = re.compile(r"^[a-z_][a-z_0-9]*(?:\.[A-Za-z_]\w*)+(?:\(\))?$")
NAME = re.compile(r"^[A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*(?:\.[a-z_]\w*)*(?:\(\))?$")
CONSTANT = re.compile(r"^[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+$")
SNAKE = re.compile(r"^_?[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?:\(\))?$")
MAKE = re.compile(r"^make((?: [a-z]+)+)(?: [A-Z]+=\S+)?$")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

ABOUT_TESTS = ("testing.md", "CONTRIBUTING.md")
METRICS = ("quorate_", "process_", "python_")

FOREIGN = frozenset({"Class", "M05b", "Stddev", "commit_delay"})
"""Examples, and names of others: what Consul's metrics have, a setting of PostgreSQL."""


class Citation(NamedTuple):
    """Something in backticks, and where it stands."""

    where: str
    text: str


class Repository:
    """A repository and the names in it.

    Args:
        root: Where it is.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def sources(self, *folders: str) -> Iterator[Path]:
        """The Python files of some folders."""
        for folder in folders:
            yield from sorted((self.root / folder).rglob("*.py"))

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """The modules of the package, by dotted name."""
        found: dict[str, ast.Module] = {}
        for path in self.sources("src"):
            parts = path.relative_to(self.root / "src").with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = _parsed(path)
        return found

    @cached_property
    def members(self) -> dict[str, set[str]]:
        """What each class of the source has, bases not looked up; by the class's name."""
        found: dict[str, set[str]] = {}
        for tree in self.modules.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, set()).update(_bound(node))
        return found

    @cached_property
    def words(self) -> set[str]:
        """Every identifier of the source, and every word of a string that is no docstring."""
        return self._words("src", "scripts", "benchmarks", "examples")

    @cached_property
    def words_of_tests(self) -> set[str]:
        """The same of the tests, which may cite each other."""
        return self._words("tests") | {path.stem for path in self.sources("tests")}

    def _words(self, *folders: str) -> set[str]:
        found: set[str] = set(dir(builtins)) | set(sys.stdlib_module_names)
        for path in self.sources(*folders):
            tree = _parsed(path)
            docstrings = {id(node) for node in _docstring_nodes(tree)}
            for node in ast.walk(tree):
                found.update(_words(node, docstrings))
        return found

    @cached_property
    def targets(self) -> set[str]:
        """The targets of the Makefile."""
        text = (self.root / "Makefile").read_text()
        return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))

    def missing(self, text: str, page: Path) -> bool:
        """Whether a span has a form that must exist, and does not."""
        bare = text.removesuffix("()")
        result = False
        if text in FOREIGN or text.startswith(METRICS):
            pass  # metrics are made of parts: tests/test_deploy.py holds them against a node
        elif match := MAKE.match(text):
            result = not set(match[1].split()) <= self.targets
        elif PATH.match(text) and ("/" in text or text.endswith(SUFFIXES)):
            result = self._is_no_path(text, page)
        elif NAME.match(text):
            result = not self._has_name(bare, self._words_for(page))
        elif DOTTED.match(text):
            result = self._is_no_module(bare)
        elif SNAKE.match(text) or CONSTANT.match(text):
            result = bare not in self._words_for(page)
        return result

    def _words_for(self, page: Path) -> set[str]:
        about_tests = page.is_relative_to(self.root / "tests") or page.name in ABOUT_TESTS
        return self.words | self.words_of_tests if about_tests else self.words

    def _has_name(self, text: str, words: set[str]) -> bool:
        name, *parts = text.split(".")
        if name not in words:
            return False
        return not parts or parts[0] in self.members.get(name, words) | self.words

    def _is_no_path(self, text: str, page: Path) -> bool:
        if text.startswith("."):
            return False  # the ending of a name
        pattern = re.sub(r"<[^>]*>|…", "*", text.partition("::")[0].rstrip("/"))
        roots = (self.root, page.parent, self.root / "src/quorate", self.root / "tests")
        if any(any(root.glob(one)) for root in roots for one in (pattern, f"{pattern}.py")):
            return False
        known = {path.name for root in roots[:1] for path in root.iterdir()}
        packages = {path.name for path in (self.root / "src/quorate").iterdir()}
        return text.partition("/")[0] in known | packages or text.endswith(
            (".py", ".md", ".toml", ".patch")
        )

    def _is_no_module(self, text: str) -> bool:
        parts = text.removeprefix("quorate.").split(".")
        packages = {name.split(".")[1] for name in self.modules if name.count(".")}
        if not text.startswith("quorate.") and parts[0] not in packages:
            return False  # an attribute of something, or another library's
        for length in range(len(parts), 0, -1):
            module = ".".join(("quorate", *parts[:length]))
            if module in self.modules:
                rest = parts[length:]
                return bool(rest) and not self._defines(module, rest)
        return not set(parts) <= self.words  # a key of the configuration, an attribute

    def _defines(self, module: str, rest: list[str]) -> bool:
        names = [name for name in self.modules if name == module or name.startswith(f"{module}.")]
        defined = {one for name in names for one in _bound(self.modules[name])}
        return rest[0] in defined and (len(rest) == 1 or rest[1] in self.words)


def citations(repository: Repository) -> Iterator[tuple[Citation, Path]]:
    """All spans of docstrings and pages, with the file each is in."""
    for path in repository.sources("src", "tests", "scripts", "benchmarks", "examples"):
        for node in _docstring_nodes(_parsed(path)):
            for text in SPAN.findall(str(node.value)):
                yield Citation(f"{path.relative_to(repository.root)}:{node.lineno}", text), path
    for path in pages(repository.root):
        prose = re.sub(
            r"```.*?```", lambda m: "\n" * m[0].count("\n"), path.read_text(), flags=re.DOTALL
        )
        for number, line in enumerate(prose.splitlines(), 1):
            for text in SPAN.findall(line):
                yield Citation(f"{path.relative_to(repository.root)}:{number}", text), path


def pages(root: Path) -> list[Path]:
    """The Markdown pages that speak of what is there now: not the changelog."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "deploy").rglob("*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def _docstring_nodes(tree: ast.AST) -> Iterator[ast.Constant]:
    """Docstrings, those below an assignment too."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str()) as text):
                yield text
            case _:
                pass


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _bound(scope: ast.AST) -> Iterator[str]:
    """Names that a module or class binds, and attributes that its methods set."""
    for node in ast.walk(scope):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).rpartition(".")[2]


def _words(node: ast.AST, docstrings: set[int]) -> Iterator[str]:
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Name():
            yield node.id
        case ast.Attribute():
            yield node.attr
        case ast.arg():
            yield node.arg
        case ast.keyword() if node.arg:
            yield node.arg
        case ast.alias():
            yield from node.name.split(".")
            yield node.asname or ""
        case ast.Constant(value=str() as text) if id(node) not in docstrings:
            yield from WORD.findall(text)
            yield text.replace(" ", "_")
        case ast.Constant(value=bytes() as data):
            yield from WORD.findall(data.decode("latin-1"))
        case _:
            pass
