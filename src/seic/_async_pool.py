"""A pool of async connections, for asyncio and trio; `_pool` has the decisions, `_sync_pool` the twin for threads.

Connections belong to the event loop that opened them. Each loop that uses the pool has connections of its own, which
are closed when it ends, so one client works in several `asyncio.run` one after the other, or in loops of threads.
httpcore decides once between asyncio and trio, so all must be of one library.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx

from seic._concurrency import current_loop
from seic._pool import ConnectionClosed, ConnectionPool, Opener, PooledConnection, PoolState, PoolWaiter, Rotating


class AsyncPool(ConnectionPool):
    """The pool of an `httpx.AsyncHTTPTransport`, for asyncio and trio; see `ConnectionPool`."""

    _event = anyio.Event
    _drains = True

    def __init__(self, opener: Opener, limits: httpx.Limits, *, http2: bool, identity: Rotating, httpcore: Any) -> None:
        super().__init__(opener, limits, http2=http2, identity=identity, httpcore=httpcore)
        #: Closes the connections of each event loop.
        self._closers: dict[tuple[int, Any], AsyncGenerator[None, None]] = {}

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request.

        Raises:
            httpcore.PoolTimeout: All connections were in use for too long.
            PoolChanged: The pool is closed, or the credential was replaced.
            ConnectionClosed: The request is to be sent again.
        """
        state = self._state()
        while True:
            connection = self._take(state, request)
            if isinstance(connection, PoolWaiter):
                connection = await self._wait(state, connection)
            try:
                if state.closing:
                    await _aclose(state.closing)
                response = await connection.http.handle_async_request(request)
            except self._httpcore.ConnectionNotAvailable:
                self._learn(None)
                await self._end(state, connection)
            except BaseException as error:
                repeated = self._is_repeated(error, connection, request, is_open=connection in state.busy)
                self._explain(error, request)
                await self._end(state, connection)
                if repeated:
                    raise ConnectionClosed from None
                raise
            else:
                connection.is_reused = True
                if self._http2:
                    self._learn(response)
                return self._httpcore.Response(
                    response.status,
                    headers=response.headers,
                    content=_AsyncBody(
                        request, response.stream, self._explain, functools.partial(self._end, state, connection)
                    ),
                    extensions=response.extensions,
                )

    async def aclose(self) -> None:
        """Close all connections; those of other event loops are closed there, or were when the loop ended."""
        await _aclose(self._clear(self._state()))
        here = (os.getpid(), current_loop())
        for key in [key for key in list(self._closers) if key[0] == here[0]]:
            self._states.pop(key, None)
            closer = self._closers.pop(key, None)
            if closer is not None and key == here:
                await closer.aclose()

    def _loop(self) -> Any:
        return current_loop()

    def _enter(self, key: tuple[int, Any], state: PoolState) -> None:
        for old, ended in list(self._states.items()):
            if old[0] == key[0] and _has_ended(old[1], ended):
                self._states.pop(old, None)
                self._closers.pop(old, None)
        closer = self._closers[key] = _close_at_end(key[0], state)
        # Its first step registers it with the loop, and waits for nothing.
        with contextlib.suppress(StopIteration):
            closer.asend(None).send(None)

    async def _wait(self, state: PoolState, waiter: PoolWaiter) -> PooledConnection:
        begun = time.monotonic()
        try:
            with anyio.move_on_after(waiter.seconds):
                await waiter.event.wait()
            return self._taken(waiter)
        except BaseException:
            self._leave(state, waiter)
            raise
        finally:
            self._note_wait(begun)

    async def _end(self, state: PoolState, connection: PooledConnection) -> None:
        self._give(state, connection)
        if state.closing:
            await _aclose(state.closing)


async def _close_at_end(process: int, state: PoolState) -> AsyncGenerator[None, None]:
    """Close the connections of an event loop when it ends: asyncio and trio finish async generators before that."""
    try:
        yield
    finally:
        state.has_ended = True
        if os.getpid() == process:
            await _aclose(state.clear())


def _has_ended(loop: Any, state: PoolState) -> bool:
    """Whether an event loop has ended; a loop of asyncio can be closed without its async generators."""
    return state.has_ended or (isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed())


async def _aclose(closing: list[Any]) -> None:
    with anyio.CancelScope(shield=True):
        while closing:
            with contextlib.suppress(Exception):  # the server may have closed it first
                await closing.pop().aclose()


class _AsyncBody:
    def __init__(
        self, request: Any, stream: Any, explain: Callable[..., None], end: Callable[[], Awaitable[None]]
    ) -> None:
        self._explain = explain
        self._request = request
        self._stream = stream
        self._end: Callable[[], Awaitable[None]] | None = end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except BaseException as error:
            self._explain(error, self._request)
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
