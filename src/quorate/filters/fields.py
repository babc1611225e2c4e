"""What can be selected: the fields of an object, and what each holds.

The fields are those of the JSON that a client gets, by the same names. A field that the JSON leaves
out is empty, 0 or false.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Simple(Enum):
    """A single value."""

    TEXT = "text"
    NUMBER = "number"
    FLAG = "flag"


class Texts(NamedTuple):
    """A list of texts."""


class Entries(NamedTuple):
    """A map from any name to a value."""

    of: "Field"


class Fields(NamedTuple):
    """An object with these fields."""

    fields: Mapping[str, "Field"]


class Objects(NamedTuple):
    """A list of objects."""

    of: Fields


Field = Simple | Texts | Entries | Fields | Objects

TEXT, NUMBER, FLAG, TEXTS = Simple.TEXT, Simple.NUMBER, Simple.FLAG, Texts()
LABELS = Entries(TEXT)
"""A map of texts, as metadata is."""


def fields(**named: Field) -> Fields:
    """An object with these fields."""
    return Fields(named)
