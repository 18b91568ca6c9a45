"""One exchange with a provider's endpoint: sent once, not redirected, read through a limit, within a total deadline.

httpx's exceptions end here: callers see a typed error whose cause has been stripped of the request, which holds the
client's secrets in its headers and form.
"""

from __future__ import annotations

import random
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

import anyio
import attrs
import httpx

from seic._concurrency import run_in_thread
from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenError
from seic._httpx import either
from seic._model.provider import Provider
from seic._network.error_frames import free_of_secrets
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._oauth.redact import find_tracking_id, sanitize, secrets_in
from seic._oauth.reply import Reply
from seic._portal import is_in_portal
from seic._tokens.backoff import FIRST_SHARE, WORTHWHILE_SHARE, retry_delay
from seic._values import frozen

_T = TypeVar("_T")

#: The share of the deadline that one phase of an exchange may take.
_PHASE = 0.9
#: The longest that closing a connection may take, in seconds, once the deadline has passed.
_CLOSING = 1.0
#: Values of `Content-Encoding` of a body that is not compressed: the RFC's, and others that servers send in its place.
_NOT_COMPRESSED = frozenset({"", "identity", "none", "utf-8", "utf8", "binary", "8bit", "7bit"})
#: The extension in which a request keeps the `Head` of its response, once that has arrived.
HEAD = "seic.head"
#: The dialect of a reply whose provider is not known yet.
_PLAIN = Provider(token_url="/")


@frozen
class Head:
    """The first part of a response; `version` is that of HTTP, as `1.1`, if the transport tells it."""

    status: int
    headers: httpx.Headers = attrs.field(repr=False)
    version: str | None = None


def http_version(extensions: Mapping[str, Any]) -> str | None:
    """Return the version of HTTP of a response, as `1.1` or `2`; None if its transport does not tell it."""
    named = extensions.get("http_version")
    return named.decode("ascii", "replace").removeprefix("HTTP/") if isinstance(named, bytes) else None


class TransportSource(Protocol):
    """Opens the transport of one exchange; `_network.transport_factory` has the one that is used."""

    #: Whether the transport is closed after the exchange; a user's own stays open.
    closes_after_call: bool
    #: The `User-Agent` of each request.
    user_agent: str

    def open(self) -> httpx.AsyncBaseTransport: ...

    def open_sync(self) -> httpx.BaseTransport: ...


async def exchange(
    transports: TransportSource,
    request: httpx.Request,
    *,
    seconds: float,
    provider: Provider | None = None,
    wall: Callable[[], float] = time.time,
) -> Reply:
    """Send a request and read the response to its end, in so many seconds; the provider names the tracking header.

    Each exchange has a connection of its own: they are an hour apart, longer than servers keep a connection, and a pool
    would bind the token to one event loop and to one certificate.
    """
    handled = sys.exc_info()[1]
    request.headers.setdefault("User-Agent", transports.user_agent)
    # A request built by hand has no timeouts, and would wait for ever. They end before the deadline, because httpcore
    # closes a connection whose handshake takes too long, and leaves one open whose handshake is cancelled.
    limits = request.extensions.get("timeout", {})
    longest = _PHASE * seconds
    phases = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {phase: min(longest, limits.get(phase, longest)) for phase in phases}
    failure: SeicError
    cause: BaseException | None
    try:
        with anyio.fail_after(seconds):
            # A user's own transport is not called in the portal's loop, which it could block.
            if not transports.closes_after_call and is_in_portal():
                body, response = await run_in_thread(_carry_blocking, transports.open_sync(), request)
            else:
                body, response = await _carry(transports, request)
        return Reply(
            status=response.status_code,
            headers=response.headers,
            body=body,
            host=request.url.netloc.decode("ascii"),
            url=f"{request.url.scheme}://{request.url.netloc.decode('ascii')}{request.url.path}",
            now=wall(),
            secrets=secrets_in(request),
            provider=provider or _PLAIN,
        )
    except SeicError as error:
        # A fresh one, because the frames of the first hold what was sent and what came back.
        failure, cause = error.fresh(), error.__cause__
    except Exception as error:  # noqa: BLE001  # a user's transport may raise anything
        failure, cause = _unavailable(error, request, seconds, handled, advises=provider is not None)
    head: Head | None = request.extensions.get(HEAD)
    if isinstance(failure, TokenError) and failure.tracking_id is None and head is not None and provider is not None:
        failure.tracking_id = find_tracking_id(head.headers, provider.tracking_header, secrets=secrets_in(request))
    raise failure from cause


