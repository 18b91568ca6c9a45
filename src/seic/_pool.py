"""A pool of connections to one origin, in place of httpcore's: idle connections are a stack, waiting requests a queue.

httpcore's own pool goes through all connections for each request, and gives one idle connection to several requests, of
which all but one start again. Here the request that waited longest gets the next connection, a request that gives up
gives its place back, and each connection knows the generation of the credential that it was opened with: an old one
takes no further request, and is closed when its last one ends or, if it is idle, at the next request.

The connections are httpcore's, HTTP/1.1 or HTTP/2, direct or through a proxy; only public names of httpcore are used.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import attrs
import httpcore
import httpx

#: Seconds that the requests of an async client may take to end on replaced connections; then these are closed.
DRAIN_LIMIT = 300.0


@attrs.frozen
class Opener:
    """Opens connections with one credential.

    Args:
        open: Returns a new connection for an `httpcore.Origin`; it connects with its first request.
        generation: The credential's.
    """

    open: Callable[[Any], Any]
    generation: int


@attrs.define(eq=False)
class _Connection:
    http: Any
    generation: int
    #: The requests that it carries; more than one with HTTP/2 only.
    requests: int = 0
    idle_since: float = 0.0


@attrs.define(eq=False)
class _Waiter:
    request: httpcore.Request
    event: Any
    connection: _Connection | None = None

    @property
    def seconds(self) -> float | None:
        seconds: float | None = self.request.extensions.get("timeout", {}).get("pool")
        return seconds

    def taken(self) -> _Connection:
        if self.connection is None:
            raise httpcore.PoolTimeout(
                f"all connections were in use for {self.seconds:g} s; raise the pool timeout or "
                "limits=httpx.Limits(max_connections=...), or make fewer calls at once"
            )
        return self.connection


class _Connections:
    """Decide which connection carries a request. It does no I/O, and belongs to one process.

    Args:
        limits: How many there may be, and for how long idle ones are kept.
        http2: Whether connections offer HTTP/2.
        new_event: Returns what a waiting request waits for.
        drain_limit: Seconds after which connections of older generations are closed; None for never.
        opener: Opens connections.
    """

    def __init__(
        self,
        limits: httpx.Limits,
        http2: bool,  # noqa: FBT001 - for `functools.partial`
        new_event: Callable[[], Any],
        drain_limit: float | None,
        opener: Opener,
    ) -> None:
        self._opener = opener
        self._limit = sys.maxsize if limits.max_connections is None else limits.max_connections
        self._idle_limit = sys.maxsize if limits.max_keepalive_connections is None else limits.max_keepalive_connections
        self._expiry = float("inf") if limits.keepalive_expiry is None else limits.keepalive_expiry
        self._offers_http2 = http2
        #: Whether a connection carries several requests; None as long as no server has said so.
        self._shares = None if http2 else False
        self._new_event = new_event
        self._drain_limit = drain_limit
        self._lock = threading.RLock()
        self._idle: deque[_Connection] = deque()
        self._busy: dict[_Connection, None] = {}
        self._waiting: deque[_Waiter] = deque()
        #: When connections of generations before are closed.
        self._drains: deque[tuple[float, int]] = deque()
        #: What the caller has to close.
        self.closing: list[Any] = []

    def replace(self, opener: Opener) -> None:
        """Open connections with this from now on."""
        with self._lock:
            self._opener = opener
            if self._drain_limit is not None:
                self._drains.append((time.monotonic() + self._drain_limit, opener.generation))

    def take(self, request: httpcore.Request) -> _Connection | _Waiter:
        """Return a connection for the request; or, if all are in use, its place in the queue."""
        with self._lock:
            if not self._waiting and (connection := self._pick(request)) is not None:
                return connection
            waiter = _Waiter(request, self._new_event())
            self._waiting.append(waiter)
            return waiter

    def give(self, connection: _Connection) -> None:
        """Take a connection back from a request that has ended."""
        with self._lock:
            connection.requests -= 1
            if connection.requests == 0 and connection in self._busy:
                del self._busy[connection]
                is_current = connection.generation == self._opener.generation
                if is_current and len(self._idle) < self._idle_limit and connection.http.is_idle():
                    connection.idle_since = time.monotonic()
                    self._idle.append(connection)
                elif not connection.http.is_closed():
                    self.closing.append(connection.http)
            while self._waiting and (free := self._pick(self._waiting[0].request)) is not None:
                waiter = self._waiting.popleft()
                waiter.connection = free
                waiter.event.set()

    def note_response(self, response: httpcore.Response) -> None:
        """Learn from a response whether the server speaks HTTP/2."""
        if self._offers_http2:
            self._shares = response.extensions.get("http_version") == b"HTTP/2"

    def note_refusal(self) -> None:
        """Learn from a connection that takes no second request: it speaks HTTP/1.1, or the server ends it."""
        if self._shares is None:
            self._shares = False

    def leave(self, waiter: _Waiter) -> None:
        """Give a place in the queue back, or the connection that it has led to."""
        with self._lock:
            if waiter.connection is None:
                self._waiting.remove(waiter)
            else:
                self.give(waiter.connection)

    def clear(self) -> None:
        """Have every connection closed."""
        with self._lock:
            self.closing += [connection.http for connection in (*self._idle, *self._busy)]
            self._idle.clear()
            self._busy.clear()

    def _pick(self, request: httpcore.Request) -> _Connection | None:
        now, generation = time.monotonic(), self._opener.generation
        if self._drains and now >= self._drains[0][0]:
            self._close_before(self._drains.popleft()[1])
        # The oldest are first, and so are those of older generations.
        while self._idle and (self._idle[0].generation != generation or now - self._idle[0].idle_since > self._expiry):
            self.closing.append(self._idle.popleft().http)
        if self._shares is not False:
            for connection in self._busy:
                if connection.generation == generation and connection.http.is_available():
                    connection.requests += 1
                    return connection
        while self._idle:
            connection = self._idle.pop()
            # It asks the socket whether the server has closed it.
            if connection.http.is_available() and not connection.http.has_expired():
                return self._use(connection)
            self.closing.append(connection.http)
        if len(self._busy) >= self._limit:
            return None
        return self._use(_Connection(self._opener.open(request.url.origin), generation))

    def _use(self, connection: _Connection) -> _Connection:
        connection.requests = 1
        self._busy[connection] = None
        return connection

    def _close_before(self, generation: int) -> None:
        for connection in [one for one in self._busy if one.generation < generation]:
            del self._busy[connection]
            self.closing.append(connection.http)


class _Pool:
    def __init__(self, opener: Opener, started: Callable[[], None], make: Callable[[Opener], _Connections]) -> None:
        self._opener = opener
        self._started = started
        self._make = make
        #: By process: what a parent has opened is kept in its child, and never touched.
        self._processes: dict[int, _Connections] = {}

    def replace(self, opener: Opener) -> None:
        """Open connections with this from now on; older ones take no further request."""
        self._opener = opener
        self._here().replace(opener)

    def _here(self) -> _Connections:
        process = os.getpid()
        connections = self._processes.get(process)
        if connections is None:
            connections = self._processes.setdefault(process, self._make(self._opener))
            self._started()
        return connections


class AsyncPool(_Pool):
    """The pool of an `httpx.AsyncHTTPTransport`, for asyncio and trio.

    Args:
        opener: Opens connections.
        limits: As of httpx.
        http2: Whether connections may speak HTTP/2.
        started: Called once in each process that uses the pool.
    """

    def __init__(self, opener: Opener, limits: httpx.Limits, *, http2: bool, started: Callable[[], None]) -> None:
        make = functools.partial(_Connections, limits, http2, anyio.Event, DRAIN_LIMIT)
        super().__init__(opener, started, make)

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request.

        Raises:
            httpcore.PoolTimeout: All connections were in use for too long.
        """
        connections = self._here()
        while True:
            connection = connections.take(request)
            if isinstance(connection, _Waiter):
                connection = await self._wait(connections, connection)
            try:
                if connections.closing:
                    await _aclose(connections.closing)
                response = await connection.http.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:
                connections.note_refusal()
                await _agive(connections, connection)
            except BaseException:
                await _agive(connections, connection)
                raise
            else:
                connections.note_response(response)
                body = _AsyncBody(response.stream, connections, connection)
                return httpcore.Response(
                    response.status, headers=response.headers, content=body, extensions=response.extensions
                )

    async def aclose(self) -> None:
        """Close all connections."""
        connections = self._here()
        connections.clear()
        await _aclose(connections.closing)

    async def _wait(self, connections: _Connections, waiter: _Waiter) -> _Connection:
        try:
            with anyio.move_on_after(waiter.seconds):
                await waiter.event.wait()
            return waiter.taken()
        except BaseException:
            connections.leave(waiter)
            raise


