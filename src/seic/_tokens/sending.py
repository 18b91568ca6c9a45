"""One token call on the wire: sent once, never redirected, read through a limit, within a deadline of its own.

httpx's exceptions end here: what leaves is a typed error whose cause has been freed of the request, which holds the
client's secrets in its headers and form.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import httpx

from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenError
from seic._network.error_frames import free_of_secrets
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._oauth.redact import find_tracking_id, sanitize, secrets_in
from seic._oauth.reply import Reply
from seic._runtime import within
from seic._tokens.lifeline import CallEnded, Lifeline

#: How much of the deadline one phase of a call may take.
_PHASE = 0.9
#: Where a request keeps the head of its answer: it is known from then on, whatever becomes of the body.
_HEAD = "seic.head"


@attrs.frozen
class Head:
    """What arrived first of an answer; `version` is that of HTTP, as `1.1`, where the transport tells."""

    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    version: str | None = None


def head_of(request: httpx.Request) -> Head | None:
    """Return the head of the answer to a request that was sent; None where none has arrived."""
    head: Head | None = request.extensions.get(_HEAD)
    return head


def _note_head(request: httpx.Request, response: httpx.Response) -> None:
    version = http_version(response.extensions)
    request.extensions[_HEAD] = Head(response.status_code, response.headers, version)


def http_version(extensions: Mapping[str, Any]) -> str | None:
    """Return the version of HTTP that an answer came in, as `1.1` or `2`; None where its transport does not tell."""
    named = extensions.get("http_version")
    return named.decode("ascii", "replace").removeprefix("HTTP/") if isinstance(named, bytes) else None


class TransportSource(Protocol):
    """Opens the transport of a token call; `_network.transport_factory` has the one that is used."""

    def open(self) -> httpx.AsyncBaseTransport:
        """Return a transport for one call in the running event loop."""
        ...

    def open_sync(self) -> httpx.BaseTransport:
        """Return a transport for one call in this thread."""
        ...

    @property
    def closes_after_call(self) -> bool:
        """Whether the caller closes the transport after the call."""
        ...


class Sender:
    """Sends token calls over fresh connections.

    A connection a call, rather than a pool: calls are an hour apart, longer than any server keeps a connection, and a
    pool would tie the token to one event loop and to one certificate.

    Args:
        transports: Opens a transport for each call.
        tracking_header: The response header that names a call, for errors; None where there is none.
    """

    def __init__(self, transports: TransportSource, *, tracking_header: str | None = None) -> None:
        self._transports = transports
        self._tracking_header = tracking_header

    async def send(self, request: httpx.Request, seconds: float) -> Reply:
        """Send the request and read the reply.

        Args:
            request: What to send.
            seconds: The deadline for the whole call: connecting, sending, and reading the reply to its end.

        Raises:
            TokenEndpointUnavailable: The connection failed or the deadline passed.
            InvalidTokenResponse: The reply is too large or cannot be decompressed.
        """
        handled = sys.exc_info()[1]
        _set_timeouts(request, seconds)
        try:
            return await within(seconds, lambda: self._exchange(request))
        except SeicError as error:
            self._track(error, request)
            raise
        except Exception as error:  # noqa: BLE001  # a transport of the user's may raise anything
            failure, cause = self._translate(error, request, seconds, handled)
        self._track(failure, request)
        raise failure from cause

    def send_sync(self, request: httpx.Request, seconds: float, line: Lifeline) -> Reply:
        """Send the request and read the reply, blocking; see `send`.

        Args:
            request: What to send.
            seconds: The deadline.
            line: What ends the call from outside.

        Raises:
            CallEnded: The line was cut.
        """
        handled = sys.exc_info()[1]
        _set_timeouts(request, seconds)
        request.extensions["trace"] = line.watch
        try:
            with line.within(seconds):
                return self._exchange_sync(request)
        except CallEnded:
            raise
        except SeicError as error:
            self._track(error, request)
            raise
        except Exception as error:  # noqa: BLE001  # a transport of the user's may raise anything
            failure, cause = self._translate(error, request, seconds, handled)
        self._track(failure, request)
        raise failure from cause

    async def _exchange(self, request: httpx.Request) -> Reply:
        transport = self._transports.open()
        try:
            response = await transport.handle_async_request(request)
            _note_head(request, response)
            try:
                body = _BoundedBody(response.headers, request.url.netloc.decode("ascii"))
                async for chunk in response.stream:  # type: ignore[union-attr]  # an async transport's stream is async
                    body.feed(chunk)
                return _read(request, response, body.finish())
            finally:
                await response.aclose()
        finally:
            if self._transports.closes_after_call:
                await transport.aclose()

    def _exchange_sync(self, request: httpx.Request) -> Reply:
        transport = self._transports.open_sync()
        try:
            response = transport.handle_request(request)
            _note_head(request, response)
            try:
                body = _BoundedBody(response.headers, request.url.netloc.decode("ascii"))
                for chunk in response.stream:  # type: ignore[union-attr]  # a sync transport's stream is sync
                    body.feed(chunk)
                return _read(request, response, body.finish())
            finally:
                response.close()
        finally:
            if self._transports.closes_after_call:
                transport.close()

    def _track(self, error: SeicError, request: httpx.Request) -> None:
        """Have the error of a reply whose head arrived carry its tracking id."""
        head = head_of(request)
        if isinstance(error, TokenError) and error.tracking_id is None and head is not None:
            error.tracking_id = find_tracking_id(head.headers, self._tracking_header, secrets=secrets_in(request))

    def _translate(
        self, error: Exception, request: httpx.Request, seconds: float, handled: BaseException | None
    ) -> tuple[SeicError, Exception | None]:
        host = request.url.netloc.decode("ascii")
        secrets = secrets_in(request)
        cause = free_of_secrets(error, secrets, handled=handled)
        if isinstance(error, (TimeoutError, httpx.TimeoutException)):
            problem = f"no whole answer within {seconds:.3g} s"
        else:
            problem = ": ".join(filter(None, (type(error).__name__, sanitize(str(error), secrets=secrets))))
        return TokenEndpointUnavailable(f"{host}: the token endpoint could not be reached: {problem}"), cause


def _read(request: httpx.Request, response: httpx.Response, body: bytes) -> Reply:
    return Reply(
        status=response.status_code,
        headers=response.headers,
        body=body,
        host=request.url.netloc.decode("ascii"),
        secrets=secrets_in(request),
    )


def _set_timeouts(request: httpx.Request, seconds: float) -> None:
    # A request built by hand carries none, and would wait for ever. They come before the deadline, since httpcore
    # closes a connection whose handshake takes too long, and leaves one open whose handshake is cancelled.
    request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), _PHASE * seconds)


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
            if self._inflater.unused_data:
                # zlib would keep all of it, however long it goes on.
                raise self._invalid("something follows its compressed body", problem="content-encoding")
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
