"""What a user can type, call or meet is documented; and the documents hold together."""

import codeop
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import pytest
from msgspec.structs import asdict

from quorate.agent.keys import KEYS, ValueKind
from quorate.base import errors
from quorate.base.config import ClusterConfig, Limits, Timing
from quorate.base.numbers import TAGS
from quorate.cli.commands import NOUNS, CliCommand, CommandGroup, load
from quorate.gateways.http.routes import ROUTES
from quorate.node.settings import FIXED

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"

ADR_SECTIONS = [
    "Status", "Context", "Options", "Decision", "Consequences", "How it is checked",
]  # fmt: skip
ADR_LINES_MAX = 60
README_WORDS_MAX = 600
SCREENS_MAX, SCREEN_LINES, SCREEN_COLUMNS = 3, 60, 100


# --- errors -----------------------------------------------------------------------------------


def error_classes(root: type[errors.QuorateError]) -> Iterator[type[errors.QuorateError]]:
    for error in root.__subclasses__():
        if error.__module__ == errors.__name__:
            yield error
            yield from error_classes(error)


def test_every_error_code_is_documented_with_its_class_and_definiteness() -> None:
    """Rows of docs/api/errors.md: | `code` | `Class` | definite or INDEFINITE | meaning |."""
    row = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (definite|INDEFINITE) \| \S", re.MULTILINE)
    documented = sorted(row.findall((DOCS / "api/errors.md").read_text()))
    real = sorted(
        (code, error.__name__, "definite" if error.definite else "INDEFINITE")
        for error in error_classes(errors.QuorateError)
        for code in error.codes
    )
    assert documented == real


# --- rules ------------------------------------------------------------------------------------


def ranges(page: str) -> dict[str, str]:
    """Rows of docs/protocol/paxos.md: | ACC-1-ACC-5 | promises | `paxos/acceptor.py` |."""
    return {
        file: rules
        for rules, file in re.findall(r"^\| (\S+) \| [^|]+ \| `(\w+/\w+\.py)`", page, re.MULTILINE)
    }


def test_every_cluster_setting_is_documented_with_its_default_and_what_changes_it() -> None:
    """Rows of docs/operating/agent.md: | `key` | default | meaning | when it may change |."""
    changed = r"(never|all nodes stopped)"
    row = re.compile(rf"^\| `(\w+)` \| (\d+)[^|]*\| [^|]+ \| {changed} \|$", re.MULTILINE)
    documented = sorted(row.findall((DOCS / "operating/agent.md").read_text()))
    real = sorted(
        (name, str(value), "never" if name in FIXED else "all nodes stopped")
        for name, value in asdict(ClusterConfig()).items()
    )
    assert documented == real


def test_every_timing_and_limit_is_documented_with_its_default() -> None:
    """Rows of docs/operating/agent.md: | `timing.key` | default | meaning |."""
    row = re.compile(r"^\| `((?:timing|limits)\.\w+)` \| ([\d.]+) \| [^|]+ \|$", re.MULTILINE)
    documented = sorted(row.findall((DOCS / "operating/agent.md").read_text()))
    real = sorted(
        (f"{block}.{name}", str(value))
        for block, values in {"timing": Timing(), "limits": Limits()}.items()
        for name, value in asdict(values).items()
    )
    assert documented == real


def test_every_configuration_key_that_does_something_is_documented() -> None:
    """A key of a block may be written without the block, as in a table of its keys."""
    pages = "".join(page.read_text() for page in DOCS.glob("[ao]p*/*.md"))
    written = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`?[`= ]", pages))
    used = {
        name for name, key in KEYS.items() if key.kind not in (ValueKind.UNUSED, ValueKind.GUARDED)
    }
    assert {name for name in used if not {name, *tails(name)} & written} == set()


def tails(key: str) -> Iterator[str]:
    """Of `a.b.c`: `b.c` and `c`."""
    while "." in key:
        key = key.partition(".")[2]
        yield key


def named_rules(module: str) -> str:
    """The same of the docstring in which a module names its rules, such as "ACC-1: …"."""
    rules = re.findall(r"^([A-Z]{3}-\d+): ", module.split('"""')[1], re.MULTILINE)
    return "-".join(dict.fromkeys((rules[0], rules[-1]))) if rules else ""


