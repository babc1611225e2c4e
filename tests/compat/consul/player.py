"""Plays a recorded conversation against a server, and says where it answers differently."""

import base64
import contextlib
import gzip
import http.client
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tests.compat.consul.rules import MISSING, Rules, difference, parts
from tests.limits import HANG_S

PROBES = 2  # reads that are answered after what was asked in the background has arrived
RETRY_S = 0.1
Ask = Callable[..., dict[str, Any]]
"""Takes a request, and what to call when it was sent; gives the answer."""
_VARIABLE = re.compile(r"\{\{(\w+)([+-]\d+)?\}\}")


class Different(Exception):
    """An answer is not as recorded."""


class Player:
    """One case being played.

    Args:
        ask: Sends a request, gives the answer as paths address it.
        facts: Variables that are always there.
        ask_dns: Sends a DNS query, likewise; None: no case has one.
        run_command: Runs a command line, likewise.
    """

    def __init__(
        self,
        ask: Ask,
        facts: dict[str, Any],
        ask_dns: Ask | None = None,
        run_command: Ask | None = None,
    ) -> None:
        self._ask = ask
        self._ask_dns = ask_dns
        self._run_command = run_command
        self._values: dict[str, Any] = {**facts, "run": uuid.uuid4().hex[:8]}
        self._waiting: dict[str, Future[dict[str, Any]]] = {}
        self._threads = ThreadPoolExecutor(32)

    def play(self, case: dict[str, Any]) -> None:
        """Do all steps, then clean up.

        Raises:
            Different: At the first step whose answer is not as recorded.
        """
        try:
            for number, step in enumerate(case["steps"], 1):
                self._step(f"step {number}", step)
        finally:
            for request in case.get("cleanup", []):
                self._ask(self._filled(request))
            for waiting in self._waiting.values():
                waiting.cancel()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _step(self, title: str, step: dict[str, Any]) -> None:
        if "sleep" in step:
            time.sleep(step["sleep"])
        elif "pending" in step:
            time.sleep(step["for"])
            if self._waiting[step["pending"]].done():
                raise Different(f"{title}: it was answered: {self._waiting[step['pending']]}")
        elif "async" in step:
            request = self._filled(step["request"])
            self._ask_in_background(step["async"], request)
        elif "await" in step:
            future = self._waiting.pop(step["await"])
            self._judge(f"{title} (await)", step, future.result(step.get("within", 30)))
        else:
            self._exchange(title, step)

    def _ask_in_background(self, name: str, request: dict[str, Any]) -> None:
        """Return when the server has it: what was asked after it was sent has been answered."""
        is_sent = threading.Event()
        waiting = self._threads.submit(self._ask, request, is_sent.set)
        waiting.add_done_callback(lambda _: is_sent.set())  # also if it could not be sent
        self._waiting[name] = waiting
        assert is_sent.wait(HANG_S)
        for _ in range(PROBES):
            self._ask({"method": "GET", "path": f"/v1/kv/{self._values['run']}-probe"})

    def _exchange(self, title: str, step: dict[str, Any]) -> None:
        deadline_s = time.monotonic() + step.get("retry", {}).get("for", 0)
        while True:
            name, answer = self._asked(step)
            try:
                self._judge(f"{title} ({name})", step, answer)
            except Different:
                if time.monotonic() >= deadline_s:
                    raise
                time.sleep(RETRY_S)
            else:
                return

    def _asked(self, step: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Ask what a step asks: what it was, and the answer."""
        if "dns" in step:
            question = self._filled(step["dns"])
            assert self._ask_dns is not None
            return f"{question['name']} {question['type']}", self._ask_dns(question)
        if "cli" in step:
            command = self._filled(step["cli"])
            assert self._run_command is not None
            return " ".join(command["args"]), self._run_command(command)
        request = self._filled(step["request"])
        return f"{request['method']} {request['path']}", self._ask(request)

    # --- judging -------------------------------------------------------------------------------

    def _judge(self, title: str, step: dict[str, Any], answer: dict[str, Any]) -> None:
        expected = self._filled(step["response"])
        rules = Rules(self._filled(step.get("match", {})))
        for name, value in expected.items():
            wanted: dict[tuple[str, ...], Any] = {(name,): value}
            if name == "headers":
                wanted = {("header", header): text for header, text in value.items()}
            for path, one in wanted.items():
                _raise_if(title, difference(one, found(answer, path), rules, path))
        for path in rules.unused():
            _raise_if(title, difference(MISSING, found(answer, path), rules, path))
        for name, path in step.get("save", {}).items():
            self._values[name] = found(answer, parts(path))

    # --- variables -----------------------------------------------------------------------------

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._filled(name): self._filled(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole is not None:
            return self._value(whole)
        return _VARIABLE.sub(lambda match: str(self._value(match)), value)

    def _value(self, match: re.Match[str]) -> Any:
        value = self._values[match[1]]
        return int(value) + int(match[2]) if match[2] else value


def asking(host: str, port: int) -> Ask:
    """Ask a server over HTTP, each time on a new connection."""

    def ask(
        request: dict[str, Any], on_sent: Callable[[], object] = lambda: None
    ) -> dict[str, Any]:
        headers = {str(name): str(value) for name, value in request.get("headers", {}).items()}
        body: Any = body_of(request)
        is_chunked = bool(request.get("chunked"))
        if is_chunked:
            body = iter([body or b""])
        began_s = time.monotonic()
        line = http.client.HTTPConnection(host, port, timeout=60)
        try:
            path = path_of(request)
            line.request(request["method"], path, body, headers, encode_chunked=is_chunked)
            on_sent()
            reply = line.getresponse()
            data = reply.read()
        finally:
            line.close()
        return seen(reply.status, reply.getheaders(), data, time.monotonic() - began_s)

    return ask


def asking_dns(host: str, port: int) -> Ask:
    """Ask a server by DNS; records are in the form of a zone file."""

    def ask(question: dict[str, Any]) -> dict[str, Any]:
        edns = question.get("edns")
        query = dns.message.make_query(
            question["name"],
            question["type"],
            question.get("class", "IN"),
            use_edns=0 if edns else -1,
            payload=edns or 0,
        )
        if not question.get("rd", True):
            query.flags &= ~dns.flags.RD
        began_s = time.monotonic()
        exchange = dns.query.tcp if question.get("tcp") else dns.query.udp
        reply = exchange(query, host, port=port, timeout=HANG_S)
        asked = [f"{each.name} {dns.rdatatype.to_text(each.rdtype)}" for each in reply.question]
        return {
            "rcode": dns.rcode.to_text(reply.rcode()),
            "flags": sorted(dns.flags.to_text(reply.flags).split()),
            "question": asked,
            "answer": records(reply.answer),
            "authority": records(reply.authority),
            "additional": records(reply.additional),
            "edns": reply.payload if reply.edns >= 0 else None,
            "took": time.monotonic() - began_s,
        }

    return ask


def records(section: list[Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": str(rows.name),
            "type": dns.rdatatype.to_text(rows.rdtype),
            "ttl": rows.ttl,
            "data": row.to_text(),
        }
        for rows in section
        for row in rows
    ]


def path_of(request: dict[str, Any]) -> str:
    """The path as it is sent."""
    return quote(request["path"], safe="".join(map(chr, range(0x21, 0x7F))))


def _raise_if(title: str, text: str) -> None:
    if text:
        raise Different(f"{title}: {text}")


_BODIES: dict[str, Callable[[Any], bytes]] = {
    "json": lambda value: json.dumps(value).encode(),
    "body": lambda value: str(value).encode(),
    "body_base64": base64.b64decode,
    "body_fill": lambda value: str(value[0]).encode() * int(value[1]),
}


def body_of(request: dict[str, Any]) -> bytes | None:
    """The body as it is sent."""
    return next((make(request[name]) for name, make in _BODIES.items() if name in request), None)


def seen(
    status: int, headers: Iterable[tuple[str, str]], data: bytes, took_s: float
) -> dict[str, Any]:
    """An answer as paths address it."""
    fields: dict[str, str] = {}
    for name, value in headers:
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    if fields.get("Content-Encoding") == "gzip":
        data = gzip.decompress(data)
    view: dict[str, Any] = {
        "status": status,
        "header": fields,
        "took": took_s,
        "body_base64": base64.b64encode(data).decode(),
        "text": data.decode("utf-8", "replace"),
    }
    with contextlib.suppress(ValueError):  # not JSON: then nobody may ask for it
        view["json"] = json.loads(data)
    return view


def found(answer: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; `MISSING` if nothing does."""
    for part in path:
        if isinstance(answer, dict):
            answer = answer.get(part, MISSING)
        elif isinstance(answer, list) and part.isdigit() and int(part) < len(answer):
            answer = answer[int(part)]
        else:
            return MISSING
    return answer