async def in_two_attempts(call: Callable[[float], Awaitable[_T]], seconds: float) -> _T:
    """Return the result of a call that may be made twice: once more, on a new connection, if there was no answer.

    The time is divided as for token requests. The call is given the seconds that it may take.
    """
    ends = anyio.current_time() + seconds
    try:
        return await call(FIRST_SHARE * seconds)
    except SeicError as error:
        # A fresh one, because the frames of the first hold what was sent and what came back.
        failure, cause = error.fresh(), error.__cause__
    pause = retry_delay(failure, random.random())  # noqa: S311  # chance, no secret
    if pause is None or ends - anyio.current_time() - pause < WORTHWHILE_SHARE * seconds:
        raise failure from cause
    await anyio.sleep(pause)
    return await call(ends - anyio.current_time())


async def without_frames(call: Coroutine[Any, Any, _T]) -> _T:
    """Await a call; raise its error without the frames that hold what was sent and what came back."""
    try:
        return await call
    except SeicError as error:
        failure = error.fresh()
    raise failure from failure.__cause__


async def _carry(transports: TransportSource, request: httpx.Request) -> tuple[bytes, httpx.Response]:
    transport = transports.open()
    try:
        response = await transport.handle_async_request(request)
        try:
            body = _BoundedBody(request, response)
            async for chunk in response.stream:  # type: ignore[union-attr]  # an async transport's stream is async
                body.feed(chunk)
            return body.finish(), response
        finally:
            with anyio.move_on_after(_CLOSING, shield=True):
                await response.aclose()
    finally:
        if transports.closes_after_call:
            with anyio.move_on_after(_CLOSING, shield=True):
                await transport.aclose()


def _carry_blocking(transport: httpx.BaseTransport, request: httpx.Request) -> tuple[bytes, httpx.Response]:
    response = transport.handle_request(request)
    try:
        body = _BoundedBody(request, response)
        for chunk in response.stream:  # type: ignore[union-attr]  # a blocking transport's stream is blocking
            body.feed(chunk)
        return body.finish(), response
    finally:
        response.close()


def _unavailable(
    error: Exception, request: httpx.Request, seconds: float, handled: BaseException | None, *, advises: bool
) -> tuple[SeicError, Exception | None]:
    secrets = secrets_in(request)
    cause = free_of_secrets(error, secrets, handled=handled)
    if isinstance(error, (TimeoutError, *either("TimeoutException"))):
        problem = f"no whole answer within {seconds:.3g} s" + ("; if it is slow, raise token_timeout" * advises)
    else:
        problem = ": ".join(filter(None, (type(error).__name__, sanitize(str(error), secrets=secrets))))
    host = request.url.netloc.decode("ascii")
    return TokenEndpointUnavailable(f"{host}: {_endpoint(request)} could not be reached: {problem}"), cause


def _endpoint(request: httpx.Request) -> str:
    # Metadata and key sets are read with GET (RFC 8414 §3.1).
    return "the server" if request.method == "GET" else "the token endpoint"


class _BoundedBody:
    """Gathers a body up to the limit, decompressing in bounded steps, so that a bomb costs no more than the limit."""

    def __init__(self, request: httpx.Request, response: httpx.Response) -> None:
        headers = response.headers
        # It is known from now on, whatever becomes of the body.
        request.extensions[HEAD] = Head(response.status_code, headers, http_version(response.extensions))
        self._host = request.url.netloc.decode("ascii")
        self._reply = "its document" if request.method == "GET" else "the token endpoint's reply"
        self._parts: list[bytes] = []
        self._size = 0
        named = [each.strip().lower() for each in headers.get("content-encoding", "").split(",")]
        encodings = [each for each in named if each not in _NOT_COMPRESSED]
        if not encodings:
            self._inflater = None
        elif encodings in (["gzip"], ["x-gzip"], ["deflate"]):
            self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32 if encodings != ["deflate"] else zlib.MAX_WBITS)
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
        return InvalidTokenResponse(f"{self._host}: {self._reply} is unusable: {what}", problem=problem)
