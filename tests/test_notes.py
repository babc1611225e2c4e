"""Every Note that the source makes is declared, and so is a metric on every node from its start."""

import ast
from collections.abc import Iterator
from pathlib import Path

import quorate
from quorate.base.effects import NOTES

ROOT = Path(quorate.__file__).parent


def note_names(source: str) -> Iterator[str]:
    """The first argument of every call of `Note`, wherever it is a text."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "Note"
        ):
            for part in ast.walk(node.args[0]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


def all_note_names() -> set[str]:
    return {name for path in ROOT.rglob("*.py") for name in note_names(path.read_text())}


def test_every_note_is_declared_and_every_declared_one_is_made() -> None:
    assert all_note_names() == set(NOTES)


def test_a_choice_of_two_notes_is_seen() -> None:
    assert set(note_names('Note("full" if is_full else "has space", {})')) == {"full", "has space"}
