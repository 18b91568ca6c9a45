"""One token call on the wire: sent once, never redirected, read through a limit, within a deadline of its own.

httpx's exceptions end here: what leaves is a typed error whose cause has been freed of the request, which holds the
client's secrets in its headers and form.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from typing import Protocol

import attrs
import httpx

from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._runtime import within


@attrs.frozen
class Reply:
    """What came back, read whole and decompressed; `secrets` is what the request held, and no error may repeat."""

    status: int
    headers: httpx.Headers
    body: bytes = attrs.field(repr=False)
    secrets: tuple[str, ...] = attrs.field(default=(), repr=False)


class Connector(Protocol):
    """Opens what carries a token call; above this room stands the choice of TLS identity, proxy and test transport."""

    async def open_async(self) -> httpx.AsyncBaseTransport:
        """Return a transport for one call in the running event loop."""
        ...

    def open_sync(self) -> httpx.BaseTransport:
        """Return a transport for one call in this thread."""
        ...

    @property
    def owned(self) -> bool:
        """Whether the transport is closed after the call."""
        ...

    def explain(self, error: Exception, request: httpx.Request) -> SeicError | None:
        """Return a better account of a failed connection, or None."""
        ...


class Sender:
    """Sends token calls over fresh connections.

    A connection a call, rather than a pool: calls are an hour apart, longer than any server keeps a connection, and a
    pool would tie the token to one event loop and to one certificate.

    Args:
        connector: What opens a transport.
        timeout: Seconds for the whole call: connecting, sending, and reading the reply to its end.
    """

    def __init__(self, connector: Connector, *, timeout: float) -> None:
        self._connector = connector
        self.timeout = timeout

    async def send(self, request: httpx.Request) -> Reply:
        """Send the request and read the reply.

        Raises:
            TokenEndpointUnavailable: The connection failed or the deadline passed.
            InvalidTokenResponse: The reply is too large or cannot be decompressed.
        """
        self._set_timeouts(request)
        try:
            return await within(self.timeout, lambda: self._exchange(request))
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            failure, cause = self._translate(error, request)
        raise failure from cause

    def send_sync(self, request: httpx.Request) -> Reply:
        """Send the request and read the reply, blocking; see `send`."""
        self._set_timeouts(request)
        try:
            return self._exchange_sync(request)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            failure, cause = self._translate(error, request)
        raise failure from cause

    async def _exchange(self, request: httpx.Request) -> Reply:
        transport = await self._connector.open_async()
        try:
            response = await transport.handle_async_request(request)
            try:
                body = _BoundedBody(response.headers, str(request.url.host))
                async for chunk in response.stream:  # type: ignore[union-attr]  # an async transport's stream is async
                    body.feed(chunk)
                return Reply(response.status_code, response.headers, body.finish())
            finally:
                await response.aclose()
        finally:
            if self._connector.owned:
                await transport.aclose()

    def _exchange_sync(self, request: httpx.Request) -> Reply:
        # A server that drips bytes outlives every read timeout, so the clock is looked at between the chunks, too.
        ends = time.monotonic() + self.timeout
        transport = self._connector.open_sync()
        try:
            response = transport.handle_request(request)
            try:
                body = _BoundedBody(response.headers, str(request.url.host))
                for chunk in response.stream:  # type: ignore[union-attr]  # a sync transport's stream is sync
                    body.feed(chunk)
                    if time.monotonic() > ends:
                        raise TimeoutError
                return Reply(response.status_code, response.headers, body.finish())
            finally:
                response.close()
        finally:
            if self._connector.owned:
                transport.close()

    def _set_timeouts(self, request: httpx.Request) -> None:
        # A request built by hand carries none, and would wait for ever.
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), self.timeout)

    def _translate(self, error: Exception, request: httpx.Request) -> tuple[SeicError, Exception]:
        host = request.url.netloc.decode("ascii")
        explained = self._connector.explain(error, request)
        cause = free_of_secrets(error)
        if explained is not None:
            return explained, cause
        if isinstance(error, (TimeoutError, httpx.TimeoutException)):
            problem = f"no whole answer within {self.timeout:g} s"
        else:
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return TokenEndpointUnavailable(f"{host}: the token endpoint could not be reached: {problem}"), cause


def free_of_secrets(error: Exception) -> Exception:
    """Strip a foreign exception and its causes of requests and frames, in place, and return it.

    An `httpx.RequestError` holds the request, and the frames of the libraries hold the raw headers and form: crash
    reporters and pickles would take them along.
    """
    seen: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        link = queue.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = None
        if isinstance(link, httpx.RequestError):
            with contextlib.suppress(RuntimeError):  # it never had a request
                link.request = httpx.Request(link.request.method, link.request.url.copy_with(query=None))
        queue += [link.__cause__, link.__context__]
    return error


class _BoundedBody:
    """Gathers a body up to the limit, decompressing in bounded steps, so that a bomb costs no more than the limit."""

    def __init__(self, headers: httpx.Headers, host: str) -> None:
        self._host = host
        self._parts: list[bytes] = []
        self._size = 0
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("", "identity"):
            self._inflater = None
        elif encoding in ("gzip", "x-gzip", "deflate"):
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32 if encoding != "deflate" else zlib.MAX_WBITS)
        else:
            # The name of the encoding is the server's text, so it stays out of the message.
            raise self._invalid("it is compressed in a way that was not asked for", problem="content-encoding")

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk off the wire."""
        if self._inflater is not None:
            try:
                chunk = self._inflater.decompress(chunk, MAX_REPLY_BYTES - self._size + 1)
            except zlib.error:
                raise self._invalid("it cannot be decompressed", problem="content-encoding") from None
        self._size += len(chunk)
        if self._size > MAX_REPLY_BYTES:
            raise self._invalid(f"it is larger than {MAX_REPLY_BYTES} bytes", problem="size")
        self._parts.append(chunk)

    def finish(self) -> bytes:
        """Return the body."""
        if self._inflater is not None and self._parts and not self._inflater.eof:
            raise self._invalid("its compressed body ends too early", problem="content-encoding")
        return b"".join(self._parts)

    def _invalid(self, what: str, *, problem: str) -> InvalidTokenResponse:
        return InvalidTokenResponse(f"{self._host}: the token endpoint's reply is unusable: {what}", problem=problem)
