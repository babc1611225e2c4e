"""A client that keeps everything in a dictionary, for tests of what commands say."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from quorate.client.structs import KvEntry, MemberInfo, Session, Written


class FakeKv:
    """Keys and values."""

    def __init__(self) -> None:
        self.rows: dict[str, KvEntry] = {}
        self.index = 10

    def _write(self, key: str, value: bytes, flags: int, session: str = "") -> Written:
        self.index += 1
        old = self.rows.get(key)
        created = old.create_index if old else self.index
        locks = int(bool(session))
        self.rows[key] = KvEntry(key, value, flags, created, self.index, locks, session)
        return Written(is_done=True, index=self.index)

    def get(self, key: str, *, stale: bool = False) -> KvEntry | None:
        return self.rows.get(key)

    def tree(self, prefix: str = "", *, stale: bool = False) -> list[KvEntry]:
        return [row for key, row in sorted(self.rows.items()) if key.startswith(prefix)]

    def keys(self, prefix: str = "", *, separator: str = "", stale: bool = False) -> list[str]:
        names = [key for key in sorted(self.rows) if key.startswith(prefix)]
        if not separator:
            return names
        cut = [prefix + (name[len(prefix) :] + separator).split(separator)[0] for name in names]
        folded = [
            short + separator if name.startswith(short + separator) else short
            for name, short in zip(names, cut, strict=True)
        ]
        return list(dict.fromkeys(folded))

    def put(self, key: str, value: bytes, *, flags: int = 0) -> int:
        return self._write(key, value, flags).index

    def cas(self, key: str, value: bytes, index: int, *, flags: int = 0) -> Written:
        old = self.rows.get(key)
        if (old.modify_index if old else 0) != index:
            return Written(is_done=False, index=self.index)
        return self._write(key, value, flags)

    def delete(self, key: str, *, index: int | None = None) -> Written:
        old = self.rows.get(key)
        if index is not None and (old is None or old.modify_index != index):
            return Written(is_done=False, index=self.index)
        self.rows.pop(key, None)
        return Written(is_done=True, index=self.index)

    def delete_tree(self, prefix: str) -> Written:
        for row in self.tree(prefix):
            del self.rows[row.key]
        return Written(is_done=True, index=self.index)

    def acquire(self, key: str, value: bytes, session: str, *, flags: int = 0) -> Written:
        old = self.rows.get(key)
        if old and old.session not in {"", session}:
            return Written(is_done=False, index=self.index)
        return self._write(key, value, flags, session)

    def release(self, key: str, value: bytes, session: str, *, flags: int = 0) -> Written:
        old = self.rows.get(key)
        if old is None or old.session != session:
            return Written(is_done=False, index=self.index)
        return self._write(key, value, flags)

    def watch(self, key: str) -> Iterator[KvEntry | None]:
        yield self.rows.get(key)
        self._write(key, b"second", 0)
        yield self.rows.get(key)
        yield None

    def watch_tree(self, prefix: str) -> Iterator[list[KvEntry]]:
        yield self.tree(prefix)
        self._write(f"{prefix}new", b"n", 0)
        yield self.tree(prefix)
        self.delete(f"{prefix}new")
        yield self.tree(prefix)


class FakeSessions:
    """Sessions."""

    def __init__(self) -> None:
        self.made: dict[str, Session] = {}

    def create(
        self,
        name: str,
        *,
        ttl_s: float,
        behavior: str,
        lock_delay_s: float,
        node: str,
        node_checks: tuple[str, ...],
    ) -> str:
        session = f"session-{len(self.made) + 1}"
        self.made[session] = Session(
            session, name, node or "n1", behavior, ttl_s, lock_delay_s, node_checks, 7, 7
        )
        return session

    def all(self, *, node: str = "", stale: bool = False) -> list[Session]:
        return [each for each in self.made.values() if node in {"", each.node}]

    def info(self, session: str, *, stale: bool = False) -> Session | None:
        return self.made.get(session)

    def renew(self, session: str) -> Session | None:
        return self.made.get(session)

    def destroy(self, session: str) -> None:
        self.made.pop(session, None)


class FakeStatus:
    """Members."""

    def members(self) -> list[MemberInfo]:
        tags = {"role": "consul", "dc": "dc1", "build": "0.1.0:abc", "id": "1234"}
        return [
            MemberInfo("n2", "127.0.0.1", 8302, "failed", tags),
            MemberInfo("n1", "127.0.0.1", 8301, "alive", tags),
        ]


class FakeClient:
    """All of it."""

    def __init__(self) -> None:
        self.kv = FakeKv()
        self.session = FakeSessions()
        self.status = FakeStatus()

    def __enter__(self) -> Self:
        return self

    def close(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None
