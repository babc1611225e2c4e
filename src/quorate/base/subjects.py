"""What a blocking query waits for, as bytes: a letter and a name.

Commands touch bare subjects; a watcher asks for one exactly, or for all that begin alike.
Names of nodes and services are compared without case; keys and session ids are not.
"""

EVERYTHING = b""
"""Touched when the whole state was replaced: wakes every watcher."""

TREE = b"K"
"""The letter of `of_tree`."""


def key_part(text: str) -> bytes:
    """A name as part of a key: UTF-8 without 0x00, which may then end it; order is kept."""
    return text.encode("utf-8", "surrogatepass").replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def name_part(name: str) -> bytes:
    """The same for names of nodes and services, which ignore the case of ASCII letters.

    Other letters keep theirs: what Unicode calls lower case differs between Python versions.
    """
    return key_part(name).lower()


def of_key(key: bytes) -> bytes:
    """A key of the KV store."""
    return b"k" + key


def of_tree(prefix: bytes) -> bytes:
    """All keys of the KV store that begin like this, removed at once; only touched, not watched."""
    return TREE + prefix


def of_session(session: str) -> bytes:
    """One session."""
    return b"s" + key_part(session)


def of_node_sessions(node: str) -> bytes:
    """The sessions of a node."""
    return b"n" + name_part(node)


def of_node(node: str) -> bytes:
    """A node, its checks and its services."""
    return b"h" + name_part(node)


def of_service(service: str) -> bytes:
    """A service: its instances, their checks, and the nodes that host them."""
    return b"v" + name_part(service)


def of_table(table: int) -> bytes:
    """A whole table, by its number."""
    return b"t" + bytes([table])


def exactly(subject: bytes) -> bytes:
    """Watch this subject."""
    return b"=" + subject


def beginning(subject: bytes) -> bytes:
    """Watch every subject that begins like this."""
    return b"*" + subject
