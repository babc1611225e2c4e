"""Packaging: a plain install is the client; what else there is needs the extra `server`."""

import ast
import re
import subprocess
import sys
import tarfile
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.unit.client.fakes import Store, nodes_in_thread

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "src/quorate"

MODULE_OF = {
    "dnspython": "dns",
    "google-crc32c": "google_crc32c",
    "google-re2": "re2",
    "prometheus-client": "prometheus_client",
}
"""Modules that are not called as their distributions are."""

NOT_DECLARED = {"pytest"}
"""What whoever loads the module has: the plugin is loaded by pytest."""


def project() -> dict[str, Any]:
    settings: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return settings


def modules(requirements: list[str]) -> set[str]:
    names = {re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0] for one in requirements}
    return {MODULE_OF.get(name, name) for name in names}


CORE = modules(project()["project"]["dependencies"])
EXTRAS = {"httpx": SOURCE / "client/httpxtransport.py"}
"""Module of an extra that has its name -> the one file that imports it, and that nothing loads."""
SERVER = modules(project()["project"]["optional-dependencies"]["server"])


def foreign_imports(folder: Path) -> dict[str, str]:
    """Module of others -> a file that imports it, wherever in the file."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                names = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in (name.partition(".")[0] for name in names):
                if name != "quorate" and name not in sys.stdlib_module_names:
                    found[name] = str(path)
    return found


def without_server(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program where none of the server's libraries can be imported."""
    blocked = textwrap.dedent(
        f"""
        import sys
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {SERVER!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
        """
    )
    return subprocess.run(
        [sys.executable, "-c", blocked + textwrap.dedent(program), *arguments],
        capture_output=True,
        check=False,
        text=True,
    )


# --- what is declared -----------------------------------------------------------------------------


def test_a_plain_install_brings_two_libraries() -> None:
    assert sorted(CORE) == ["httptools", "msgspec"]
    assert not CORE & SERVER


def test_what_the_client_imports_comes_with_a_plain_install() -> None:
    for folder in (SOURCE / "client", SOURCE / "base"):
        assert set(foreign_imports(folder)) <= CORE | set(EXTRAS)


def test_an_extra_is_imported_by_one_module_that_nothing_imports() -> None:
    extras = project()["project"]["optional-dependencies"]
    for name, path in EXTRAS.items():
        assert modules(extras[name]) == {name}
        users = [each for each in SOURCE.rglob("*.py") if f"import {name}" in each.read_text()]
        assert users == [path]
        loaders = [each for each in SOURCE.rglob("*.py") if f".{path.stem}" in each.read_text()]
        assert loaders == []


def test_everything_that_is_imported_is_declared_and_the_other_way_round() -> None:
    found = foreign_imports(SOURCE)
    optional = {"consul", *EXTRAS}  # the demo uses the first if it is there
    assert {name: path for name, path in found.items() if name not in CORE | SERVER} == {
        name: found[name] for name in sorted(NOT_DECLARED | optional) if name in found
    }
    assert (CORE | SERVER) - set(found) == set()


def test_the_lock_pins_all_that_is_declared() -> None:
    settings = project()
    declared = [
        *settings["project"]["dependencies"],
        *settings["project"]["optional-dependencies"]["server"],
        *settings["dependency-groups"]["dev"],
    ]
    lock = (REPOSITORY / "requirements/dev.lock").read_text().lower().replace("_", "-")
    pinned = set(re.findall(r"^([a-z0-9.-]+)==", lock, flags=re.MULTILINE))
    names = {re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0].lower() for one in declared}
    assert names - pinned == set()


# --- what works without the extra -----------------------------------------------------------------


def test_the_client_works_without_the_servers_libraries() -> None:
    program = """
        import asyncio
        from quorate import AsyncClient, Client
        with Client(sys.argv[1]) as client:
            client.kv.put("k", "text")
            with client.lock("l") as held:
                print(client.kv.read("k"), held.fence > 0)
        async def main():
            async with AsyncClient(sys.argv[1]) as client:
                print(await client.kv.read("k"))
        asyncio.run(main())
    """
    with nodes_in_thread(Store()) as [node]:
        done = without_server(program, node.address)
    assert (done.stdout, done.stderr) == ("b'text' True\nb'text'\n", "")


def test_every_public_name_of_the_client_loads_without_the_servers_libraries() -> None:
    done = without_server(
        """
        import quorate, quorate.client, quorate.testing, quorate.testing.plugin
        for package in (quorate, quorate.client):
            for name in package.__all__:
                getattr(package, name)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "program",
    [
        "from quorate.cli.main import main\nsys.exit(main())\n",
        "import runpy\nrunpy.run_module('quorate', run_name='__main__')\n",
    ],
    ids=["quorate", "python -m quorate"],
)
@pytest.mark.parametrize("line", ["agent -dev", "demo", "cluster recover -data-dir=a -into=b"])
def test_the_command_says_in_one_sentence_what_to_install(line: str, program: str) -> None:
    done = without_server(program, *line.split())
    assert done.returncode == 1
    assert "pip install 'quorate[server]'" in done.stderr
    assert "in a clone: pip install '.[server]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_commands_of_a_client_work_without_the_servers_libraries() -> None:
    command = "from quorate.cli.main import main\nsys.exit(main())\n"
    with nodes_in_thread(Store()) as [node]:
        put = without_server(command, "kv", "put", f"-http-addr={node.address}", "k", "text")
        get = without_server(command, "kv", "get", f"-http-addr={node.address}", "k")
    assert (put.stdout, put.stderr) == ("Success! Data written to: k\n", "")
    assert (get.stdout, get.stderr) == ("text\n", "")
    assert without_server(command, "version").returncode == 0
    assert without_server(command, "agent", "-h").returncode == 0
    assert "Did you mean: quorate lock?" in without_server(command, "lokc").stderr
    assert "--recurse" in without_server(command, "completion", "bash").stdout


def test_a_module_of_ours_that_lacks_is_no_question_of_what_is_installed() -> None:
    done = without_server(
        """
        sys.modules["quorate.cli.version"] = None
        from quorate.cli.main import main
        main(["version"])
        """
    )
    assert "ModuleNotFoundError" in done.stderr
    assert "pip install" not in done.stderr


# --- what is shipped ------------------------------------------------------------------------------


def test_the_sdist_holds_all_that_is_in_the_repository(tmp_path: Path) -> None:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=False, text=True
    )
    if listing.returncode:
        pytest.skip("outside a checkout there is no list of files")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        shipped = {name.partition("/")[2] for name in tar.getnames()}
    kept = {name for name in listing.stdout.split("\0") if name and (REPOSITORY / name).exists()}
    assert kept - shipped == set()
