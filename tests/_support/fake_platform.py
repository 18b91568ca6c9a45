"""The SEI platform in memory: logins, codes that work once and for 20 seconds, refresh tokens that rotate."""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import httpx

import seic

CALLBACK = "https://app.example/login/callback"
_CODE_LIVES = 20.0


class FakePlatform:
    """Answers token and API calls; `log_in` plays the browser at the login page.

    Attributes:
        now: Its clock, which a test moves.
        plan: Answers (or exceptions) for the next token calls.
        exchanges: The forms of all token calls.
        expires_in: Seconds of life of the next tokens.
    """

    def __init__(self, *, pkce: bool = False) -> None:
        self.now = 0.0
        self.plan: deque[httpx.Response | Exception] = deque()
        self.exchanges: list[dict[str, str]] = []
        self.expires_in = 3599
        self.provider = attrs.evolve(seic.SEI_PLATFORM, takes_pkce=pkce, revocation_url="/v2/oauth/revoke")
        self.store = seic.MemoryStore()
        self.revoked: list[str] = []
        self._codes: dict[str, tuple[str, float, str | None]] = {}
        self._access: dict[str, str] = {}
        self._refresh: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def config(self, **changes: Any) -> seic.Config:
        """Return settings that reach it."""
        from seic.fastapi import UserLogin

        settings: dict[str, Any] = {
            "provider": self.provider,
            "client_id": "app-1",
            "client_secret": "secret-1",
            "grant": UserLogin(),
            "store": self.store,
        }
        return seic.Config(**{**settings, **changes})

    @property
    def transport(self) -> httpx.MockTransport:
        """What carries calls."""
        return httpx.MockTransport(self._answer)

    def log_in(self, authorize_url: str, *, email: str = "ada@example.com") -> str:
        """Log a person in at the page, and return where the browser is sent back to."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(authorize_url).query).items()}
        assert query["client_id"] == "app-1"
        code = secrets.token_hex(8)
        self._codes[code] = (email, self.now + _CODE_LIVES, query.get("code_challenge"))
        return f"{query['redirect_url']}?{urlencode({'code': code, 'state': query['state']})}"

    def kill(self, email: str) -> None:
        """End a person's tokens, access and refresh."""
        self._access = {token: owner for token, owner in self._access.items() if owner != email}
        self._refresh = {token: owner for token, owner in self._refresh.items() if owner != email}

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/oauth/token":
            return self._token(request)
        if request.url.path == "/v2/oauth/revoke":
            form = _form(request)
            self.revoked.append(form.get("refresh_token") or form["token"])
            return httpx.Response(200, json={"message": "revoked", "token": "x", "cascade": "true"})
        owner = self._access.get(request.headers["Authorization"].removeprefix("Bearer "))
        if owner is None:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return httpx.Response(200, json={"email": owner, "path": request.url.path})

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = _form(request)
        self.exchanges.append(form)
        assert (form["client_id"], form["client_secret"]) == ("app-1", "secret-1")
        if self.plan:
            answer = self.plan.popleft()
            if isinstance(answer, Exception):
                raise answer
            return answer
        owner = self._owner(form)
        if owner is None:
            return httpx.Response(400, json={"error": "invalid_grant"})
        number = next(self._numbers)
        self._access[f"access-{number}"] = self._refresh[f"refresh-{number}"] = owner
        document = {
            "access_token": f"access-{number}",
            "refresh_token": f"refresh-{number}",
            "token_type": "BearerToken",
            "expires_in": self.expires_in,
            "refresh_token_expires_in": 2591999,
            "email": owner,
        }
        return httpx.Response(200, json=document)

    def _owner(self, form: dict[str, str]) -> str | None:
        if form["grant_type"] == "refresh_token":
            return self._refresh.pop(form["refresh_token"], None)
        owner, ends, challenge = self._codes.pop(form["code"], (None, 0.0, None))
        if owner is None or self.now >= ends:
            return None
        if challenge is not None:
            from seic._oauth.pkce import challenge_of

            if challenge_of(form["code_verifier"]) != challenge:
                return None
        return owner


def _form(request: httpx.Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
