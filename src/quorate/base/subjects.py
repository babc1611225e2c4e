"""Watch keys (subjects), as bytes: what a blocking query waits for, a letter and a name.

A command marks keys changed, or all keys with a prefix; a watcher waits for an exact key, or for
all keys with a prefix. Each domain names its own subjects, under letters that its `Domain`
lists; names of nodes and services are compared without case, keys and session ids are not.
"""

EVERYTHING = b""
"""Marked when the whole state was replaced: wakes every watcher."""

EXACTLY, BEGINNING = b"=", b"*"
"""Exact key or prefix: the first byte of what a watcher waits for, or a command marks."""

TABLE = b"t"
"""The letter of `of_table`."""


def key_part(text: str) -> bytes:
    """A name as part of a key: UTF-8 without 0x00, which may then end it; order is kept."""
    return text.encode("utf-8", "surrogatepass").replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def name_part(name: str) -> bytes:
    """The same for names of nodes and services, which ignore the case of ASCII letters.

    Other letters keep theirs: what Unicode calls lower case differs between Python versions.
    """
    return key_part(name).lower()


def of_table(table: int) -> bytes:
    """A whole table, by its number."""
    return TABLE + bytes([table])


def exactly(subject: bytes) -> bytes:
    """Watch this key."""
    return EXACTLY + subject


def beginning(subject: bytes) -> bytes:
    """Watch, or mark, every key with this prefix."""
    return BEGINNING + subject
