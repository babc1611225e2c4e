"""Transports for httpx that send each request to a chosen instance: needs `quorate[httpx]`.

    web = client.choose("web")
    async with httpx.AsyncClient(mounts={"http://web": AsyncBalancedTransport(web)}) as http:
        await http.get("http://web/page")

The host of the URL, the name of the service, stays in the `Host` header. A request that could not
connect is tried at another instance, whatever its method, as nothing was sent; one of a safe method
(GET, HEAD, OPTIONS) also after a broken connection, a timeout, or an answer 502, 503 or 504. All
tries but the first are paid by the retry budget. Failures and answers from 500 on count against the
instance; a request is in flight until its response is closed.
"""

from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx

from quorate.base.errors import UnavailableError
from quorate.client.aio.choosing import AsyncChooser
from quorate.client.choices import ServiceInstance
from quorate.client.picks import Pick
from quorate.client.sync.choosing import Chooser

TRIES_MAX = 3
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ELSEWHERE = frozenset({502, 503, 504})
"""Answers of an instance that cannot serve now: another one may."""
CALLERS = (httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""Failures that are no instance's."""


class AsyncBalancedTransport(httpx.AsyncBaseTransport):
    """For `httpx.AsyncClient`.

    Args:
        chooser: Of one service.
        transport: Sends to the instances; None: one of httpx, with its defaults.
        tries_max: Instances that a request is sent to, at most.
    """

    def __init__(
        self,
        chooser: AsyncChooser,
        transport: httpx.AsyncBaseTransport | None = None,
        tries_max: int = TRIES_MAX,
    ) -> None:
        self._chooser = chooser
        self._transport = transport or httpx.AsyncHTTPTransport()
        self._tries_max = tries_max

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; httpx calls it.

        Raises:
            httpx.ConnectError: No instance is healthy, or none could be reached.
            httpx.TransportError: As the last instance that was tried failed.
        """
        failed: list[ServiceInstance] = []
        while True:
            try:
                pick = await self._chooser.pick(excluded=failed)
            except UnavailableError as error:
                raise httpx.ConnectError(str(error), request=request) from error
            failed.append(pick.instance)
            try:
                response = await self._transport.handle_async_request(addressed(request, pick))
            except CALLERS:
                pick.done(is_ok=None)
                raise
            except httpx.TransportError as error:
                pick.done(is_ok=False)
                if not (_may_repeat(request, error) and self._has_more(failed)):
                    raise
                continue
            except BaseException:  # cancelled, or not about the instance: whatever, it has ended
                pick.done(is_ok=None)
                raise
            is_elsewhere = response.status_code in ELSEWHERE and request.method in SAFE
            if is_elsewhere and self._has_more(failed):
                pick.done(is_ok=False)
                await response.aclose()
                continue
            response.stream = _AsyncCounted(
                cast("httpx.AsyncByteStream", response.stream), pick, response.status_code < 500
            )
            return response

    def _has_more(self, failed: list[ServiceInstance]) -> bool:
        others = len(self._chooser.instances) > len(failed)
        return others and len(failed) < self._tries_max and self._chooser.may_retry()

    async def aclose(self) -> None:
        """Close the connections to the instances."""
        await self._transport.aclose()


class BalancedTransport(httpx.BaseTransport):
    """For `httpx.Client`; threads may share it.

    Args:
        chooser: Of one service.
        transport: Sends to the instances; None: one of httpx, with its defaults.
        tries_max: Instances that a request is sent to, at most.
    """

    def __init__(
        self,
        chooser: Chooser,
        transport: httpx.BaseTransport | None = None,
        tries_max: int = TRIES_MAX,
    ) -> None:
        self._chooser = chooser
        self._transport = transport or httpx.HTTPTransport()
        self._tries_max = tries_max

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; httpx calls it. Raises as `AsyncBalancedTransport`."""
        failed: list[ServiceInstance] = []
        while True:
            try:
                pick = self._chooser.pick(excluded=failed)
            except UnavailableError as error:
                raise httpx.ConnectError(str(error), request=request) from error
            failed.append(pick.instance)
            try:
                response = self._transport.handle_request(addressed(request, pick))
            except CALLERS:
                pick.done(is_ok=None)
                raise
            except httpx.TransportError as error:
                pick.done(is_ok=False)
                if not (_may_repeat(request, error) and self._has_more(failed)):
                    raise
                continue
            except BaseException:
                pick.done(is_ok=None)
                raise
            is_elsewhere = response.status_code in ELSEWHERE and request.method in SAFE
            if is_elsewhere and self._has_more(failed):
                pick.done(is_ok=False)
                response.close()
                continue
            response.stream = _Counted(
                cast("httpx.SyncByteStream", response.stream), pick, response.status_code < 500
            )
            return response

    def _has_more(self, failed: list[ServiceInstance]) -> bool:
        others = len(self._chooser.instances) > len(failed)
        return others and len(failed) < self._tries_max and self._chooser.may_retry()

    def close(self) -> None:
        """Close the connections to the instances."""
        self._transport.close()


def addressed(request: httpx.Request, pick: Pick) -> httpx.Request:
    """The request with the address of an instance in its URL, and its headers as they were."""
    url = request.url.copy_with(host=pick.instance.address, port=pick.instance.port or None)
    extensions = request.extensions
    if url.scheme == "https":  # the certificate is that of the service
        extensions = {"sni_hostname": request.url.host, **extensions}
    return httpx.Request(
        request.method, url, headers=request.headers, stream=request.stream, extensions=extensions
    )


def _may_repeat(request: httpx.Request, error: httpx.TransportError) -> bool:
    return isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or request.method in SAFE


class _AsyncCounted(httpx.AsyncByteStream):
    """A body; when it is closed, its request has ended."""

    def __init__(self, stream: httpx.AsyncByteStream, pick: Pick, is_ok: bool) -> None:
        self._stream, self._pick, self._is_ok = stream, pick, is_ok

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                yield piece
        except httpx.TransportError:
            self._is_ok = False
            raise

    async def aclose(self) -> None:
        self._pick.done(is_ok=self._is_ok)
        await self._stream.aclose()


class _Counted(httpx.SyncByteStream):
    """A body; when it is closed, its request has ended."""

    def __init__(self, stream: httpx.SyncByteStream, pick: Pick, is_ok: bool) -> None:
        self._stream, self._pick, self._is_ok = stream, pick, is_ok

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.TransportError:
            self._is_ok = False
            raise

    def close(self) -> None:
        self._pick.done(is_ok=self._is_ok)
        self._stream.close()
