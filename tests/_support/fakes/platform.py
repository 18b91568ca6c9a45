"""The SEI platform in memory: logins, codes that work once and for 20 seconds, refresh tokens that rotate."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
import httpx

import seic
from tests._support.clocks import FakeClock
from tests._support.fakes.server import FakeServer, form_of
from tests._support.stores import DatabaseStore

CALLBACK = "https://app.example/login/callback"
_REVOCATION = "/v2/oauth/revoke"
_CODE_LIFETIME = 20.0


class FakePlatform(FakeServer):
    """The SEI platform; `log_in` acts as the browser at the login page.

    Attributes:
        now: Its clock, in seconds.
        clock: The clock of its applications.
        database: The tokens of its applications, whatever process stores them.
        store: The store of its configurations; None is one over `database` for each.
        revoked: The tokens that were revoked.
    """

    token_path = "/v2/oauth/token"

    def __init__(self, *, pkce: bool = False) -> None:
        super().__init__(expires_in=3599)
        self.now = 0.0
        self.provider = attrs.evolve(seic.SEI_PLATFORM, takes_pkce=pkce, revocation_url=_REVOCATION)
        self.clock = FakeClock(wall=time.time())
        self.database: dict[str, seic.Token] = {}
        self.store: seic.TokenStore | None = None
        self.revoked: list[str] = []
        self._codes: dict[str, tuple[str, float, str | None]] = {}
        self._access: dict[str, str] = {}
        self._refresh: dict[str, str] = {}

    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""
        from seic.fastapi import UserLogin

        return {
            "provider": self.provider,
            "client_id": "app-1",
            "client_secret": "secret-1",
            "grant": UserLogin(),
            "store": self.store or DatabaseStore(self.database),
        }

    def log_in(self, authorize_url: str, *, email: str = "ada@example.com") -> str:
        """Log a user in, and return the URL to which the browser is sent back."""
        query = dict(parse_qsl(urlsplit(authorize_url).query))
        assert query["client_id"] == "app-1"
        code = secrets.token_hex(8)
        self._codes[code] = (email, self.now + _CODE_LIFETIME, query.get("code_challenge"))
        return f"{query['redirect_url']}?{urlencode({'code': code, 'state': query['state']})}"

    def reject_access_tokens(self) -> None:
        """Let the API reject all access tokens issued so far; refresh tokens stay valid."""
        self._access.clear()

    def kill(self, email: str) -> None:
        """Invalidate a user's access and refresh tokens."""
        self._access = {token: owner for token, owner in self._access.items() if owner != email}
        self._refresh = {token: owner for token, owner in self._refresh.items() if owner != email}

    def answer_other(self, request: httpx.Request) -> httpx.Response:
        """Revoke a token, or answer a request of the API."""
        if request.url.path == _REVOCATION:
            form = form_of(request)
            self.revoked.append(form.get("refresh_token") or form["token"])
            return httpx.Response(200, json={"message": "revoked", "token": "x", "cascade": "true"})
        owner = self._access.get(request.headers["Authorization"].removeprefix("Bearer "))
        return self.reject() if owner is None else httpx.Response(200, json={"email": owner, "path": request.url.path})

    def answer_token(self, form: dict[str, str]) -> httpx.Response:
        """Exchange a code or a refresh token."""
        assert (form["client_id"], form["client_secret"]) == ("app-1", "secret-1")
        owner = self._owner(form)
        if owner is None:
            return httpx.Response(400, json={"error": "invalid_grant"})
        access_token, refresh_token = f"access-{self.tokens + 1}", f"refresh-{self.tokens + 1}"
        self._access[access_token] = self._refresh[refresh_token] = owner
        return self.issue(
            access_token=access_token,
            refresh_token=refresh_token,
            token_type="BearerToken",
            refresh_token_expires_in=2591999,
            email=owner,
        )

    def _owner(self, form: dict[str, str]) -> str | None:
        if form["grant_type"] == "refresh_token":
            return self._refresh.pop(form["refresh_token"], None)
        owner, ends, challenge = self._codes.pop(form["code"], (None, 0.0, None))
        if self.now >= ends or (challenge is not None and _challenge_of(form["code_verifier"]) != challenge):
            return None
        return owner


def _challenge_of(verifier: str) -> str:
    """Return the code challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
