"""A pool of connections to one origin, in place of httpcore's: idle connections are a stack, waiting requests a queue.

httpcore's own pool goes through all connections for each request, and gives one idle connection to several requests, of
which all but one start again. Here the request that waited longest gets the next connection, a request that gives up
gives its place back, and each connection knows the generation of the credential that it was opened with: an old one
takes no further request, and is closed when its last one ends or, if it is idle, at the next request.

The connections are httpcore's, HTTP/1.1 or HTTP/2, direct or through a proxy; only public names of httpcore are used.
The two pools differ in what waits; their decisions are in `_Pool`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, ClassVar

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


_TIMEOUTS: dict[type[Exception], str] = {httpcore.ReadTimeout: "read", httpcore.WriteTimeout: "write"}


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


@attrs.define(eq=False)
class _State:
    """The state of one process: a child keeps its parent's connections, and never uses them."""

    #: Reentrant, for a finalizer may end a request while the lock is held.
    lock: threading.RLock = attrs.field(factory=threading.RLock)
    idle: deque[_Connection] = attrs.field(factory=deque)
    busy: dict[_Connection, None] = attrs.field(factory=dict)
    waiting: deque[_Waiter] = attrs.field(factory=deque)
    #: When connections of older generations are closed.
    drains: deque[tuple[float, int]] = attrs.field(factory=deque)
    #: Connections that the caller has to close.
    closing: list[Any] = attrs.field(factory=list)


class _Pool:
    """Decide which connection carries a request, without any I/O.

    Args:
        opener: Opens connections.
        limits: As of httpx.
        http2: Whether connections offer HTTP/2.
        started: Called once in each process that uses the pool.
    """

    _event: ClassVar[Any]
    #: Whether connections of older generations are closed at last, with their requests.
    _drains: ClassVar[bool]

    def __init__(self, opener: Opener, limits: httpx.Limits, *, http2: bool, started: Callable[[], None]) -> None:
        self._opener = opener
        self._started = started
        self._limit = sys.maxsize if limits.max_connections is None else limits.max_connections
        self._idle_limit = sys.maxsize if limits.max_keepalive_connections is None else limits.max_keepalive_connections
        self._expiry = float("inf") if limits.keepalive_expiry is None else limits.keepalive_expiry
        self._http2 = http2
        #: Whether a connection carries several requests; None as long as no server has said so.
        self._shares = None if http2 else False
        self._states: dict[int, _State] = {}

    def replace(self, opener: Opener) -> None:
        """Open connections with this from now on."""
        state = self._state()
        with state.lock:
            self._opener = opener
            if self._drains:
                state.drains.append((time.monotonic() + DRAIN_LIMIT, opener.generation))

    def _state(self) -> _State:
        process = os.getpid()
        state = self._states.get(process)
        if state is None:
            state = self._states.setdefault(process, _State())
            self._started()
        return state

    def _take(self, state: _State, request: httpcore.Request) -> _Connection | _Waiter:
        """Return a connection for the request; or, if all are in use, its place in the queue."""
        with state.lock:
            if not state.waiting and (connection := self._pick(state, request)) is not None:
                return connection
            waiter = _Waiter(request, self._event())
            state.waiting.append(waiter)
            return waiter

    def _give(self, state: _State, connection: _Connection) -> None:
        """Take a connection back from a request that has ended."""
        with state.lock:
            connection.requests -= 1
            if connection.requests == 0 and connection in state.busy:
                del state.busy[connection]
                is_current = connection.generation == self._opener.generation
                if is_current and len(state.idle) < self._idle_limit and connection.http.is_idle():
                    connection.idle_since = time.monotonic()
                    state.idle.append(connection)
                elif not connection.http.is_closed():
                    state.closing.append(connection.http)
            while state.waiting and (free := self._pick(state, state.waiting[0].request)) is not None:
                waiter = state.waiting.popleft()
                waiter.connection = free
                waiter.event.set()

    def _leave(self, state: _State, waiter: _Waiter) -> None:
        """Give a place in the queue back, or the connection that it has led to."""
        with state.lock:
            if waiter.connection is None:
                state.waiting.remove(waiter)
            else:
                self._give(state, waiter.connection)

    def _clear(self) -> list[Any]:
        """Return what has to be closed: all connections."""
        state = self._state()
        with state.lock:
            state.closing += [connection.http for connection in (*state.idle, *state.busy)]
            state.idle.clear()
            state.busy.clear()
            return state.closing

    def _learn(self, response: httpcore.Response | None) -> None:
        """Note whether the server speaks HTTP/2, by a response, or by a connection that took no second request."""
        if response is not None:
            self._shares = response.extensions.get("http_version") == b"HTTP/2"
        elif self._shares is None:
            self._shares = False

    def _pick(self, state: _State, request: httpcore.Request) -> _Connection | None:
        self._sweep(state)
        generation = self._opener.generation
        if self._shares is not False:
            for shared in state.busy:
                if shared.generation == generation and shared.http.is_available():
                    shared.requests += 1
                    return shared
        connection: _Connection | None = None
        while state.idle and connection is None:
            connection = state.idle.pop()
            # It asks the socket whether the server has closed it.
            if connection.http.has_expired() or not connection.http.is_available():
                state.closing.append(connection.http)
                connection = None
        if connection is None and len(state.busy) < self._limit:
            connection = _Connection(self._opener.open(request.url.origin), generation)
        if connection is not None:
            connection.requests = 1
            state.busy[connection] = None
        return connection

    def _sweep(self, state: _State) -> None:
        now, generation, idle = time.monotonic(), self._opener.generation, state.idle
        # The oldest are first, and so are those of older generations.
        while idle and (idle[0].generation != generation or now - idle[0].idle_since > self._expiry):
            state.closing.append(idle.popleft().http)
        if state.drains and now >= state.drains[0][0]:
            drained = state.drains.popleft()[1]
            for connection in [one for one in state.busy if one.generation < drained]:
                del state.busy[connection]
                state.closing.append(connection.http)


