"""A pool of blocking connections, for any number of threads; the decisions are in `_pool`."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from seic._pool import ConnectionClosed, ConnectionPool, PooledConnection, PoolState, PoolWaiter


class Pool(ConnectionPool):
    """The pool of an `httpx.HTTPTransport`, for any number of threads; see `ConnectionPool`."""

    _event = threading.Event
    # To close a socket in which a thread reads would give its number to the next connection while it is still read.
    _drains = False

    def handle_request(self, request: Any) -> Any:
        """Send a request; raises as `AsyncPool.handle_async_request` does."""
        state = self._state()
        while True:
            connection = self._take(state, request)
            if isinstance(connection, PoolWaiter):
                connection = self._wait(state, connection)
            try:
                _close(state.closing)
                response = connection.http.handle_request(request)
            except self._httpcore.ConnectionNotAvailable:
                self._learn(None)
                self._end(state, connection)
            except BaseException as error:
                repeated = self._is_repeated(error, connection, request, is_open=connection in state.busy)
                self._explain(error, request)
                self._end(state, connection)
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
                    content=_Body(
                        request, response.stream, self._explain, functools.partial(self._end, state, connection)
                    ),
                    extensions=response.extensions,
                )

    def close(self) -> None:
        """Close all connections."""
        _close(self._clear(self._state()))

    def _wait(self, state: PoolState, waiter: PoolWaiter) -> PooledConnection:
        begun = time.monotonic()
        try:
            waiter.event.wait(waiter.seconds)
            return self._taken(waiter)
        except BaseException:
            self._leave(state, waiter)
            raise
        finally:
            self._note_wait(begun)

    def _end(self, state: PoolState, connection: PooledConnection) -> None:
        self._give(state, connection)
        _close(state.closing)


def _close(closing: list[Any]) -> None:
    while closing:
        # Another thread may take the last one, and the server may have closed it first.
        with contextlib.suppress(Exception):
            closing.pop().close()


class _Body:
    def __init__(self, request: Any, stream: Any, explain: Callable[..., None], end: Callable[[], None]) -> None:
        self._explain = explain
        self._request = request
        self._stream = stream
        self._end: Callable[[], None] | None = end

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except BaseException as error:
            self._explain(error, self._request)
            self.close()
            raise

    def close(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            try:
                self._stream.close()
            finally:
                end()
