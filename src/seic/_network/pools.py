"""The network under a client: one httpx pool for the identity in service, replaced whole when the identity rotates.

A request finds its pool by one comparison of integers. Requests under way end where they began; a pool that was
replaced takes no new ones, its idle connections are closed at once and the others when their request ends.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

import attrs
import httpx

from seic._errors import CertificateError
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_translator import FAILURES, ErrorTranslator, is_page, unread
from seic._network.identity import Presented, Presenter
from seic._runtime import Job, Latch, Lock, in_thread, sleep, start_async, start_thread, survive_fork

#: Seconds that the requests of an async client may take to end on a replaced pool; what is still open then is closed.
DRAIN_LIMIT = 300.0
#: Seconds between two looks at a pool that is being drained.
_LOOK_EVERY = 0.05

_Transport = TypeVar("_Transport", httpx.AsyncHTTPTransport, httpx.HTTPTransport)


@attrs.define(eq=False)
class _Pool(Generic[_Transport]):
    """An httpx transport and what its connections present."""

    transport: _Transport
    generation: int
    presented: Presented
    #: An entry for each thread that is handing it a request. Lists grow and shrink without a lock.
    entering: list[None] = attrs.field(factory=list)
    #: When what is still open is closed, on the monotonic clock; 0 while it is in service.
    ends: float = 0.0

    def idle(self) -> Iterator[Any]:
        """Yield the open connections that carry no request, each seen at the moment when it is asked for."""
        for one in self._connections():
            if not self.entering and one.is_idle() and not one.is_closed():
                yield one

    def is_drained(self) -> bool:
        """Whether every connection is closed, and no thread is about to open one."""
        return not self.entering and all(one.is_closed() for one in self._connections())

    def _connections(self) -> Iterable[Any]:
        # httpx shows no connections; the httpcore.ConnectionPool in it does.
        connections: Iterable[Any] = self.transport._pool.connections  # noqa: SLF001
        return connections


class AsyncPools(httpx.AsyncBaseTransport):
    """Sends over the network with the identity in service.

    Args:
        presenter: Whose identity it is.
        failures: What is raised for failures, and where calls go.
        options: Further keywords of `httpx.AsyncHTTPTransport`.
    """

    def __init__(self, presenter: Presenter, failures: ErrorTranslator, **options: Any) -> None:
        self._presenter = presenter
        self._rotation = presenter.rotation
        self._failures = failures
        self._options = options
        self._pool: _Pool[httpx.AsyncHTTPTransport] | None = None
        self._renewal: Latch | None = None
        self._search: Latch | None = None
        self._retired: set[_Pool[httpx.AsyncHTTPTransport]] = set()
        self._drain_job: Job | None = None
        self._closed = False
        survive_fork(self)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request.

        Raises:
            CertificateError: The client certificate or the authorities cannot work.
            httpx.TransportError: The connection failed.
        """
        pool = self._pool
        if pool is None or pool.generation != self._rotation.generation:
            pool = await self._renew()
        try:
            return await self._send(request, pool)
        except CertificateError:
            # The server did not take the request up. If it was renewed meanwhile, the new certificate deserves a try.
            if not await self._look(pool.generation) or not _is_repeatable(request):
                raise
        return await self._send(request, await self._renew())

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._drain_job is not None:
            self._drain_job.cancel()
        retired, self._retired = self._retired, set()
        for pool in (*retired, self._pool):
            if pool is not None:
                await pool.transport.aclose()

    def after_fork(self) -> None:
        """Leave the connections to the parent, which speaks on them: two would garble each other's records."""
        self._pool = self._renewal = self._search = self._drain_job = None
        self._retired = set()

    async def _look(self, presented: int) -> bool:
        # One look for all who were refused, and it outlives whoever began it: each holds a thread while a source hangs.
        search = self._search
        if search is None:
            search = self._search = Latch()

            def look() -> None:
                self._presenter.look(presented)

            def ended() -> None:
                self._search = None
                search.set()

            start_thread(look, ended=ended)
        await search.wait_async(None)
        return self._rotation.generation != presented

    async def _send(self, request: httpx.Request, pool: _Pool[httpx.AsyncHTTPTransport]) -> httpx.Response:
        trace = ConnectionTrace(request, blocking=False)
        try:
            response = await pool.transport.handle_async_request(request)
        except FAILURES as error:
            failure = self._failures.of(error, request, pool.presented, trace) or error
        else:
            if pool is not self._pool and not self._closed:
                # It waited for a connection while the pool was replaced, and may have opened one after the last look.
                self._retire(pool)
            return response if response.status_code < 400 else await self._judge(response, request, pool)
        finally:
            trace.end()
        raise failure

    async def _renew(self) -> _Pool[httpx.AsyncHTTPTransport]:
        # One builds and the others wait, since each build holds a thread; whoever is next takes over from one who was
        # cancelled.
        while self._pool is None or self._pool.generation != self._rotation.generation:
            if self._renewal is not None:
                await self._renewal.wait_async(None)
                continue
            renewal = self._renewal = Latch()
            try:
                presented = await in_thread(lambda: self._presenter.present(http2=bool(self._options.get("http2"))))
                if self._closed:
                    raise RuntimeError("the transport was closed before its first call was sent")
                transport = self._failures.network.new_async_transport(
                    self._failures.origin, presented.context, self._options
                )
                old, self._pool = self._pool, _Pool(transport, presented.generation, presented)
            finally:
                self._renewal = None
                renewal.set()
            if old is not None:
                self._retire(old)
        return self._pool

    def _retire(self, pool: _Pool[httpx.AsyncHTTPTransport]) -> None:
        if pool not in self._retired:
            pool.ends = time.monotonic() + DRAIN_LIMIT
            self._retired.add(pool)
        if self._drain_job is None or self._drain_job.is_stranded():
            self._drain_job = start_async(self._drain)

    async def _drain(self) -> None:
        while self._retired:
            for pool in [*self._retired]:
                # One that was given a request and has not begun it counts as idle; httpcore then finds it another.
                for connection in pool.idle():
                    with contextlib.suppress(Exception):  # the server may have closed it first, in whatever way
                        await connection.aclose()
                if pool.is_drained() or time.monotonic() >= pool.ends:
                    self._retired.discard(pool)
                    await pool.transport.aclose()
            await sleep(_LOOK_EVERY)
        self._drain_job = None

    async def _judge(
        self, response: httpx.Response, request: httpx.Request, pool: _Pool[httpx.AsyncHTTPTransport]
    ) -> httpx.Response:
        if not is_page(response):
            return response
        body = b"".join([part async for part in response.stream])  # type: ignore[union-attr]  # an async transport's
        await response.aclose()
        failure = self._failures.of_page(response.status_code, body, request, pool.presented)
        if failure is not None:
            raise failure
        return unread(response, body)


