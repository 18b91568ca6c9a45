"""`MockTokenEndpoint`: the token endpoint of a `MockProvider`, with logins, revocation and introspection."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import attrs
import httpx

from seic._concurrency import SharedFuture
from seic._config import Config
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._model.token import Token
from seic.testing._mock_dpop import MockDPoP
from seic.testing._mock_expectations import Answer
from seic.testing._mock_tokens import MockTokens

#: Seconds after which a test fails that would hang.
PATIENCE = 10.0
_LOST = httpx.ReadError("the connection broke")
# Reserved names (RFC 2606 §2): a request that a thread sends after the end of its test reaches no provider.
_HOSTS = Hosts(api="https://api.example", mtls="https://mtls.api.example")


@attrs.frozen
class _WaitingRequests:
    """Token requests that wait for their end.

    Args:
        issued: Whether a request is answered when it arrives, so that only its response is late.
    """

    issued: bool
    ended: SharedFuture[None] = attrs.field(factory=SharedFuture)


class MockTokenEndpoint:
    """The base of `MockProvider`: everything about tokens."""

    def __init__(self, provider: Provider, settings: dict[str, Any], tokens: MockTokens) -> None:
        self.requests: list[Any] = []
        self.forms: list[dict[str, str]] = []
        self.expires_in: float | str | None = None
        self.refresh_tokens = False
        self.reusable_refresh_tokens = False
        self.token_members: dict[str, Any] = {}
        self.token_responses: deque[httpx.Response | BaseException] = deque()
        self.issued_tokens: int = 0
        self.revoked: list[str] = []
        #: Of all configurations that it returned; the last one is the provider's.
        self._providers = [provider]
        self._settings = settings
        self._client_secret, self._password = secrets.token_hex(16), secrets.token_hex(16)
        self._tokens = tokens
        self._dpop = MockDPoP()
        self._lost = 0
        self._hold: _WaitingRequests | None = None
        self._arrived: SharedFuture[None] = SharedFuture()

    def config(self, **changes: Any) -> Config:
        """Return a configuration for the provider, with a secret and a password of this object.

        The hosts are reserved names, `api.example` and `mtls.api.example` (RFC 2606 §2), unless `changes` has others.

        Args:
            changes: Arguments of `Config` that replace those; with `environment`, the hosts are the provider's.
        """
        changes = {**self._settings, **changes}
        provider: Provider = changes.get("provider", self._provider)
        if provider is not self._provider:
            self._providers.append(provider)
        grant = ClientCredentials()
        if provider.username_field is not None:
            grant = ClientCredentials(username="svc-mock", password=self._password)
        settings: dict[str, Any] = {
            "provider": provider,
            "client_id": "mock-client",
            "client_secret": self._client_secret,
            "grant": grant,
        }
        if "environment" not in changes:
            settings["hosts"] = _HOSTS
        return Config(**{**settings, **changes})

    @property
    def _provider(self) -> Provider:
        return self._providers[-1]

    # Token requests

    @property
    def token_requests(self) -> int:
        """The number of token requests."""
        return len(self.forms)

    @property
    def secrets(self) -> list[str]:
        """The client secret and the password of `config`, and all tokens issued; for `assert_no_secrets`."""
        return [self._client_secret, self._password, *self._tokens.issued]

    def fail_tokens(
        self,
        status: int = 503,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        exception: BaseException | None = None,
    ) -> None:
        """Answer the next token requests with a failure, after the failures planned before.

        `token_responses` has what is planned: append a response of httpx for any other.

        Args:
            status: The HTTP status.
            times: The number of requests.
            headers: The headers, such as `Retry-After`.
            body: The body; by default `{"error": "invalid_client"}` with a status of 400 to 499, and else empty.
            exception: Is raised in place of a response.
        """
        if body is None:
            body = '{"error": "invalid_client"}' if 400 <= status < 500 else ""
        for _ in range(times):
            response = httpx.Response(status, headers=dict(headers or {}), content=body.encode())
            self.token_responses.append(exception or response)

    def _unused_failures(self) -> list[str]:
        planned = len(self.token_responses) + self._lost
        return [f"{planned} planned responses of the token endpoint were not requested"] if planned else []

    def lose_tokens(self, times: int = 1) -> None:
        """Answer the next token requests, and lose the responses: `httpx.ReadError` is raised.

        A refresh token or code of such a request has been used.
        """
        self._lost += times

    def hold_tokens(self, *, issued: bool = False) -> None:
        """Let token requests wait until `release_tokens`, for at most ten seconds.

        Args:
            issued: Answer each when it arrives, so that only its response is late.
        """
        self._arrived = SharedFuture()
        self._hold = _WaitingRequests(issued)

    def release_tokens(self) -> None:
        """Let the token requests continue that wait, and all others."""
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.ended.set_result(None)

    async def wait_for_token_request(self, seconds: float = PATIENCE) -> bool:
        """Wait for the first token request since `hold_tokens`; return whether it came in time."""
        return await self._arrived.wait(seconds)

    def wait_for_token_request_sync(self, seconds: float = PATIENCE) -> bool:
        """Wait for the first token request since `hold_tokens`; return whether it came in time."""
        return self._arrived.wait_sync(seconds)

    # Tokens

    def accept_token(self, access_token: str | None = None, *, refresh_token: str | None = None) -> None:
        """Let tokens be valid that this object did not issue, such as those that a store has before the test."""
        if access_token is not None:
            self._tokens.accept_access(access_token, None)
        if refresh_token is not None:
            self._tokens.accept_refresh(refresh_token)

    def revoke(self, token: Token | str) -> bool:
        """Revoke an access or refresh token without telling its client; return whether it was valid."""
        return self._tokens.revoke(token.access_token if isinstance(token, Token) else token)

    def revoke_all(self) -> int:
        """Revoke all access tokens without telling their clients; return their number."""
        return self._tokens.revoke_all()

    @property
    def reused_refresh_tokens(self) -> list[str]:
        """The refresh tokens that came again after their use; each ended all tokens of its login."""
        return self._tokens.reused

    # Users

    def log_in(self, authorize_url: str, *, username: str = "ada@example.com") -> str:
        """Log a user in, as the browser at the login page does; return the URL to which it is sent back.

        Args:
            authorize_url: The URL to which the application sent the browser.
            username: The user.

        Raises:
            AssertionError: The URL is of another application.
        """
        query = dict(parse_qsl(urlsplit(authorize_url).query))
        client_id = self.config().client_id
        if query["client_id"] != client_id:
            raise AssertionError(f"client_id must be {client_id}, not {query['client_id']}")
        code = self._tokens.create_code(username, query.get("code_challenge"), self._provider.code_lifetime)
        back = {"code": code, **({"state": query["state"]} if "state" in query else {})}
        return f"{query[self._provider.redirect_field]}?{urlencode(back)}"

    def end_login(self, username: str) -> None:
        """End all tokens of a user without telling the application, refresh tokens included."""
        self._tokens.end_login(username)

    def username_of(self, request: Any) -> str | None:
        """Return the user whose token a request has; None for a token of an application."""
        return self._tokens.username_of(_token_of(request))

    # DPoP

    @property
    def dpop_proofs(self) -> list[dict[str, Any]]:
        """The claims of the accepted DPoP proofs, each with `jkt`, the thumbprint of its key (RFC 7638)."""
        return self._dpop.proofs

    @property
    def nonce_challenges(self) -> int:
        """The number of requests that had to be sent again with a nonce."""
        return self._dpop.challenges

    def require_nonce(self, path: str, nonce: str | None) -> None:
        """Require a nonce in the DPoP proofs of requests with a path; None requires none (RFC 9449 §8 and §9)."""
        self._dpop.nonces.pop(path, None)
        if nonce is not None:
            self._dpop.nonces[path] = nonce

    def _verify_proof(self, request: Any, form: dict[str, str]) -> Answer | None:
        """Return the request for a nonce, if there is none in the proof of a request."""
        is_token_request = "grant_type" in form
        if "DPoP" not in request.headers or self._dpop.verify(
            request, None if is_token_request else _token_of(request)
        ):
            return None
        if is_token_request:
            return {"status_code": 400, "json": {"error": "use_dpop_nonce"}}
        challenge = 'DPoP error="use_dpop_nonce", error_description="nonce"'
        return {"status_code": 401, "headers": {"WWW-Authenticate": challenge}}

    # Responses

    def _answer_token(self, request: Any, form: dict[str, str]) -> Answer:
        if self.token_responses:
            return self._planned(self.token_responses.popleft())
        if form["grant_type"] == self._provider.invalidate_grant_type:
            self._tokens.revoke(form.get("access_token", ""))
            return {"status_code": 200, "json": {}}
        grant_type, rotates = form["grant_type"], not self.reusable_refresh_tokens
        is_refresh = grant_type == "refresh_token"
        if is_refresh:
            login = self._tokens.use_refresh(form["refresh_token"], rotates=rotates)
        elif grant_type == "authorization_code":
            login = self._tokens.use_code(form["code"], form.get("code_verifier", ""))
        else:
            login = self._tokens.login()
        if login is None:
            return {"status_code": 400, "json": {"error": "invalid_grant"}}
        self.issued_tokens += 1
        number = self.issued_tokens
        members: dict[str, Any] = {
            "access_token": self._tokens.create_access(login, number, self.expires_in),
            "token_type": "DPoP" if "DPoP" in request.headers else "Bearer",
            "expires_in": self.expires_in,
        }
        if (self.refresh_tokens or login.username is not None) and (rotates or not is_refresh):
            members["refresh_token"] = self._tokens.create_refresh(login, number)
        if login.username is not None:
            members[self._provider.username_field or "username"] = login.username
        members = {name: value for name, value in {**members, **self.token_members}.items() if value is not None}
        if members.get("token_type") == "DPoP":
            self._dpop.bind(members["access_token"])
        if self._lost:
            self._lost -= 1
            return _LOST
        return {"status_code": 200, "json": members}

    def _planned(self, planned: httpx.Response | BaseException) -> Answer:
        """Accept the tokens of a planned response."""
        if isinstance(planned, httpx.Response) and planned.is_success:
            try:
                members = planned.json()
            except (ValueError, httpx.StreamError, httpx.ResponseNotRead):
                members = None
            if isinstance(members, dict) and isinstance(token := members.get("access_token"), str):
                self._tokens.accept_access(token, members.get("expires_in"))
        return planned

    def _answer_about_token(self, request: Any, form: dict[str, str]) -> Answer | None:
        """Answer a request for revocation (RFC 7009) or introspection (RFC 7662); None for any other."""
        path, fields = request.url.path, {one.revocation_refresh_field or "token" for one in self._providers}
        token = next((form[field] for field in ("token", *fields) if field in form), None)
        if token is None:
            return None
        if any(_is_path_of(one.revocation_url, path) for one in self._providers):
            self.revoked.append(token)
            self._tokens.revoke(token)
            return {"status_code": 200, "json": {}}
        if any(_is_path_of(one.introspection_url, path) for one in self._providers):
            username = self._tokens.username_of(token)
            active = {"active": True, **({} if username is None else {"username": username})}
            return {"status_code": 200, "json": active if self._tokens.seconds_left(token) > 0 else {"active": False}}
        return None

    def _is_authorized(self, request: Any) -> bool:
        token = _token_of(request)
        return self._tokens.seconds_left(token) > 0 and self._dpop.is_bound(token, has_proof="DPoP" in request.headers)

    def _arrive(self, form: dict[str, str]) -> _WaitingRequests | None:
        if "grant_type" not in form:
            return None
        self.forms.append(form)
        hold, arrived = self._hold, self._arrived
        if not arrived.done():
            arrived.set_result(None)
        return hold


def _token_of(request: Any) -> str:
    token: str = request.headers.get("Authorization", "").partition(" ")[2]
    return token


def _is_path_of(url: str | None, path: str) -> bool:
    return url is not None and urlsplit(url).path == path
