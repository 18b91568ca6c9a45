"""The faults of `--seic-chaos`, and their injection into all clients of the process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, TypeAlias

import anyio
import attrs
import httpx
import pytest

from seic._concurrency import run_in_thread
from seic._httpx import httpx_of
from seic._tokens import exchange
from seic._tokens.store_guard import StoreGuard
from seic._transport import AsyncTransport, Transport
from seic.testing._certificate_faults import refuse_certificate, replace_certificate
from seic.testing._patches import read_time_from

#: The requests or calls that a fault applies to; `certificate`: API requests with a client certificate.
FaultPlace: TypeAlias = Literal["token", "api", "certificate", "store"]
_HOUR = 3600.0
#: The arguments of a response, an exception, or None for no change.
Outcome: TypeAlias = "dict[str, Any] | Exception | None"


def _nothing(_request: Any) -> Outcome:
    return None


@attrs.frozen(kw_only=True)
class ClientFault:
    """A fault of a test's requests.

    Args:
        name: Its name in the table.
        place: The requests or calls that it applies to.
        once: Whether only the first request of a test has it.
        outcome: Returns the outcome of a request that has it; the request is then not sent.
        delay: Seconds by which a request is delayed.
        before: Is called before the request.
        change: Changes the certificate before the request, and returns an error to raise in its place. It gets the
            transport, the request, and the stack of what ends the change. It blocks.
    """

    name: str
    place: FaultPlace
    once: bool = False
    outcome: Callable[[Any], Outcome] = _nothing
    delay: float = 0.0
    before: Callable[[], object] = bool
    change: Callable[[Any, Any, ExitStack], Exception | None] | None = None


def _respond(status: int, content: str = "", **headers: str) -> Callable[[Any], Outcome]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: {"status_code": status, "headers": named, "content": content.encode()}


def _fail(kind: str, message: str) -> Callable[[Any], Outcome]:
    def fail(request: Any) -> Outcome:
        failure: Exception = getattr(httpx_of(type(request)), kind)(message, request=request)
        return failure

    return fail


class _NextHour:
    """The functions of a source of time, an hour ahead."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def monotonic(self) -> float:
        now: float = self._source.monotonic()
        return now + _HOUR

    def time(self) -> float:
        now: float = self._source.time()
        return now + _HOUR


def _jump() -> None:
    read_time_from(_NextHour(read_time_from(time)))


_PAGE = "<!doctype html><title>Sign in</title><p>Sign in to the network"
_REVOKED = 'Bearer error="invalid_token"'
FAULTS = (
    ClientFault(name="token revoked", place="api", once=True, outcome=_respond(401, WWW_Authenticate=_REVOKED)),
    ClientFault(name="token endpoint down", place="token", outcome=_fail("ConnectError", "refused (injected)")),
    ClientFault(name="token endpoint 503", place="token", outcome=_respond(503, Retry_After="120")),
    ClientFault(name="token endpoint slow", place="token", once=True, delay=1.0),
    ClientFault(name="credentials refused", place="token", outcome=_respond(401, '{"error": "invalid_client"}')),
    ClientFault(name="page in place of a token", place="token", outcome=_respond(200, _PAGE, Content_Type="text/html")),
    ClientFault(name="API 503", place="api", once=True, outcome=_respond(503, Retry_After="1")),
    ClientFault(name="API 429", place="api", once=True, outcome=_respond(429, Retry_After="1")),
    ClientFault(name="API timeout", place="api", once=True, outcome=_fail("ReadTimeout", "timed out (injected)")),
    ClientFault(
        name="connection lost",
        place="api",
        once=True,
        outcome=_fail("RemoteProtocolError", "Server disconnected without sending a response. (injected)"),
    ),
    ClientFault(name="certificate refused", place="certificate", change=refuse_certificate),
    ClientFault(name="certificate replaced", place="certificate", once=True, change=replace_certificate),
    ClientFault(name="clock ahead by an hour", place="api", once=True, before=_jump),
    ClientFault(name="store down", place="store", outcome=lambda _: ConnectionError("the store is down (injected)")),
)