async def _agive(connections: _Connections, connection: _Connection) -> None:
    connections.give(connection)
    if connections.closing:
        await _aclose(connections.closing)


async def _aclose(closing: list[Any]) -> None:
    with anyio.CancelScope(shield=True):
        while closing:
            with contextlib.suppress(Exception):  # the server may have closed it first
                await closing.pop().aclose()


class _AsyncBody:
    def __init__(self, stream: Any, connections: _Connections, connection: _Connection) -> None:
        self._stream = stream
        self._place = connections, connection
        self._is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self._stream.aclose()
            finally:
                await _agive(*self._place)


class Pool(_Pool):
    """The pool of an `httpx.HTTPTransport`, for any number of threads; see `AsyncPool`."""

    def __init__(self, opener: Opener, limits: httpx.Limits, *, http2: bool, started: Callable[[], None]) -> None:
        # Without a drain limit: the number of a socket in which another thread reads would be given to the next
        # connection while that thread still reads from it.
        super().__init__(opener, started, functools.partial(_Connections, limits, http2, threading.Event, None))

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; raises as `AsyncPool.handle_async_request` does."""
        connections = self._here()
        while True:
            connection = connections.take(request)
            if isinstance(connection, _Waiter):
                connection = self._wait(connections, connection)
            try:
                _close(connections.closing)
                response = connection.http.handle_request(request)
            except httpcore.ConnectionNotAvailable:
                connections.note_refusal()
                _give(connections, connection)
            except BaseException:
                _give(connections, connection)
                raise
            else:
                connections.note_response(response)
                body = _Body(response.stream, connections, connection)
                return httpcore.Response(
                    response.status, headers=response.headers, content=body, extensions=response.extensions
                )

    def close(self) -> None:
        """Close all connections."""
        connections = self._here()
        connections.clear()
        _close(connections.closing)

    def _wait(self, connections: _Connections, waiter: _Waiter) -> _Connection:
        try:
            waiter.event.wait(waiter.seconds)
            return waiter.taken()
        except BaseException:
            connections.leave(waiter)
            raise


def _give(connections: _Connections, connection: _Connection) -> None:
    connections.give(connection)
    _close(connections.closing)


def _close(closing: list[Any]) -> None:
    while closing:
        # Another thread may take the last one, and the server may have closed it first.
        with contextlib.suppress(Exception):
            closing.pop().close()


class _Body:
    def __init__(self, stream: Any, connections: _Connections, connection: _Connection) -> None:
        self._stream = stream
        self._place = connections, connection
        self._is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        try:
            self._stream.close()
        finally:
            _give(*self._place)
