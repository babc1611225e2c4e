"""Follow all keys below a prefix, and say what changed.

python examples/watch.py [PREFIX [host:port ...]]
"""
# ruff: noqa: T201 - it prints

import sys

from quorate import Client


def main() -> None:
    """Print each change until interrupted."""
    prefix, *endpoints = sys.argv[1:] or [""]
    known: dict[str, bytes] = {}
    with Client(endpoints or None) as client:
        for entries in client.kv.watch_tree(prefix):
            now = {entry.key: entry.value for entry in entries}
            for key in sorted(known.keys() - now.keys()):
                print("deleted", key)
            for key, value in now.items():
                if known.get(key) != value:
                    print("written", key, f"({len(value)} bytes)")
            known = now


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("bye")
