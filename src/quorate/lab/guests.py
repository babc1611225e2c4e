"""Clients at work on a cluster, as users' programs are; each says if an answer is wrong."""

import importlib
from collections.abc import Sequence
from typing import Any

from quorate.client.sync.client import Client


class GuestError(Exception):
    """A client got an answer that it must not get."""


def _expect(holds: object, text: str) -> None:
    if not holds:
        raise GuestError(text)


def greet_with_quorate(addresses: Sequence[str]) -> None:
    """Use our own client: conditional writes, a lock, a transaction, each read on another node.

    Raises:
        GuestError: An answer was wrong.
    """
    with Client(list(addresses)) as client, Client(addresses[-1]) as other:
        first = client.kv.put("greeting/colour", b"green")
        _expect(other.kv.read("greeting/colour") == b"green", "another node reads an old value")
        _expect(client.kv.cas("greeting/colour", b"blue", first), "a right cas was refused")
        _expect(not other.kv.cas("greeting/colour", b"red", first), "an outdated cas was taken")
        with client.lock("greeting/lock", wait_s=10.0) as held:
            done = other.txn().check_session("greeting/lock", held.session)
            done.put("greeting/under-lock", b"yes").delete("greeting/colour")
            _expect(done.commit(), "a transaction under our lock was refused")
        _expect(other.kv.get("greeting/colour") is None, "a deleted key is still there")


def greet_with_py_consul(port: int) -> str:
    """Use py-consul on a node, by its HTTP port, if it is installed; returns what is to be told.

    Raises:
        GuestError: An answer was wrong.
    """
    try:
        consul: Any = importlib.import_module("consul")
    except ImportError:
        return "not installed, skipped (pip install py-consul)"
    store = consul.Consul(host="127.0.0.1", port=port)
    _expect(store.kv.put("greeting/py-consul", "hello"), "py-consul: put was refused")
    _, entry = store.kv.get("greeting/py-consul")
    _expect(entry["Value"] == b"hello", "py-consul: get returned something else")
    session = store.session.create(name="demo", ttl=10)
    _expect(store.kv.put("greeting/held", "x", acquire=session), "py-consul: no lock")
    _expect(not store.kv.put("greeting/py-consul", "y", cas=1), "py-consul: an old cas was taken")
    store.session.destroy(session)
    _, keys = store.kv.get("greeting/", keys=True)
    return f"{len(keys)} keys seen"