class FaultInjection:
    """The fault of the present test, and the places that its requests reached.

    Attributes:
        fault: The fault; None for none.
        places: The places of the requests since `start`.
    """

    def __init__(self) -> None:
        self.fault: ClientFault | None = None
        self.places: set[FaultPlace] = set()
        self._changes = ExitStack()

    @contextmanager
    def start(self, fault: ClientFault | None) -> Iterator[None]:
        """Inject a fault until the block ends."""
        self.places.clear()
        self.fault = fault
        before = read_time_from(time)
        with ExitStack() as self._changes:
            try:
                yield
            finally:
                self.fault = None
                read_time_from(before)

    def take(self, place: FaultPlace) -> ClientFault | None:
        """Return the fault of a request."""
        is_first = place not in self.places
        self.places.add(place)
        fault = self.fault
        if fault is None or fault.place != place or (fault.once and not is_first):
            return None
        fault.before()
        return fault

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inject into all clients of the process, whatever their transports."""
        with pytest.MonkeyPatch.context() as patch:
            self._install_api(patch)
            self._install_tokens(patch)
            call = StoreGuard._call  # noqa: SLF001

            def call_store(store: Callable[[], Any], failed: Any, before: Any = None) -> Any:
                fault = self.take("store")
                return call(store if fault is None else lambda: _raise(fault.outcome(None)), failed, before)

            patch.setattr(StoreGuard, "_call", staticmethod(call_store))
            yield

    def _install_api(self, patch: pytest.MonkeyPatch) -> None:
        send, send_sync = AsyncTransport.handle_async_request, Transport.handle_request

        def fault_of(transport: Any, request: Any) -> ClientFault | None:
            transport._guard.check(request.url)  # noqa: SLF001
            fault = self.take("api")
            if transport._config.certificate is not None:  # noqa: SLF001
                fault = self.take("certificate") or fault
            return fault

        async def send_with(transport: Any, request: Any) -> Any:
            outcome: Outcome = None
            fault = fault_of(transport, request)
            if fault is not None and fault.change is not None:
                outcome = await run_in_thread(fault.change, transport, request, self._changes)
            elif fault is not None:
                outcome = fault.outcome(request)
            return await send(transport, request) if outcome is None else _response(outcome, httpx_of(type(request)))

        def send_sync_with(transport: Any, request: Any) -> Any:
            outcome: Outcome = None
            fault = fault_of(transport, request)
            if fault is not None and fault.change is not None:
                outcome = fault.change(transport, request, self._changes)
            elif fault is not None:
                outcome = fault.outcome(request)
            return send_sync(transport, request) if outcome is None else _response(outcome, httpx_of(type(request)))

        patch.setattr(AsyncTransport, "handle_async_request", send_with)
        patch.setattr(Transport, "handle_request", send_sync_with)

    def _install_tokens(self, patch: pytest.MonkeyPatch) -> None:
        carry, carry_blocking = exchange._carry, exchange._carry_blocking  # noqa: SLF001

        async def carry_with(transports: Any, request: httpx.Request) -> Any:
            fault = self.take("token") if b"grant_type=" in request.content else None
            if fault is None:
                return await carry(transports, request)
            await anyio.sleep(fault.delay)
            outcome = fault.outcome(request)
            return await carry(transports, request) if outcome is None else _reply(outcome)

        def carry_blocking_with(transport: Any, request: httpx.Request) -> Any:
            fault = self.take("token") if b"grant_type=" in request.content else None
            if fault is None:
                return carry_blocking(transport, request)
            time.sleep(fault.delay)
            outcome = fault.outcome(request)
            return carry_blocking(transport, request) if outcome is None else _reply(outcome)

        patch.setattr(exchange, "_carry", carry_with)
        patch.setattr(exchange, "_carry_blocking", carry_blocking_with)


def _raise(outcome: Outcome) -> None:
    assert isinstance(outcome, Exception)
    raise outcome


def _response(outcome: dict[str, Any] | Exception, module: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome
    return module.Response(**outcome)


def _reply(outcome: dict[str, Any] | Exception) -> tuple[bytes, httpx.Response]:
    response: httpx.Response = _response(outcome, httpx)
    return response.content, response