def _explain(error: BaseException, request: httpcore.Request) -> None:
    """Say what was waited for, how long, and which setting decides, or that the connection broke; httpcore does not."""
    host = request.url.host.decode("ascii")
    kind = next((word for cls, word in _TIMEOUTS.items() if isinstance(error, cls)), None)
    seconds = request.extensions.get("timeout", {}).get(kind)
    if kind is not None and seconds is not None:
        what = "took no more of the request for" if kind == "write" else "may have the request, but sent no data for"
        error.args = (f"{host} {what} {seconds:g} s; raise the {kind} timeout, timeout=httpx.Timeout(..., {kind}=...)",)
    elif isinstance(error, (httpcore.ReadError, httpcore.WriteError)) and not str(error):
        error.args = (f"the connection to {host} was lost before the response was complete",)


class AsyncPool(_Pool):
    """The pool of an `httpx.AsyncHTTPTransport`, for asyncio and trio; see `_Pool`."""

    _event = anyio.Event
    _drains = True

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request.

        Raises:
            httpcore.PoolTimeout: All connections were in use for too long.
        """
        state = self._state()
        while True:
            connection = self._take(state, request)
            if isinstance(connection, _Waiter):
                connection = await self._wait(state, connection)
            try:
                if state.closing:
                    await _aclose(state.closing)
                response = await connection.http.handle_async_request(request)
            except httpcore.ConnectionNotAvailable:
                self._learn(None)
                await self._end(state, connection)
            except BaseException as error:
                _explain(error, request)
                await self._end(state, connection)
                raise
            else:
                if self._http2:
                    self._learn(response)
                return httpcore.Response(
                    response.status,
                    headers=response.headers,
                    content=_AsyncBody(request, response.stream, functools.partial(self._end, state, connection)),
                    extensions=response.extensions,
                )

    async def aclose(self) -> None:
        """Close all connections."""
        await _aclose(self._clear())

    async def _wait(self, state: _State, waiter: _Waiter) -> _Connection:
        try:
            with anyio.move_on_after(waiter.seconds):
                await waiter.event.wait()
            return waiter.taken()
        except BaseException:
            self._leave(state, waiter)
            raise

    async def _end(self, state: _State, connection: _Connection) -> None:
        self._give(state, connection)
        if state.closing:
            await _aclose(state.closing)


async def _aclose(closing: list[Any]) -> None:
    with anyio.CancelScope(shield=True):
        while closing:
            with contextlib.suppress(Exception):  # the server may have closed it first
                await closing.pop().aclose()


class _AsyncBody:
    def __init__(self, request: httpcore.Request, stream: Any, end: Callable[[], Awaitable[None]]) -> None:
        self._request = request
        self._stream = stream
        self._end: Callable[[], Awaitable[None]] | None = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except BaseException as error:
            _explain(error, self._request)
            await self.aclose()
            raise

    async def aclose(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await self._stream.aclose()
                finally:
                    await end()


class Pool(_Pool):
    """The pool of an `httpx.HTTPTransport`, for any number of threads; see `_Pool`."""

    _event = threading.Event
    # To close a socket in which a thread reads would give its number to the next connection while it is still read.
    _drains = False

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request; raises as `AsyncPool.handle_async_request` does."""
        state = self._state()
        while True:
            connection = self._take(state, request)
            if isinstance(connection, _Waiter):
                connection = self._wait(state, connection)
            try:
                _close(state.closing)
                response = connection.http.handle_request(request)
            except httpcore.ConnectionNotAvailable:
                self._learn(None)
                self._end(state, connection)
            except BaseException as error:
                _explain(error, request)
                self._end(state, connection)
                raise
            else:
                if self._http2:
                    self._learn(response)
                return httpcore.Response(
                    response.status,
                    headers=response.headers,
                    content=_Body(request, response.stream, functools.partial(self._end, state, connection)),
                    extensions=response.extensions,
                )

    def close(self) -> None:
        """Close all connections."""
        _close(self._clear())

    def _wait(self, state: _State, waiter: _Waiter) -> _Connection:
        try:
            waiter.event.wait(waiter.seconds)
            return waiter.taken()
        except BaseException:
            self._leave(state, waiter)
            raise

    def _end(self, state: _State, connection: _Connection) -> None:
        self._give(state, connection)
        _close(state.closing)


def _close(closing: list[Any]) -> None:
    while closing:
        # Another thread may take the last one, and the server may have closed it first.
        with contextlib.suppress(Exception):
            closing.pop().close()


class _Body:
    def __init__(self, request: httpcore.Request, stream: Any, end: Callable[[], None]) -> None:
        self._request = request
        self._stream = stream
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException as error:
            _explain(error, self._request)
            self.close()
            raise

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            try:
                self._stream.close()
            finally:
                end()
