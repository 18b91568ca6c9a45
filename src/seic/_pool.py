"""A pool of connections to one origin, in place of httpcore's: idle connections are a stack, waiting requests a queue.

httpcore's own pool goes through all connections for each request, and gives one idle connection to several requests, of
which all but one start again. Here the request that waited longest gets the next connection, a request that gives up
gives its place back, and each connection knows the generation of the credential that it was opened with: an old one
takes no further request, and is closed when its last one ends or, if it is idle, at the next request.

The connections are httpcore's, HTTP/1.1 or HTTP/2, direct or through a proxy; only public names of httpcore are used.
The two pools differ in what waits: `_async_pool` has the one of event loops, `_sync_pool` that of threads.
The classes are plain ones: attrs would compile methods for each in a process's first call.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import httpx

from seic._http2 import Http2Session
from seic._httpx import REATTACH, either

#: Seconds that the requests of an async client may take to end on replaced connections; then these are closed.
DRAIN_LIMIT = 300.0
#: The extension of a request with the number of times that it was sent again.
REPEATS = "seic.repeats"

# A server that refuses each request must not be asked without end.
_MAX_REPEATS = 10
# Idempotent (RFC 9110 §9.2.2): sent twice, they have the effect of one.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})


class Opener:
    """Opens connections with one credential.

    Args:
        open: Returns a new connection for an `httpcore.Origin`, which connects with its first request, and its
            HTTP/2 session if it may have one.
        generation: The credential's.
    """

    __slots__ = ("generation", "open")

    def __init__(self, open: Callable[[Any], tuple[Any, Http2Session | None]], generation: int) -> None:  # noqa: A002
        self.open = open
        self.generation = generation


class Rotating(Protocol):
    """Decides when connections are stale; an `Identity` does."""

    generation: int

    def watch(self) -> None:
        """Notice rotations in this process too."""


class PoolChanged(Exception):
    """The pool is closed, or opens connections with a replaced credential; the request has not been sent."""


class ConnectionClosed(Exception):
    """The server refused the request unprocessed, or closed a reused connection; it may be sent again on another."""


class PooledConnection:
    __slots__ = ("generation", "http", "idle_since", "is_reused", "requests", "session")

    def __init__(self, http: Any, generation: int, session: Http2Session | None) -> None:
        self.http = http
        self.generation = generation
        self.session = session
        #: The requests that it carries; more than one with HTTP/2 only.
        self.requests = 0
        self.idle_since = 0.0
        #: Whether it has carried a response.
        self.is_reused = False

    def has_room(self) -> bool:
        """Return whether a connection in use takes a further request; of HTTP/2, or not yet known to be none."""
        session = self.session
        return (
            session is not None
            and not session.is_ending
            and self.requests < session.streams
            and self.http.is_available()
        )

    def can_be_reused(self) -> bool:
        """Return whether an idle connection takes a request; it asks the socket whether the server has closed it."""
        if self.http.has_expired() or not self.http.is_available():
            return False
        return self.session is None or not self.session.is_stale


class PoolWaiter:
    __slots__ = ("connection", "event", "request")

    def __init__(self, request: Any, event: Any) -> None:
        self.request = request
        self.event = event
        self.connection: PooledConnection | None = None

    @property
    def seconds(self) -> float | None:
        seconds: float | None = self.request.extensions.get("timeout", {}).get("pool")
        return seconds


class PoolState:
    """The state of one process and event loop: a child keeps its parent's connections, and never uses them."""

    def __init__(self) -> None:
        #: Reentrant, for a finalizer may end a request while the lock is held.
        self.lock = threading.RLock()
        self.idle: deque[PooledConnection] = deque()
        self.busy: dict[PooledConnection, None] = {}
        self.waiting: deque[PoolWaiter] = deque()
        #: When connections of older generations are closed.
        self.drains: deque[tuple[float, int]] = deque()
        #: Connections that the caller has to close.
        self.closing: list[Any] = []
        #: Whether its event loop has ended.
        self.has_ended = False

    def clear(self) -> list[Any]:
        """Return what has to be closed: all connections."""
        with self.lock:
            self.closing += [connection.http for connection in (*self.idle, *self.busy)]
            self.idle.clear()
            self.busy.clear()
            return self.closing


