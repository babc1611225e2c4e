"""A node that does what a test says, and a small store behind it."""

import asyncio
import base64
import contextlib
import json
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import httptools

Answer = bytes | asyncio.Future[bytes] | None
"""Bytes as they go out; a future of them; None: nothing, ever."""

CUT = b"cut"  # instead of an answer: reset the connection


class Seen(NamedTuple):
    """A request as the node saw it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Script = Callable[[Seen], Answer]


def always(answer: bytes | None) -> Script:
    """A script that answers everything alike."""
    return lambda _: answer


def reply(
    status: int = 200, body: bytes | str | object = b"", headers: dict[str, object] | None = None
) -> bytes:
    """A whole reply, with an index as those of nodes; what is no bytes or text becomes JSON.

    A header whose value is None is left out.
    """
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Reply"]
    shown = {"X-Consul-Index": 1} | (headers or {})
    lines += [f"{name}: {value}" for name, value in shown.items() if value is not None]
    lines += [f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def refusal(status: int, code: str, text: str, *, definite: bool = True) -> bytes:
    """An error as a node words it."""
    word = "true" if definite else "false"
    return reply(status, text, {"X-Quorate-Error": code, "X-Quorate-Definite": word})


class _Connection(asyncio.Protocol):
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = b""
        self._replies: deque[Answer] = deque()
        self.requests = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._node.connections.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._node.connections.remove(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        self._drain()

    def on_url(self, url: bytes) -> None:
        self._url, self._headers, self._body = url, {}, b""

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode()] = value.decode()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        url = urlsplit(self._url.decode())
        query = {name: v[0] for name, v in parse_qs(url.query, keep_blank_values=True).items()}
        seen = Seen(
            self._parser.get_method().decode(), unquote(url.path), query, self._headers, self._body
        )
        self.requests += 1
        self._node.seen.append(seen)
        answer = self._node.script(seen)
        self._replies.append(answer)
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(lambda _: self._drain())

    def _drain(self) -> None:
        while self._replies and self.transport is not None:
            answer = self._replies[0]
            if isinstance(answer, asyncio.Future):
                answer = answer.result() if answer.done() else None
            if answer is None:
                return
            self._replies.popleft()
            if answer.endswith(CUT):
                self.transport.write(answer.removesuffix(CUT))
                self.transport.close()
                return
            self.transport.write(answer)


class Node:
    """A node: `script` answers, `seen` remembers."""

    def __init__(self, script: Script) -> None:
        self.script: Script = script
        self.seen: list[Seen] = []
        self.connections: list[_Connection] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Die: nobody listens, and connections are gone."""
        if self._server is not None:
            self._server.close()
            for connection in tuple(self.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            await self._server.wait_closed()
            await until(lambda: not self.connections)


async def until(is_so: Callable[[], bool]) -> None:
    """Let others run until it is so."""
    while not is_so():  # noqa: ASYNC110 - no event tells what another end has seen
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def nodes(*scripts: Script | bytes | None) -> AsyncGenerator[list[Node], None]:
    """Running nodes, one for each script, or for what it always answers."""
    running = [Node(script if callable(script) else always(script)) for script in scripts]
    for node in running:
        await node.start()
    try:
        yield running
    finally:
        for node in running:
            await node.stop()


@contextlib.contextmanager
def nodes_in_thread(*scripts: Script | bytes | None) -> Generator[list[Node], None, None]:
    """The same in a thread, for the sync client."""
    ready = threading.Event()
    found: list[Node] = []
    ends: list[Callable[[], object]] = []

    async def serve() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        ends.append(lambda: loop.call_soon_threadsafe(over.set))
        async with nodes(*scripts) as running:
            found.extend(running)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield found
    finally:
        ends[0]()
        thread.join()


class Row(NamedTuple):
    """A stored key."""

    value: bytes
    flags: int
    created: int
    modified: int
    locked: int
    session: str


class Store:
    """Keys and sessions as the API shows them, one command at a time. Use as a script."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.changed: dict[str, int] = {}
        self.sessions: dict[str, dict[str, object]] = {}
        self.index = 1
        self.renewals = 0
        self._waiting: list[tuple[Seen, asyncio.Future[bytes]]] = []

    def __call__(self, seen: Seen) -> Answer:
        _, _, kind, rest = seen.path.split("/", 3)
        if kind == "kv":
            return self._kv(seen, rest)
        if kind == "session":
            return self._session(seen, *rest.split("/"))
        return reply(404)

    def write(self, key: str, value: bytes | None, session: str = "", flags: int = 0) -> int:
        """Write or (None) remove a key, as another client would."""
        self.index += 1
        old = self.rows.pop(key, None)
        self.changed[key] = self.index
        if value is not None:
            created = old.created if old else self.index
            locked = (old.locked if old else 0) + (1 if session else 0)
            self.rows[key] = Row(value, flags, created, self.index, locked, session)
        waiting, self._waiting = self._waiting, []
        for seen, future in waiting:
            if future.done():
                continue
            answer = self._read(seen, seen.path.removeprefix("/v1/kv/"))
            if isinstance(answer, asyncio.Future):  # it went on waiting
                self._waiting[-1] = (seen, future)
            else:
                future.set_result(answer)
        return self.index

    def end(self, session: str) -> None:
        """End a session, releasing or deleting what it holds."""
        ended = self.sessions.pop(session, None) or {}
        is_deleting = ended.get("Behavior") == "delete"
        for key, row in tuple(self.rows.items()):
            if row.session == session:
                self.write(key, None if is_deleting else row.value)

    def _kv(self, seen: Seen, key: str) -> Answer:
        if seen.method == "GET":
            return self._read(seen, key)
        row = self.rows.get(key)
        done, session = True, row.session if row else ""
        if "cas" in seen.query:
            done = int(seen.query["cas"]) == (row.modified if row else 0)
        if wanted := seen.query.get("acquire"):
            if wanted not in self.sessions:
                return refusal(500, "not_found", f'raft apply failed: invalid session "{wanted}"')
            done, session = session in {"", wanted}, wanted
        if wanted := seen.query.get("release"):
            done, session = session == wanted, ""
        if done:
            body = None if seen.method == "DELETE" else seen.body
            self.write(key, body, session, int(seen.query.get("flags", "0")))
        return reply(200, done, {"X-Quorate-Index": self.index})

    def _read(self, seen: Seen, key: str) -> bytes | asyncio.Future[bytes]:
        def is_asked(name: str) -> bool:
            return name == key or ("recurse" in seen.query and name.startswith(key))

        found = {name: row for name, row in sorted(self.rows.items()) if is_asked(name)}
        changed = [index for name, index in self.changed.items() if is_asked(name)]
        index = max([*changed, *(row.modified for row in found.values())], default=self.index)
        if int(seen.query.get("index", "0")) >= index:
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            self._waiting.append((seen, future))
            return future
        headers: dict[str, object] = {"X-Consul-Index": index}
        if not found:
            return reply(404, b"", headers)
        if "raw" in seen.query:
            return reply(200, found[key].value, headers)
        return reply(200, [as_json(name, row) for name, row in found.items()], headers)

    def _session(self, seen: Seen, verb: str, name: str = "") -> bytes:
        if verb == "create":
            name = f"session-{len(self.sessions) + 1}-{self.index}"
            self.sessions[name] = {"ID": name, **json.loads(seen.body or b"{}")}
            self.sessions[name]["LockDelay"] = 15_000_000_000
            return reply(200, {"ID": name})
        if verb == "destroy":
            self.end(name)
            return reply(200, True)
        if verb == "renew":
            self.renewals += 1
        found = [s for key, s in self.sessions.items() if key == name or not name]
        if verb == "renew" and not found:
            return reply(404, f"Session id '{name}' not found")
        return reply(200, found)


def as_json(key: str, row: Row) -> dict[str, object]:
    """A key as the API writes it."""
    shown: dict[str, object] = {
        "LockIndex": row.locked,
        "Key": key,
        "Flags": row.flags,
        "Value": base64.b64encode(row.value).decode() if row.value else None,
        "CreateIndex": row.created,
        "ModifyIndex": row.modified,
    }
    if row.session:
        shown["Session"] = row.session
    return shown
