"""The requests that have arrived, for tests to assert on and for the page."""

from __future__ import annotations

import collections
import contextvars
import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import attrs
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from seic.sandbox._peer import Peer
from seic.sandbox._server.counts import HostName

_LOGGER = logging.getLogger("seic.sandbox")
RequestKind: TypeAlias = Literal["token", "api", "login", "revocation", "info"]
#: Requests that are kept, and bytes of each body.
MAX_REQUESTS = 1000
MAX_BODY = 65536
_body: contextvars.ContextVar[bytearray] = contextvars.ContextVar("body")


@attrs.frozen(kw_only=True)
class ReceivedRequest:
    """A request that has arrived.

    Args:
        number: 1 for the first since the start.
        kind: The kind of its count: `token`, `api`, `login`, `revocation` or `info`.
        host: The host that received it.
        method: The method.
        path: The path, without the query.
        query: The first value of each parameter.
        headers: The headers; names are compared without case.
        body: The first 64 KiB of what the sandbox has read of the body.
        received_at: Seconds since the epoch.
        common_name: The CN of the client certificate; None without a certificate.
        thumbprint: SHA-256 of the client certificate, base64url; None without a certificate.
        status: The status of the response; None before it, or if there is none.
        fault: The name of the fault that was applied.
    """

    number: int
    kind: RequestKind
    host: HostName
    method: str
    path: str
    query: Mapping[str, str] = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    received_at: float
    common_name: str | None
    thumbprint: str | None
    status: int | None
    fault: str | None


@attrs.define(kw_only=True, eq=False, repr=False)
class RequestRecord:
    """A request that is in progress or has ended.

    Args:
        arrived: Its values on arrival.
        peer: The client certificate.
        body: The part of the body that was read.
        status: The status of the response.
        fault: The name of the fault that was applied.
    """

    arrived: ReceivedRequest
    peer: Peer | None
    body: bytearray
    status: int | None = None
    fault: str | None = None

    def snapshot(self) -> ReceivedRequest:
        """Return its values at this moment."""
        return attrs.evolve(self.arrived, body=bytes(self.body), status=self.status, fault=self.fault)


def keep_body(chunk: bytes) -> None:
    """Keep a part of the body of the present request, which an endpoint has read."""
    kept = _body.get()
    kept += chunk[: MAX_BODY - len(kept)]


class RequestRecorder:
    """Keeps the last requests; may be used from any thread.

    Args:
        now: Returns the seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()  # guards the following
        self._records: collections.deque[RequestRecord] = collections.deque(maxlen=MAX_REQUESTS)
        self._listeners: list[Callable[[RequestRecord], object]] = []

    def add(self, request: web.BaseRequest, *, kind: RequestKind, host: HostName, peer: Peer | None) -> RequestRecord:
        """Keep a request that arrives."""
        headers: CIMultiDict[str] = CIMultiDict()
        for name in request.headers:
            headers[name] = ", ".join(request.headers.getall(name))
        arrived = ReceivedRequest(
            number=next(self._numbers),
            kind=kind,
            host=host,
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers=CIMultiDictProxy(headers),
            body=b"",
            received_at=self._now(),
            common_name=None if peer is None else peer.common_name,
            thumbprint=None if peer is None else peer.thumbprint,
            status=None,
            fault=None,
        )
        record = RequestRecord(arrived=arrived, peer=peer, body=bytearray())
        _body.set(record.body)
        with self._lock:
            self._records.append(record)
        self._tell(record)
        return record

    def finish(self, record: RequestRecord, status: int | None) -> None:
        """Note the status of the response."""
        record.status = status
        self._tell(record)

    def snapshot(self) -> list[ReceivedRequest]:
        """Return the requests, the oldest first."""
        with self._lock:
            records = [*self._records]
        return [record.snapshot() for record in records]

    def clear(self) -> None:
        """Forget all requests; numbers go on."""
        with self._lock:
            self._records.clear()

    def listen(self, listener: Callable[[RequestRecord], object]) -> Callable[[], None]:
        """Call a listener for each request, on arrival and with the status; return the end of that."""
        with self._lock:
            self._listeners.append(listener)

        def end() -> None:
            with self._lock:
                self._listeners.remove(listener)

        return end

    def _tell(self, record: RequestRecord) -> None:
        with self._lock:
            listeners = [*self._listeners]
        for listener in listeners:
            try:
                listener(record)
            except Exception as error:  # noqa: BLE001 - a listener never affects the response
                # Without the message, which could repeat a secret of the request.
                _LOGGER.error("a listener for received requests failed: %s", type(error).__qualname__)  # noqa: TRY400