class Pools(httpx.BaseTransport):
    """The blocking twin of `AsyncPools`, for any number of threads.

    Args:
        presenter: Whose identity it is.
        failures: What is raised for failures, and where calls go.
        options: Further keywords of `httpx.HTTPTransport`.
    """

    def __init__(self, presenter: Presenter, failures: ErrorTranslator, **options: Any) -> None:
        self._presenter = presenter
        self._rotation = presenter.rotation
        self._failures = failures
        self._options = options
        self._lock = Lock()
        # All below is written under the lock.
        self._pool: _Pool[httpx.HTTPTransport] | None = None
        self._retired: set[_Pool[httpx.HTTPTransport]] = set()
        self._drains = False
        self._closed = False
        survive_fork(self)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises as `AsyncPools.handle_async_request` does."""
        pool = self._enter()
        try:
            return self._send(request, pool)
        except CertificateError:
            # As in `AsyncPools`.
            if not self._presenter.look(pool.generation) or not _is_repeatable(request):
                raise
        return self._send(request, self._enter())

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._closed = True
            retired, self._retired = self._retired, set()
        for pool in (*retired, self._pool):
            if pool is not None:
                pool.transport.close()

    def after_fork(self) -> None:
        """As `AsyncPools.after_fork`."""
        self._pool = None
        self._retired = set()
        self._drains = False

    def _enter(self) -> _Pool[httpx.HTTPTransport]:
        """Return the pool to hand a request to, announced so that no connection is closed under it."""
        while True:
            pool = self._pool
            if pool is None or pool.generation != self._rotation.generation:
                pool = self._renew()
            pool.entering.append(None)
            if pool is self._pool:
                return pool
            # Another thread replaced it since, and may be draining it.
            pool.entering.pop()

    def _send(self, request: httpx.Request, pool: _Pool[httpx.HTTPTransport]) -> httpx.Response:
        trace = ConnectionTrace(request, blocking=True)
        try:
            response = pool.transport.handle_request(request)
        except FAILURES as error:
            failure = self._failures.of(error, request, pool.presented, trace) or error
        else:
            return response if response.status_code < 400 else self._judge(response, request, pool)
        finally:
            trace.end()
            pool.entering.pop()
        raise failure

    def _renew(self) -> _Pool[httpx.HTTPTransport]:
        with self._lock:
            if self._pool is not None and self._pool.generation == self._rotation.generation:
                return self._pool
            presented = self._presenter.present(http2=bool(self._options.get("http2")))
            if self._closed:
                raise RuntimeError("the transport was closed before its first call was sent")
            transport = self._failures.network.new_transport(self._failures.origin, presented.context, self._options)
            old, self._pool = self._pool, _Pool(transport, presented.generation, presented)
            if old is not None:
                self._retire(old)
            return self._pool

    def _retire(self, pool: _Pool[httpx.HTTPTransport]) -> None:
        if self._closed:
            return
        self._retired.add(pool)
        if not self._drains:
            self._drains = True
            # It lives as long as there is something to drain.
            start_thread(self._drain)

    def _drain(self) -> None:
        while True:
            with self._lock:
                retired = [*self._retired]
                if not retired:
                    self._drains = False
                    return
            for pool in retired:
                for connection in pool.idle():
                    with contextlib.suppress(Exception):  # the server may have closed it first, in whatever way
                        connection.close()
                # Without a limit: to close a socket in which another thread reads would hand its number to the next
                # connection while that thread still reads from it. Its call ends by its own timeouts.
                if pool.is_drained():
                    with self._lock:
                        self._retired.discard(pool)
                    pool.transport.close()
            time.sleep(_LOOK_EVERY)

    def _judge(
        self, response: httpx.Response, request: httpx.Request, pool: _Pool[httpx.HTTPTransport]
    ) -> httpx.Response:
        if not is_page(response):
            return response
        body = b"".join(response.stream)  # type: ignore[arg-type]  # a blocking transport's
        response.close()
        failure = self._failures.of_page(response.status_code, body, request, pool.presented)
        if failure is not None:
            raise failure
        return unread(response, body)


def _is_repeatable(request: httpx.Request) -> bool:
    return isinstance(request.stream, httpx.ByteStream)