def test_the_page_on_the_protocol_lists_all_rules_of_each_module() -> None:
    listed = ranges((DOCS / "protocol/paxos.md").read_text())
    real = {file: (REPOSITORY / "src/quorate" / file).read_text() for file in listed}
    assert listed == {file: named_rules(module) for file, module in real.items()}
    assert len(listed) > 20


# --- routes and commands ----------------------------------------------------------------------


def test_every_http_route_is_documented() -> None:
    page = (DOCS / "api/consul.md").read_text()
    assert [route.pattern for route in ROUTES if f"`{route.pattern}`" not in page] == []


def sections(text: str) -> dict[str, str]:
    """What stands below each heading that names a command, such as "## `quorate kv get`"."""
    parts = re.split(r"^#+ `(quorate[^`]*)`.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(apps: Iterable[CliCommand | CommandGroup]) -> Iterator[tuple[str, list[str]]]:
    """(path, flags) of every command, groups opened."""
    for app in apps:
        for each in app.commands.values() if isinstance(app, CommandGroup) else [app]:
            yield f"quorate {each.path}", [flag.spelled.split()[0] for flag in each.shown]


SHARED = re.compile(r"^## Flags of every client command\n(.*?)^## ", re.MULTILINE | re.DOTALL)
ALSO = "Also the [flags of every client command](#flags-of-every-client-command)."


def undocumented(apps: Iterable[CliCommand | CommandGroup], page: str) -> list[str]:
    """Commands without a section, and flags that their section does not mention."""
    shared = "".join(SHARED.findall(page)).replace("`-", "`--")
    found = {path: text.replace(ALSO, shared) for path, text in sections(page).items()}
    missing: list[str] = []
    for path, flags in commands(apps):
        if path not in found:
            missing.append(path)
        else:
            missing += [f"{path} {flag}" for flag in flags if f"`{flag}" not in found[path]]
    return missing


def test_every_command_and_flag_is_documented() -> None:
    assert undocumented(map(load, NOUNS), (DOCS / "cli.md").read_text()) == []


def test_a_command_or_flag_that_no_page_mentions_is_seen() -> None:
    def put(*key: str, flags: Annotated[int, "64 bits."] = 0) -> None: ...

    def get(*key: str, raw: Annotated[bool, "As it is."] = False) -> None: ...

    apps = [CommandGroup("kv", CliCommand("kv get", get, "KEY"), CliCommand("kv put", put, "KEY"))]
    page = "# CLI\n\n## `quorate kv put`\n\nwith `--flags N`\n\n## `quorate kv get`\n\nnothing\n"

    assert undocumented(apps, page) == ["quorate kv get --raw"]
    assert undocumented(apps, "# CLI\n") == ["quorate kv get", "quorate kv put"]
    shared = f"## Flags of every client command\n\n`-raw`\n\n{page}".replace("nothing", ALSO)
    assert undocumented(apps, shared) == []


# --- examples that are pasted into a prompt ---------------------------------------------------


def unpastable(text: str) -> list[str]:
    """What Python's prompt refuses of the examples, a line at a time, as it is pasted.

    Unlike a file, a prompt wants an empty line after a block before the next statement.
    """
    faults: list[str] = []
    for example in re.findall(
        r"^```python\n(?!# \w+\.py)(.*?)^```", text, re.MULTILINE | re.DOTALL
    ):
        begun: list[str] = []
        for line in [*example.splitlines(), ""]:
            begun.append(line)
            try:
                if codeop.compile_command("\n".join(begun)) is not None:
                    begun = []
            except SyntaxError as error:
                faults.append(f"{line}: {error.msg}")
                break
    return faults


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_examples_can_be_pasted_into_a_prompt(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    assert "```python" in text
    assert unpastable(text) == []


def test_an_example_that_a_prompt_refuses_is_seen() -> None:
    block = "```python\nwith a:\n    b()\n%sc()\n```\n"
    assert unpastable(block % "") == ["c(): invalid syntax"]
    assert unpastable(block % "\n") == []


# --- documents among themselves ---------------------------------------------------------------


def pages() -> list[Path]:
    """Every Markdown file of the repository, without hidden and built folders."""
    return sorted(
        path
        for path in REPOSITORY.rglob("*.md")
        if not any(
            part.startswith(".") or part in {"node_modules", "build", "dist"}
            for part in path.relative_to(REPOSITORY).parts
        )
    )


def prose(text: str) -> str:
    """The text without code, in which brackets mean other things."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The names that headings get on the usual code hosts."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Links to files and headings that are not there; links to other sites are not looked at."""
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(f"{page}: {link}")
    return broken


def test_every_link_between_files_resolves() -> None:
    assert [link for page in pages() for link in broken_links(page, page.read_text())] == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A B\n")
    text = "[a](a.md) [b](b.md) [h](a.md#a-b) [i](#none) [w](https://x.org) `[c](c.md)`"
    assert broken_links(page, text) == [f"{page}: b.md", f"{page}: #none"]


def adrs() -> list[Path]:
    return sorted((DOCS / "adr").glob("[0-9]*.md"))


def adr_faults(text: str) -> list[str]:
    faults: list[str] = []
    if re.findall(r"^## (.+)$", text, re.MULTILINE) != ADR_SECTIONS:
        faults.append(f"sections are not {ADR_SECTIONS}")
    if len(text.splitlines()) > ADR_LINES_MAX:
        faults.append(f"more than {ADR_LINES_MAX} lines")
    if re.search(r"^## .+\n+(##|\Z)", text, re.MULTILINE):
        faults.append("an empty section")
    return faults


@pytest.mark.parametrize("path", adrs(), ids=lambda path: path.stem)
def test_a_decision_record_is_complete_and_short(path: Path) -> None:
    assert adr_faults(path.read_text()) == []


def test_decision_records_are_numbered_without_gaps_and_listed() -> None:
    numbers = [int(path.name[:4]) for path in adrs()]
    index = (DOCS / "adr/README.md").read_text()
    assert numbers == list(range(1, len(numbers) + 1))
    assert [path.name for path in adrs() if f"({path.name})" not in index] == []


def test_an_incomplete_decision_record_is_seen() -> None:
    whole = "".join(f"## {section}\n\ntext\n\n" for section in ADR_SECTIONS)
    assert adr_faults(whole) == []
    assert adr_faults(whole.replace("## Options", "## Choices"))
    assert adr_faults(whole + "text\n" * ADR_LINES_MAX)
    assert adr_faults(whole.replace("## Context\n\ntext", "## Context\n"))


def test_the_readme_is_short() -> None:
    assert len(prose((REPOSITORY / "README.md").read_text()).split()) <= README_WORDS_MAX


PILLARS = {
    "registry": "catalog",
    "tasks": "tasks",
    "objects": "objects",
    "access control": "acl",
}
"""What is to come, and the domain that will have its rows."""


def screens(page: str) -> float:
    """How many screens a page takes; a line that is too long for one line takes several."""
    lines = sum(max(1, -(-len(line) // SCREEN_COLUMNS)) for line in page.splitlines())
    return lines / SCREEN_LINES


def packages() -> set[str]:
    """All that are, and those to come that the import contract names."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]
    return set(re.findall(r"\w+", " ".join(contract["layers"])))


def test_the_architecture_fits_three_screens() -> None:
    assert screens((REPOSITORY / "ARCHITECTURE.md").read_text()) <= SCREENS_MAX


def test_the_architecture_says_where_each_coming_pillar_will_live() -> None:
    page = (REPOSITORY / "ARCHITECTURE.md").read_text()
    places = dict(re.findall(r"^\| (\w[\w ]*\w)[^|]*\|(.*)\|$", page, re.MULTILINE))
    for pillar, domain in PILLARS.items():
        named = re.findall(r"`(\w+)`", places[pillar])
        assert named[0] == domain
        assert len(named) >= 3  # who has the rows, who decides, who acts
        assert {name for name in named if name.islower()} <= packages()
    assert set(PILLARS.values()) <= TAGS.keys()  # their commands have numbers


def test_a_page_of_long_lines_takes_more_screens() -> None:
    assert screens("x\n" * 120) == 2
    assert screens(("x" * 101 + "\n") * 60) == 2
