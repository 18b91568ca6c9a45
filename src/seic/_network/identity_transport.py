"""httpx transports that present an identity: one pool of connections, opened with the credential in service.

A request compares two integers to find out whether the credential was replaced. Failures are explained by an
`ErrorTranslator`. The connections are managed in `_pool` and `_async_pool`.
"""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import httpx

from seic._async_pool import AsyncPool
from seic._concurrency import ForkSafeLock, SharedFuture, SingleFlight, start_thread
from seic._credential import Credential
from seic._errors import CertificateError, SeicError
from seic._http2 import Http2Session, async_backend, sync_backend
from seic._httpx import PROOFS, AsyncBaseTransport, BaseTransport, either, httpcore_of
from seic._identity import Identity
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_translator import ErrorTranslator, failures, is_page, unread
from seic._network.identity_probe import IdentityProbe, refusal_of
from seic._pool import REPEATS, ConnectionClosed, Opener, PoolChanged
from seic._sync_pool import Pool

#: httpx's own.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

# Seconds before each further try after a refusal, if another may succeed: of a server that is being changed, one part
# may be behind for a moment.
_RETRY_PAUSES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)


class _IdentityTransport:
    #: The name of the class in httpx and httpx2 that sends.
    _kind: ClassVar[str]
    _pool_kind: ClassVar[type[AsyncPool | Pool]]
    _backend: ClassVar[Any]
    _session: ClassVar[Any]

    def __init__(self, identity: Identity, errors: ErrorTranslator, *, module: Any = httpx, **options: Any) -> None:
        self._module = module
        self._failures = failures(module)
        self._refusals: tuple[type[Exception], ...] = (SeicError, *self._failures)
        self._identity = identity
        self._errors = errors
        self._options = options
        self._http2 = bool(options.get("http2"))
        self._lock = ForkSafeLock()
        self._credential: Credential | None = None
        self._transport: Any = None
        self._pool: AsyncPool | Pool | None = None
        self._closed = False
        #: Receive the seconds for which a request waited for a connection, if it waited.
        self.waits: list[Callable[[float], None]] = []

    def count_connections(self) -> tuple[int, int]:
        """Return the numbers of connections in use and idle."""
        return (0, 0) if self._pool is None else self._pool.count()

    def _use(self, credential: Credential) -> Credential:
        """Open connections with a credential from now on."""
        context = credential.http2_context() if self._http2 else credential.context
        # httpx decides what the options mean for a connection; its pool is replaced by one of a single origin.
        kind = getattr(self._module, self._kind)
        transport: Any = self._errors.network.new_transport(kind, self._errors.origin, context, self._options)
        opener = Opener(self._opening(transport._pool), credential.generation)  # noqa: SLF001 - tests watch these names
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot send a request: the client is closed")
            if self._pool is None:
                limits = self._options.get("limits", _LIMITS)
                core = httpcore_of(self._module)
                self._pool = self._pool_kind(opener, limits, http2=self._http2, identity=self._identity, httpcore=core)
                self._pool.waits = self.waits
                transport._pool = self._pool  # noqa: SLF001
                self._transport = transport
                if self._errors.origin.scheme == "https":
                    probe = IdentityProbe(
                        errors=self._errors, module=self._module, http2=self._http2, options=self._options
                    )
                    self._identity.probes.add(probe)
            elif self._credential is None or self._credential.generation < credential.generation:
                self._pool.replace(opener)
            self._credential = credential
        return credential

    def _opening(self, pool: Any) -> Callable[[Any], tuple[Any, Http2Session | None]]:
        """Return what opens connections, from a pool of httpcore."""
        if not self._http2:
            return lambda origin: (pool.create_connection(origin), None)
        core = httpcore_of(self._module)

        def open_http2(origin: Any) -> tuple[Any, Http2Session]:
            session, own = self._session(), copy.copy(pool)
            # httpx passes none to the pool; a shallow copy, since each connection has its own.
            own._network_backend = self._backend(core, session)  # noqa: SLF001
            return own.create_connection(origin), session

        return open_http2

    def _read_page(self, response: Any, body: bytes, request: Any, credential: Credential) -> Any:
        refusal = self._errors.of_page(response.status_code, body, request, credential)
        if refusal is not None:
            raise refusal
        return unread(response, body)


