"""Commands on configuration entries."""

from quorate.base.command import Command


class EntrySet(Command, frozen=True, array_like=True, tag=130):
    """Write an entry. Value True; False: `index` says otherwise.

    Failure `precondition`: a router or splitter would be of a service whose protocol does not
    permit it.

    Attributes:
        content: A JSON object of the fields of its kind, those in the row aside.
        index: Only if this is its newest index; 0: if it is not there. None: in any case.
    """

    kind: str
    name: str
    content: bytes
    index: int | None = None


class EntryDelete(Command, frozen=True, array_like=True, tag=131):
    """Remove an entry. Value True, also if it is not there; False: `index` says otherwise.

    Failure `precondition`: as of `EntrySet`.
    """

    kind: str
    name: str
    index: int | None = None


class IntentionSet(Command, frozen=True, array_like=True, tag=132):
    """Put a source into the intentions of a destination, replacing one of its name. Value True.

    Failure `too_large`: it has as many sources as it may.

    Attributes:
        destination: The name of the entry.
        source: A JSON object, with `Name` and `Precedence`.
    """

    destination: str
    source: bytes


class IntentionDelete(Command, frozen=True, array_like=True, tag=133):
    """Remove one source from the intentions of a destination; with the last one goes the entry.

    Value True, also if it is not there.
    """

    destination: str
    source: str
