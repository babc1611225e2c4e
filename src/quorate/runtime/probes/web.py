"""HTTP: the status of a response decides; its content is the output.

WEB-1: at most `REDIRECTS_MAX` redirects are followed, to HTTP and HTTPS only; all of them and the
    response share the timeout of the check. Credentials do not follow to another host.

Source: https://developer.hashicorp.com/consul/docs/reference/service/health-check, HTTP checks.
"""

import base64
import re
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

from quorate.monitoring.checks import CRITICAL, PASSING, WARNING
from quorate.monitoring.definitions import CheckDefinition
from quorate.runtime.addresses import join_address
from quorate.runtime.probes.found import OutputTail, ProbeError, ProbeFinding
from quorate.runtime.probes.responses import Response, request_bytes
from quorate.runtime.probes.targets import connected, tls

REDIRECTS_MAX = 10

_PORTS = {"http": 80, "https": 443}
_SAFE = "/%:=&?~#+!$,;'@()*[]-._"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_SECRET = frozenset({"authorization", "cookie", "www-authenticate", "proxy-authorization"})
_REDIRECTS = {301: True, 302: True, 303: True, 307: False, 308: False}  # True: a GET follows
_TOO_MANY_REQUESTS = 429


class _Url(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int
    target: str
    credentials: str

    @property
    def authority(self) -> str:
        """For the header Host."""
        if self.port == _PORTS[self.scheme]:
            return f"[{self.host}]" if ":" in self.host else self.host
        return join_address(self.host, self.port)


class _Request(NamedTuple):
    """A request of a check, or one that a redirect asks for."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


async def probe_http(definition: CheckDefinition, bytes_max: int) -> ProbeFinding:
    """Send the request of a check.

    Args:
        definition: Of the check.
        bytes_max: What is kept of the content.
    """
    method = definition.method or "GET"
    given = [(name, value) for name, values in definition.header.items() for value in values]
    request = _Request(method, definition.http, given, definition.body.encode())
    tail = OutputTail(bytes_max)
    try:
        response = await _followed(request, definition, tail)
    except ProbeError as error:
        raise ProbeError(f'{method.capitalize()} "{definition.http}": {error}') from error
    status = CRITICAL
    if 200 <= response.status < 300:
        status = PASSING
    elif response.status == _TOO_MANY_REQUESTS:
        status = WARNING
    said = f"{response.status} {response.reason}"
    return ProbeFinding(status, f"HTTP {method} {definition.http}: {said} Output: {tail.text}")


async def _followed(request: _Request, definition: CheckDefinition, tail: OutputTail) -> Response:
    """The response of the last request, after redirects."""
    for _ in range(REDIRECTS_MAX + 1):
        url = _url(request.url)
        follows = not definition.disable_redirects
        response = await _exchanged(request, url, definition, tail, drops_redirects=follows)
        if not (follows and response.status in _REDIRECTS):
            return response
        request = _redirected(request, url, response)
    raise ProbeError(f"stopped after {REDIRECTS_MAX} redirects")


def _redirected(request: _Request, url: _Url, response: Response) -> _Request:
    location = response.headers.get("location", "")
    if not location:
        raise ProbeError(f"{response.status} response missing Location header")
    new = urljoin(request.url, location)
    headers = request.headers
    if _url(new)[:3] != url[:3]:
        headers = [(name, value) for name, value in headers if name.lower() not in _SECRET]
        headers = [(name, value) for name, value in headers if name.lower() != "host"]
    if _REDIRECTS[response.status] and request.method != "HEAD":
        return _Request("GET", new, headers, b"")
    return _Request(request.method, new, headers, request.body)


async def _exchanged(
    request: _Request,
    url: _Url,
    definition: CheckDefinition,
    tail: OutputTail,
    *,
    drops_redirects: bool,
) -> Response:
    context = None
    if url.scheme == "https":
        context = await tls(verifies=not definition.tls_skip_verify)

    def sink(data: bytes) -> None:
        if not (drops_redirects and response.status in _REDIRECTS):
            tail.add(data)

    response = Response(sink, is_head=request.method == "HEAD")
    data = request_bytes(request.method, url.target, _headers(request, url), request.body)
    async with connected(url.host, url.port, context, definition.tls_server_name) as streams:
        streams[1].write(data)  # read at the same time: a server may answer before it has it all
        await response.read(streams)
    return response


def _headers(request: _Request, url: _Url) -> list[tuple[str, str]]:
    if not _TOKEN.fullmatch(request.method):
        raise ProbeError(f"net/http: invalid method {request.method!r}")
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ProbeError(f"net/http: invalid header field {name!r}")
    given = {name.lower() for name, _ in request.headers}
    ours = {
        "Host": url.authority,
        "User-Agent": "Consul Health Check",
        "Accept": "text/plain, text/*, */*",
    }
    if url.credentials:
        ours["Authorization"] = url.credentials
    skipped = {"content-length", "connection", "transfer-encoding"}  # ours, or the connection's
    return [
        *((name, value) for name, value in ours.items() if name.lower() not in given),
        *((name, value) for name, value in request.headers if name.lower() not in skipped),
    ]


def _url(text: str) -> _Url:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ProbeError(f"{error}") from error
    if parts.scheme not in _PORTS:
        raise ProbeError(f'unsupported protocol scheme "{parts.scheme}"')
    if not parts.hostname:
        raise ProbeError("no Host in request URL")
    target = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        target += "?" + quote(parts.query, safe=_SAFE)
    credentials = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        credentials = "Basic " + base64.b64encode(pair.encode()).decode()
    return _Url(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target, credentials)
