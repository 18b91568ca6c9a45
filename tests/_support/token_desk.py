"""A token endpoint in memory that answers by plan, and waits at a gate that tests open from tasks and threads alike."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

import httpx

from seic import OAUTH2, ClientCredentials
from seic._runtime import Latch
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.held import Held
from seic._tokens.sending import Sender
from seic._tokens.source import TokenSource
from tests._support.clocks import FakeClock

#: Nothing in memory takes this many seconds; a test that would hang fails after them.
PATIENCE = 10.0

SECRET = "client-secret-1"
UNAVAILABLE = httpx.Response(503)


class TokenDesk(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """Carries token calls, and answers them.

    Attributes:
        requests: What came in.
        plan: Answers or exceptions for the next calls, in place of a token.
        expires_in: Seconds of life of the next tokens; None leaves the property out.
        arrived: Set when a call has come in since `hold`.
    """

    closes_after_call = False

    def __init__(self, *, expires_in: Any = 3600) -> None:
        self.requests: list[httpx.Request] = []
        self.plan: deque[httpx.Response | Exception] = deque()
        self.expires_in = expires_in
        self.arrived = Latch()
        self._gate: Latch | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)

    @property
    def calls(self) -> int:
        """How many calls came in."""
        return len(self.requests)

    def hold(self) -> None:
        """Let calls wait from now on."""
        self.arrived = Latch()
        self._gate = Latch()

    def release(self) -> None:
        """Answer what waits, and all that comes."""
        assert self._gate is not None
        self._gate.set()
        self._gate = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        gate = self._enter(request)
        if gate is not None:
            assert await gate.wait_async(PATIENCE)
        return self._answer()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one blocking call."""
        gate = self._enter(request)
        if gate is not None:
            assert gate.wait(PATIENCE)
        return self._answer()

    def open(self) -> httpx.AsyncBaseTransport:
        """Be a connector."""
        return self

    def open_sync(self) -> httpx.BaseTransport:
        """Be a connector."""
        return self

    def endpoint(self, *, timeout: float = PATIENCE) -> TokenEndpoint:
        """Return the endpoint that this desk serves."""
        return TokenEndpoint(
            provider=OAUTH2,
            url="https://idp.example/oauth/v2/token",
            client_id="client-1",
            client_secret=SECRET,
            grant=ClientCredentials(),
            sender=Sender(self),
            timeout=timeout,
        )

    def source(self, clock: FakeClock | None = None, *, timeout: float = PATIENCE, **options: Any) -> TokenSource:
        """Return a source of its tokens; chance is nil, so no window opens early and no repetition pauses."""
        clock = clock or FakeClock()
        return TokenSource(self.endpoint(timeout=timeout), **{"clock": clock.clock, "chance": lambda: 0.0, **options})

    def _enter(self, request: httpx.Request) -> Latch | None:
        with self._lock:
            self.requests.append(request)
        self.arrived.set()
        return self._gate

    def _answer(self) -> httpx.Response:
        if self.plan:
            answer = self.plan.popleft()
            if isinstance(answer, BaseException):
                raise answer
            return answer
        reply: dict[str, object] = {"access_token": f"token-{next(self._numbers)}", "token_type": "Bearer"}
        if self.expires_in is not None:
            reply["expires_in"] = self.expires_in
        return httpx.Response(200, json=reply)


def name(held: Held) -> str:
    """Return the access token itself."""
    return held.token.access_token


async def landed(source: TokenSource) -> None:
    """Wait until no fetch is under way."""
    while (flight := source.state.flight) is not None:
        assert await flight.wait_async(PATIENCE)


def refusal(status: int = 401, **body: Any) -> httpx.Response:
    """Return a refusal in the standard's form."""
    return httpx.Response(status, json={"error": "invalid_client", **body})
