import asyncio

import pytest

from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.probes.found import ERROR_BYTES_MAX, ProbeFinding
from quorate.runtime.probes.responses import CONTENT_BYTES_MAX, REASON_CHARS_MAX
from quorate.runtime.probes.web import REDIRECTS_MAX
from tests.unit.runtime.probes.lab import SOON_NS, Handler, against, check, one, request_of

Seen = list[tuple[str, dict[str, str], bytes]]


def responds(data: bytes, seen: Seen | None = None) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await request_of(reader)
        if seen is not None:
            seen.append(request)
        writer.write(data)
        await writer.drain()

    return handler


def plain(status: str, body: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def got(
    handler: Handler, path: str = "/x", bytes_max: int = 4096, **fields: object
) -> ProbeFinding:
    def definition_of(port: int) -> CheckDefinition:
        return check(http=f"http://127.0.0.1:{port}{path}", **fields)

    found = against(handler, definition_of, bytes_max)
    return ProbeFinding(found.status, found.output.replace("127.0.0.1", "HOST"))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("200 OK", PASSING), ("204 No Content", PASSING), ("299 Fine", PASSING),
        ("429 Too Many Requests", WARNING), ("404 Not ProbeFinding", CRITICAL),
        ("304 Not Modified", CRITICAL), ("500 Internal Server Error", CRITICAL),
        ("503 Service Unavailable", CRITICAL), ("101 Switching Protocols", CRITICAL),
    ],
)  # fmt: skip
def test_the_status_of_the_response_decides(status: str, expected: str) -> None:
    found = got(responds(plain(status)))
    assert found.status == expected
    assert f": {status} Output: " in found.output


def test_a_reason_is_cut_and_so_is_an_error_that_quotes_a_header() -> None:
    found = got(responds(plain("200 " + 100_000 * "y")), path="/")
    assert found.status == PASSING
    assert f": 200 {REASON_CHARS_MAX * 'y'} Output: " in found.output
    location = f"{100_000 * 'z'}://x/"
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"
    found = got(responds(head.encode()))
    assert found.status == CRITICAL
    assert 'unsupported protocol scheme "zzz' in found.output
    assert len(found.output.encode()) < ERROR_BYTES_MAX + 100


def test_the_output_is_the_end_of_the_body() -> None:
    body = "".join(chr(ord("a") + number % 26) for number in range(9000))
    found = got(responds(plain("200 OK", body)), bytes_max=100)
    assert found.output.endswith(f"200 OK Output: {body[-100:]}")
    found = got(responds(plain("200 OK", body)), output_bytes_max=10)
    assert found.output.endswith(f" {body[-10:]}")


def test_method_body_and_headers_of_a_check_are_sent() -> None:
    seen: Seen = []
    header = {"X-One": ("1",), "Host": ("other",), "User-Agent": ("mine",), "Connection": ("x",)}
    found = got(
        responds(plain("200 OK", "ok"), seen), "/a b?c=ä", method="PUT", body="from", header=header
    )
    assert found.status == PASSING
    ((line, headers, body),) = seen
    assert (line, body) == ("PUT /a%20b?c=%C3%A4 HTTP/1.1", b"from")
    assert headers["x-one"] == "1"
    assert (headers["host"], headers["user-agent"]) == ("other", "mine")
    assert headers["connection"] == "close"
    seen.clear()
    got(responds(plain("200 OK"), seen))
    assert seen[0][1]["user-agent"] == "Consul Health Check"
    assert seen[0][1]["accept"] == "text/plain, text/*, */*"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"http": "ftp://h/"}, 'unsupported protocol scheme "ftp"'),
        ({"http": "http:///x"}, "no Host in request URL"),
        ({"http": "http://h:99999/"}, "ort"),
        ({"http": "http://h/", "method": "A B"}, "invalid method"),
        ({"http": "http://h/", "header": {"A": ("1\r\nB: 2",)}}, "invalid header field 'A'"),
        ({"http": "http://h/", "header": {"A B": ("1",)}}, "invalid header field 'A B'"),
    ],
)
def test_a_request_that_makes_no_sense_is_not_sent(fields: dict[str, object], why: str) -> None:
    found = one(check(**fields))
    assert found.status == CRITICAL
    assert why in found.output


