"""The gateway in memory, for tests of what stands above the wire: tokens on demand, and a plan of what goes wrong."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

import httpx

import seic

TOKEN_PATH = "/v2/oauthtoken"
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class FakeGateway:
    """Answers token and API calls; `transport` carries them.

    Attributes:
        tokens: How many tokens it has issued.
        plan: Answers (or exceptions) for the next token calls, in place of a token.
        expires_in: Seconds of life of the next tokens.
        dead: Tokens that the API refuses.
        challenges: Whether it then says why, by `WWW-Authenticate`.
        redirects: Paths of the API that have moved, and where to.
        gate: Where it is set, async token calls wait for it.
        arrived: Set when a token call has arrived.
    """

    def __init__(self, *, expires_in: float = 3600) -> None:
        self.tokens = 0
        self.expires_in = expires_in
        self.plan: deque[httpx.Response | Exception] = deque()
        self.dead: set[str] = set()
        self.challenges = True
        self.redirects: dict[str, str] = {}
        self.gate: asyncio.Event | None = None
        self.arrived = asyncio.Event()
        self._ids = itertools.count(1)

    @property
    def transport(self) -> httpx.MockTransport:
        """What carries async calls."""
        return httpx.MockTransport(self._answer)

    @property
    def blocking_transport(self) -> httpx.MockTransport:
        """What carries blocking calls."""
        return httpx.MockTransport(self._answer_now)

    def config(self, **changes: Any) -> seic.Config:
        """Return settings that reach it."""
        settings: dict[str, Any] = {
            "provider": seic.SEI_GATEWAY,
            "client_id": "AppKey-1",
            "client_secret": "AppSecret-1",
            "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
        }
        return seic.Config(**{**settings, **changes})

    def client(self, **options: Any) -> seic.AsyncClient:
        """Return a client of it."""
        return seic.AsyncClient(self.config(), transport=self.transport, **options)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == TOKEN_PATH:
            self.arrived.set()
            if self.gate is not None:
                await self.gate.wait()
        return self._answer_now(request)

    def _answer_now(self, request: httpx.Request) -> httpx.Response:
        headers = {"requesttrackingid": f"track-{next(self._ids)}"}
        if request.url.path != TOKEN_PATH:
            if request.headers["Authorization"].removeprefix("Bearer ") in self.dead:
                return httpx.Response(401, headers={**headers, **(_CHALLENGE if self.challenges else {})})
            if (moved := self.redirects.get(request.url.path)) is not None:
                return httpx.Response(302, headers={**headers, "Location": moved})
            return httpx.Response(200, headers=headers, json={"path": request.url.path})
        if self.plan:
            answer = self.plan.popleft()
            if isinstance(answer, Exception):
                raise answer
            answer.headers.update(headers)
            return answer
        self.tokens += 1
        token = {
            "access_token": f"token-{self.tokens}",
            "token_type": "BearerToken",
            "expires_in": str(self.expires_in),
        }
        return httpx.Response(200, headers=headers, json=token)