class AsyncIdentityTransport(_IdentityTransport, AsyncBaseTransport):
    """Send over the network with the credential in service.

    Args:
        identity: The identity.
        errors: Explains failures, and knows where calls go.
        module: httpx or httpx2: the library of its requests.
        options: Keywords of `httpx.AsyncHTTPTransport`.
    """

    _kind = "AsyncHTTPTransport"
    _pool_kind = AsyncPool
    _backend = staticmethod(async_backend)
    _session = Http2Session

    def __init__(self, identity: Identity, errors: ErrorTranslator, *, module: Any = httpx, **options: Any) -> None:
        super().__init__(identity, errors, module=module, **options)
        # Requests that load or check a credential share one thread, which is independent of their cancellation.
        self._loading: SingleFlight[SharedFuture[Credential]] = SingleFlight()
        self._checking: SingleFlight[SharedFuture[bool]] = SingleFlight()

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request.

        Raises:
            CertificateError: The client certificate or the authorities cannot work.
            httpx.TransportError: The connection failed.
        """
        credential = self._credential
        if credential is None or credential.generation != self._identity.generation:
            credential = await self._renew()
        for pause in _RETRY_PAUSES:
            try:
                return await self._send(request, credential)
            except self._refusals as error:
                # The server has not processed the request: another credential deserves a try.
                refusal = refusal_of(error)
                if refusal is None or not await self._has_other(credential, refusal) or not _is_repeatable(request):
                    raise
            if pause:
                await anyio.sleep(pause)
            credential = await self._renew()
        return await self._send(request, credential)

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._transport is not None:
            await self._transport.aclose()

    async def _send(self, request: Any, credential: Credential) -> Any:
        trace = ConnectionTrace(request, blocking=False)
        current: Credential | None = credential
        try:
            response = await self._transport.handle_async_request(request)
        except PoolChanged:
            failure = current = None
        except ConnectionClosed:
            failure = None
            _renew_proof(request)
        except self._failures as error:
            failure = self._errors.of(error, request, credential, trace) or error
        else:
            if response.status_code < 400 or not is_page(response):
                return response
            body = b"".join([part async for part in response.stream])
            await response.aclose()
            return self._read_page(response, body, request, credential)
        finally:
            trace.end()
        if failure is not None:
            raise failure
        try:
            return await self._send(request, current or await self._renew())
        finally:
            request.extensions.pop(REPEATS, None)

    async def _renew(self) -> Credential:
        new = None if self._http2 else self._identity.current_nowait()
        if new is not None:
            return self._use(new)
        loading = self._loading.join(lambda: start_thread(lambda: self._use(self._identity.current())))
        await loading.wait()
        if isinstance(error := loading.exception(), SeicError):
            raise self._errors.of_credential(error) from error.__cause__
        return loading.result()

    async def _has_other(self, credential: Credential, refusal: CertificateError) -> bool:
        check = functools.partial(self._identity.replace_refused, credential, refusal)
        checking = self._checking.join(lambda: start_thread(check))
        await checking.wait()
        return self._identity.generation != credential.generation or checking.result()


class IdentityTransport(_IdentityTransport, BaseTransport):
    """The blocking twin of `AsyncIdentityTransport`, for any number of threads."""

    _kind = "HTTPTransport"
    _pool_kind = Pool
    _backend = staticmethod(sync_backend)
    # httpcore's blocking connections of HTTP/2 are not safe for threads: they send frames in the wrong order.
    _session = staticmethod(functools.partial(Http2Session, 1))

    def handle_request(self, request: Any) -> Any:
        """Send the request; raises as `AsyncIdentityTransport.handle_async_request` does."""
        credential = self._credential
        if credential is None or credential.generation != self._identity.generation:
            credential = self._renew()
        for pause in _RETRY_PAUSES:
            try:
                return self._send(request, credential)
            except self._refusals as error:
                # As in the async twin.
                refusal = refusal_of(error)
                if refusal is None or not self._identity.replace_refused(credential, refusal):
                    raise
                if not _is_repeatable(request):
                    raise
            time.sleep(pause)
            credential = self._renew()
        return self._send(request, credential)

    def _renew(self) -> Credential:
        try:
            return self._use(self._identity.current())
        except SeicError as error:
            failure = self._errors.of_credential(error)
        raise failure from failure.__cause__

    def close(self) -> None:
        """Close the connections."""
        self._closed = True
        if self._transport is not None:
            self._transport.close()

    def _send(self, request: Any, credential: Credential) -> Any:
        trace = ConnectionTrace(request, blocking=True)
        current: Credential | None = credential
        try:
            response = self._transport.handle_request(request)
        except PoolChanged:
            failure = current = None
        except ConnectionClosed:
            failure = None
            _renew_proof(request)
        except self._failures as error:
            failure = self._errors.of(error, request, credential, trace) or error
        else:
            if response.status_code < 400 or not is_page(response):
                return response
            body = b"".join(response.stream)
            response.close()
            return self._read_page(response, body, request, credential)
        finally:
            trace.end()
        if failure is not None:
            raise failure
        try:
            return self._send(request, current or self._renew())
        finally:
            request.extensions.pop(REPEATS, None)


def _renew_proof(request: Any) -> None:
    """Give a request that is sent again a new DPoP proof, if it has one: each is accepted once (RFC 9449 §11.1)."""
    if (proofs := request.extensions.get(PROOFS)) is not None:
        proofs.sign_repeat(request)


def _is_repeatable(request: Any) -> bool:
    return isinstance(request.stream, either("ByteStream"))