def test_a_refused_connection_is_critical_and_says_so() -> None:
    found = one(check(http="http://127.0.0.1:1/"))
    assert found == (
        CRITICAL,
        'Get "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused',
    )


# --- redirects --------------------------------------------------------------------------------


def test_redirects_are_followed_unless_the_check_says_no() -> None:
    seen: Seen = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await request_of(reader)
        seen.append(request)
        if "/end" in request[0]:
            writer.write(plain("200 OK", "done"))
        else:
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 5\r\n\r\nmoved")
        await writer.drain()

    found = got(handler, method="POST", body="b")
    assert found.output.endswith("/x: 200 OK Output: done")
    assert [line.split(" ")[0] for line, _, _ in seen] == ["POST", "GET"]
    found = got(handler, disable_redirects=True)
    assert (found.status, found.output[-23:]) == (CRITICAL, "302 Found Output: moved")


def test_307_keeps_method_and_body_and_another_host_gets_no_credentials() -> None:
    seen: Seen = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await request_of(reader)
        seen.append(request)
        port = writer.get_extra_info("sockname")[1]
        if "/end" in request[0]:
            writer.write(plain("200 OK"))
        else:
            to = f"http://localhost:{port}/end"
            writer.write(f"HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    header = {"Authorization": ("secret",), "X-Plain": ("1",)}
    assert got(handler, method="PUT", body="b", header=header).status == PASSING
    (first, second) = seen
    assert (second[0], second[2]) == ("PUT /end HTTP/1.1", b"b")
    assert ("authorization" in first[1], "authorization" in second[1]) == (True, False)
    assert second[1]["x-plain"] == "1"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("/again", f"stopped after {REDIRECTS_MAX} redirects"),
        ("file:///etc/passwd", 'unsupported protocol scheme "file"'),
        ("", "missing Location"),
        ("http://[x", ""),
    ],
)
def test_a_redirect_that_leads_nowhere_is_critical(location: str, why: str) -> None:
    seen: Seen = []
    data = f"HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()
    found = got(responds(data, seen))
    assert found.status == CRITICAL
    assert why in found.output
    assert len(seen) <= REDIRECTS_MAX + 1


# --- hostile targets --------------------------------------------------------------------------


def test_a_target_that_never_answers_is_critical_at_the_timeout() -> None:
    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # until the probe closes the connection

    found = got(handler, timeout_ns=SOON_NS)
    assert found.status == CRITICAL
    assert found.output.endswith("no response within 50ms")


def test_a_head_that_never_ends_is_given_up() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    found = got(handler)
    assert found.status == CRITICAL
    assert "the head of the response is over" in found.output or "malformed" in found.output


@pytest.mark.parametrize("is_chunked", [True, False])
def test_of_a_body_that_never_ends_a_part_is_read_and_its_status_counts(is_chunked: bool) -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        coding = "Transfer-Encoding: chunked\r\n" if is_chunked else ""
        writer.write(f"HTTP/1.1 200 OK\r\n{coding}\r\n".encode())
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n" if is_chunked else b"x" * 4096)
            sent += 4096
            await writer.drain()

    found = got(handler, bytes_max=10)
    assert found.status == PASSING
    assert found.output.endswith("200 OK Output: xxxxxxxxxx")
    assert sent > CONTENT_BYTES_MAX


@pytest.mark.parametrize(
    "data", [b"", b"nonsense\r\n\r\n", b"\x00\xff" * 100, b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"]
)
def test_what_is_no_response_is_critical(data: bytes) -> None:
    assert got(responds(data)).status == CRITICAL


def test_a_response_that_is_announced_first_and_one_that_breaks_off_count() -> None:
    assert got(responds(b"HTTP/1.1 100 Continue\r\n\r\n" + plain("200 OK", "a"))).status == PASSING
    found = got(responds(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
    assert (found.status, found.output[-5:]) == (PASSING, "short")


def test_a_head_request_waits_for_no_body() -> None:
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    assert got(responds(data), method="HEAD").status == PASSING
