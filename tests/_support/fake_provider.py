"""A strict provider in memory: refresh tokens rotate and a reused one ends its family; codes work once."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from typing import Any
from urllib.parse import parse_qsl

import httpx

from seic._model.grant_parameters import Grant
from seic._model.provider import Provider
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.sending import Sender
from seic._tokens.source import TokenSource

URL = "https://idp.example/token"
PROVIDER = Provider(
    token_url="/token", name="the test provider", introspection_url="/introspect", revocation_url="/end"
)


class Hands:
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    @property
    def clock(self) -> Clock:
        """Both clocks, in step."""
        return Clock(monotonic=lambda: self.now, wall=lambda: self.now)


class Wire:
    """Carries token calls to a function in place of the network."""

    closes_after_call = False

    def __init__(self, transport: httpx.MockTransport) -> None:
        self._transport = transport

    def open(self) -> httpx.AsyncBaseTransport:
        """Return the function's transport."""
        return self._transport

    def open_sync(self) -> httpx.BaseTransport:
        """Return the function's transport."""
        return self._transport


class FakeProvider:
    """Answers token calls and remembers their forms.

    Attributes:
        forms: The forms of the token calls, in order.
        calls: The other calls, in order.
        plan: What goes wrong with the next token calls: an answer, an exception before the call is looked at, or
            `"lose"`, which looks at it and loses the answer.
        rotates: Whether each refresh brings another refresh token.
        refreshable: Whether tokens come with a refresh token.
        gate: Where it is set, async token calls wait for it once they have been looked at.
        arrived: Set when a token call has been looked at.
        killed: Families that a reused token has ended.
    """

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.calls: list[httpx.Request] = []
        self.plan: deque[httpx.Response | Exception | str] = deque()
        self.rotates = True
        self.refreshable = True
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self.killed: set[str] = set()
        self._good: dict[str, str] = {"r0": "family-0"}
        self._spent: dict[str, str] = {}
        self._ids = itertools.count(1)

    @property
    def asked(self) -> list[str]:
        """What each token call asked with."""
        return [form.get("refresh_token") or form["grant_type"] for form in self.forms]

    @property
    def uses(self) -> Counter[str]:
        """How often each refresh token was sent."""
        return Counter(form["refresh_token"] for form in self.forms if "refresh_token" in form)

    def source(self, grant: Grant, hands: Hands | None = None, **options: Any) -> TokenSource:
        """Return a source of its tokens; chance is always nought, so that no pause takes time."""
        endpoint = TokenEndpoint(
            provider=options.pop("provider", PROVIDER),
            url=URL,
            client_id="client-1",
            client_secret="client-secret-1",
            grant=grant,
            sender=Sender(Wire(httpx.MockTransport(options.pop("handler", self.answer)))),
            timeout=10,
        )
        clock = (hands or Hands()).clock
        return TokenSource(endpoint, clock=clock, chance=lambda: 0.0, key=lambda _: "key", **options)

    def blocking_source(self, grant: Grant, hands: Hands | None = None, **options: Any) -> TokenSource:
        """Return a source for blocking callers."""
        return self.source(grant, hands, handler=self.answer_now, **options)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        reply = self.answer_now(request)
        self.arrived.set()
        if self.gate is not None and request.url.path == "/token":
            await self.gate.wait()
        return reply

    def answer_now(self, request: httpx.Request) -> httpx.Response:
        """Answer one call without waiting for the gate."""
        if request.url.path != "/token":
            self.calls.append(request)
            return httpx.Response(200, json={"active": True, "exp": 1_700_000_600, "username": "u"})
        form = dict(parse_qsl(request.content.decode()))
        self.forms.append(form)
        fault = self.plan.popleft() if self.plan else None
        if isinstance(fault, Exception):
            raise fault
        if isinstance(fault, httpx.Response):
            return fault
        reply = self._token(form)
        if fault == "lose":
            raise httpx.ReadError("the connection broke")
        return reply

    def _token(self, form: dict[str, str]) -> httpx.Response:
        refresh_token = form.get("refresh_token")
        number = next(self._ids)
        if refresh_token is None:
            family = f"family-{number}"
        elif refresh_token in self._good and self._good[refresh_token] not in self.killed:
            family = self._good[refresh_token]
        else:
            self.killed |= {self._spent[refresh_token]} if refresh_token in self._spent else set()
            return httpx.Response(400, json={"error": "invalid_grant", "error_description": "no such token"})
        reply: dict[str, object] = {"access_token": f"a{number}", "token_type": "Bearer", "expires_in": 3600}
        if refresh_token is not None and self.rotates:
            self._spent[refresh_token] = self._good.pop(refresh_token)
        if self.refreshable and (refresh_token is None or self.rotates):
            reply["refresh_token"] = f"r{number}"
            self._good[f"r{number}"] = family
        return httpx.Response(200, json=reply)