class ConnectionPool:
    """Decide which connection carries a request, without any I/O.

    Args:
        opener: Opens connections.
        limits: As of httpx.
        http2: Whether connections offer HTTP/2.
        identity: Its generation is that of connections that may be used.
        httpcore: The library of the connections, httpcore or httpcore2.
    """

    _event: ClassVar[Any]
    #: Whether connections of older generations are closed at last, with their requests.
    _drains: ClassVar[bool]

    def __init__(self, opener: Opener, limits: httpx.Limits, *, http2: bool, identity: Rotating, httpcore: Any) -> None:
        self._httpcore = httpcore
        #: Receive the seconds for which a request waited for a connection, if it waited.
        self.waits: list[Callable[[float], None]] = []
        self._opener = opener
        self._identity = identity
        self._closed = False
        self._limit = sys.maxsize if limits.max_connections is None else limits.max_connections
        self._idle_limit = sys.maxsize if limits.max_keepalive_connections is None else limits.max_keepalive_connections
        self._expiry = float("inf") if limits.keepalive_expiry is None else limits.keepalive_expiry
        self._http2 = http2
        #: Whether a connection carries several requests; None as long as no server has said so.
        self._shares = None if http2 else False
        #: By process and event loop.
        self._states: dict[tuple[int, Any], PoolState] = {}

    def replace(self, opener: Opener) -> None:
        """Open connections with this from now on."""
        self._opener = opener
        if self._drains:
            for state in list(self._states.values()):
                state.drains.append((time.monotonic() + DRAIN_LIMIT, opener.generation))

    def count(self) -> tuple[int, int]:
        """Return the numbers of connections in use and idle, of all event loops of this process."""
        states = [state for key, state in list(self._states.items()) if key[0] == os.getpid() and not state.has_ended]
        return sum(len(state.busy) for state in states), sum(len(state.idle) for state in states)

    def _note_wait(self, begun: float) -> None:
        for note in self.waits:
            note(time.monotonic() - begun)

    def _state(self) -> PoolState:
        key = (os.getpid(), self._loop())
        state = self._states.get(key)
        if state is None:
            state = self._states.setdefault(key, PoolState())
            self._identity.watch()
            self._enter(key, state)
        return state

    def _loop(self) -> Any:
        """Return the running event loop; None in threads, which share the connections."""
        return None

    def _enter(self, key: tuple[int, Any], state: PoolState) -> None:
        """Prepare for the end of a new event loop."""

    def _take(self, state: PoolState, request: Any) -> PooledConnection | PoolWaiter:
        """Return a connection for the request; or, if all are in use, its place in the queue."""
        with state.lock:
            if self._closed or self._identity.generation != self._opener.generation:
                raise PoolChanged
            if not state.waiting and (connection := self._pick(state, request)) is not None:
                return connection
            waiter = PoolWaiter(request, self._event())
            state.waiting.append(waiter)
            return waiter

    def _give(self, state: PoolState, connection: PooledConnection) -> None:
        """Take a connection back from a request that has ended."""
        with state.lock:
            connection.requests -= 1
            http = connection.http
            # One whose handshake failed is closed, and idle too.
            if connection.requests == 0 and not http.is_closed():
                is_current = connection in state.busy and connection.generation == self._identity.generation
                is_current = is_current and (connection.session is None or not connection.session.is_ending)
                if is_current and len(state.idle) < self._idle_limit and http.is_idle():
                    connection.idle_since = time.monotonic()
                    state.idle.append(connection)
                else:
                    # Also if the pool was closed meanwhile: closing has no effect on a handshake in progress.
                    state.closing.append(http)
            if connection.requests == 0:
                state.busy.pop(connection, None)
            if self._closed or self._identity.generation != self._opener.generation:
                self._dismiss(state)
            while state.waiting and (free := self._pick(state, state.waiting[0].request)) is not None:
                waiter = state.waiting.popleft()
                waiter.connection = free
                waiter.event.set()

    def _leave(self, state: PoolState, waiter: PoolWaiter) -> None:
        """Give a place in the queue back, or the connection that it has led to."""
        with state.lock:
            if waiter.connection is not None:
                self._give(state, waiter.connection)
            elif waiter in state.waiting:
                state.waiting.remove(waiter)

    def _dismiss(self, state: PoolState) -> None:
        """Have all waiting requests look for the credential in service, or fail if the pool is closed."""
        while state.waiting:
            state.waiting.popleft().event.set()

    def _taken(self, waiter: PoolWaiter) -> PooledConnection:
        """Return the connection that a waiter got; raise if it got none."""
        if waiter.connection is not None:
            if (reattach := waiter.request.extensions.get(REATTACH)) is not None:
                reattach(waiter.request)
            return waiter.connection
        if waiter.event.is_set():
            raise PoolChanged
        what = "all HTTP/2 streams of all connections" if self._shares else "all connections"
        raise self._httpcore.PoolTimeout(
            f"{what} were in use for {waiter.seconds:g} s; raise the pool timeout or "
            "limits=httpx.Limits(max_connections=...), or make fewer calls at once"
        )

    def _is_repeated(self, error: BaseException, connection: PooledConnection, request: Any, *, is_open: bool) -> bool:
        """Return whether to send a request again that failed: the server has not processed it, or most likely not.

        A server closes connections that were idle for long, or when it is reloaded. A request that crosses with that
        fails on a connection that carried others before; it is sent once more, if it is idempotent (RFC 9112 §9.3.1).

        Args:
            error: The failure.
            connection: The connection.
            request: The request.
            is_open: Whether this pool has not closed the connection itself.
        """
        repeats = request.extensions.get(REPEATS, 0)
        is_refused = connection.session is not None and connection.session.was_refused(error)
        is_crossed = is_open and connection.is_reused and repeats == 0 and request.method in _IDEMPOTENT
        if not is_refused and not (is_crossed and self._is_close(error)):
            return False
        if isinstance(request.stream, either("ByteStream")) and repeats < _MAX_REPEATS:
            request.extensions[REPEATS] = repeats + 1
            return True
        if is_refused:
            host = request.url.host.decode("ascii")
            problem = "its body cannot be sent again" if repeats == 0 else f"it was sent again {repeats} times"
            error.args = (f"{host} refused the request and has not processed it; {problem}",)
        return False

    def _is_close(self, error: BaseException) -> bool:
        core = self._httpcore
        # httpcore raises the third for responses that are none, too.
        return isinstance(error, (core.ReadError, core.WriteError)) or (
            isinstance(error, core.RemoteProtocolError) and str(error).startswith("Server disconnected")
        )

    def _explain(self, error: BaseException, request: Any) -> None:
        """Say what was waited for, how long, and which setting decides, or that the connection broke."""
        core, host = self._httpcore, request.url.host.decode("ascii")
        kinds = {core.ReadTimeout: "read", core.WriteTimeout: "write"}
        kind = next((word for cls, word in kinds.items() if isinstance(error, cls)), None)
        seconds = request.extensions.get("timeout", {}).get(kind)
        if kind is not None and seconds is not None:
            what = "took no more of the request" if kind == "write" else "may have the request, but sent no data"
            setting = f"raise the {kind} timeout, timeout=httpx.Timeout(..., {kind}=...)"
            error.args = (f"{host} {what} for {seconds:g} s; {setting}",)
        elif isinstance(error, (core.ReadError, core.WriteError)) and not str(error):
            error.args = (f"the connection to {host} was lost before the response was complete",)
        elif (code := getattr(error.args[0] if error.args else None, "error_code", None)) is not None:
            # An event of h2.
            error.args = (f"{host} reset the stream of the request with {getattr(code, 'name', code)} (RFC 9113 §7)",)

    def _clear(self, state: PoolState) -> list[Any]:
        """Close the pool; return the connections that the caller has to close."""
        self._closed = True
        with state.lock:
            self._dismiss(state)
            return state.clear()

    def _learn(self, response: Any) -> None:
        """Note whether the server speaks HTTP/2, by a response, or by a connection that took no second request."""
        if response is not None:
            self._shares = response.extensions.get("http_version") == b"HTTP/2"
        elif self._shares is None:
            self._shares = False

    def _pick(self, state: PoolState, request: Any) -> PooledConnection | None:
        self._sweep(state)
        opener = self._opener
        generation = opener.generation
        is_repeated = not self._shares and REPEATS in request.extensions
        if self._shares is not False:
            for shared in state.busy:
                if shared.generation == generation and shared.has_room():
                    shared.requests += 1
                    return shared
        connection: PooledConnection | None = None
        if is_repeated and state.idle:
            # It takes a new connection, since the server may close the other idle ones too.
            state.closing.append(state.idle.popleft().http)
        while state.idle and connection is None and not is_repeated:
            connection = state.idle.pop()
            if not connection.can_be_reused():
                state.closing.append(connection.http)
                connection = None
        if connection is None and len(state.busy) < self._limit:
            http, session = opener.open(request.url.origin)
            connection = PooledConnection(http, generation, session)
        if connection is not None:
            connection.requests = 1
            state.busy[connection] = None
        return connection

    def _sweep(self, state: PoolState) -> None:
        now, generation, idle = time.monotonic(), self._opener.generation, state.idle
        # The oldest are first, and so are those of older generations.
        while idle and (idle[0].generation != generation or now - idle[0].idle_since > self._expiry):
            state.closing.append(idle.popleft().http)
        if state.drains and now >= state.drains[0][0]:
            drained = state.drains.popleft()[1]
            for connection in [one for one in state.busy if one.generation < drained]:
                del state.busy[connection]
                state.closing.append(connection.http)
