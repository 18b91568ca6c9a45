"""`MockProvider`: a provider and its API in memory, as a transport of httpx and httpx2."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs
import httpx

from seic._config import Config
from seic._httpx import AsyncBaseTransport, BaseTransport, httpx_of
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._model.token import Token
from seic._oauth.providers import SEI_GATEWAY
from seic._tokens.clock import SYSTEM_CLOCK, Clock


@attrs.define(kw_only=True)
class ExpectedRequest:
    """Requests that have a response; None matches any value.

    Args:
        answer: The arguments of the response, or an exception.
        method: The method.
        path: The path.
        query: The query.
        digest: SHA-256 of the body.
        times: The number of requests, each of which must come; None for any number.
        protected: Whether the requests need a valid token.
        count: The number of requests that came.
    """

    answer: Mapping[str, Any] | Exception
    method: str | None = None
    path: str | None = None
    query: str | None = None
    digest: str | None = None
    times: int | None = 1
    protected: bool = True
    count: int = 0

    def matches(self, request: Any) -> bool:
        """Return whether this is the response of a request."""
        return (
            (self.times is None or self.count < self.times)
            and self.method in {None, request.method}
            and self.path in {None, request.url.path}
            and self.query in {None, request.url.query.decode()}
            and self.digest in {None, hashlib.sha256(request.content).hexdigest()}
        )

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.method or 'any method'} {self.path or 'any path'}{query}"


class MockProvider(AsyncBaseTransport, BaseTransport):
    """A token endpoint and an API in memory: a transport for async and blocking clients of httpx and httpx2.

    A POST with a `grant_type` is a token request, and gets a new token. The API accepts the tokens that were issued,
    are not revoked and have not expired; other requests get 401. It is strict: a request for which there is no response
    is an AssertionError, and `check` raises if a response was not requested.

    Args:
        provider: The provider of the configurations that `config` returns.
        expires_in: The lifetime of tokens in seconds.
        clock: The clock of that lifetime; the fixture `seic_clock` moves the default one.

    Attributes:
        requests: All requests, token requests included.
        forms: The forms of the token requests.
    """

    def __init__(
        self, *, provider: Provider = SEI_GATEWAY, expires_in: float = 3600, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.requests: list[Any] = []
        self.forms: list[dict[str, str]] = []
        self.expires_in = expires_in
        self._provider = provider
        self._monotonic = clock.monotonic
        self._client_secret, self._password = secrets.token_hex(16), secrets.token_hex(16)
        self._expected: list[ExpectedRequest] = []
        self._failures: deque[Mapping[str, Any] | Exception] = deque()
        self._unexpected: list[str] = []
        #: The end of each valid token.
        self._tokens: dict[str, float] = {}
        #: All tokens, also those that are no longer valid.
        self._issued: list[str] = []
        self._lock = threading.Lock()

    def config(self, **changes: Any) -> Config:
        """Return a configuration for the provider, with a secret and a password of this object.

        Args:
            changes: Arguments of `Config` that replace those.
        """
        provider: Provider = changes.get("provider", self._provider)
        grant = ClientCredentials()
        if provider.username_field is not None:
            grant = ClientCredentials(username="svc-mock", password=self._password)
        settings: dict[str, Any] = {
            "provider": provider,
            "client_id": "mock-client",
            "client_secret": self._client_secret,
            "grant": grant,
        }
        if not provider.environments:
            settings["hosts"] = Hosts(api="https://api.example")
        return Config(**{**settings, **changes})

    # Expectations

    def add_response(
        self,
        status_code: int = 200,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        protected: bool = True,
        **content: Any,
    ) -> None:
        """Answer requests of the API; of several responses for a request, the first added is used.

        Args:
            status_code: The HTTP status.
            method: The method of the requests, such as `GET`; None for any.
            path: The path of the requests, without the query; None for any.
            times: The number of requests, each of which must come; None for any number.
            protected: Whether the requests need a valid token.
            content: Other arguments of `httpx.Response`, such as `json`, `text` and `headers`.
        """
        answer = {"status_code": status_code, **content}
        self._expect(ExpectedRequest(answer=answer, method=method, path=path, times=times, protected=protected))

    def add_exception(
        self,
        exception: Exception,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        protected: bool = True,
    ) -> None:
        """Raise an exception in place of a response, such as `httpx.ReadTimeout("slow")`; see `add_response`."""
        self._expect(ExpectedRequest(answer=exception, method=method, path=path, times=times, protected=protected))

    def _expect(self, expected: ExpectedRequest) -> None:
        self._expected.append(expected)

    def check(self) -> None:
        """Check that each response was requested, and that there was a response for each request.

        Raises:
            AssertionError: Not; the message has all requests.
        """
        missing = [each for each in self._expected if each.times is not None and each.count < each.times]
        problems = [
            *self._unexpected,
            *(f"{each}: expected {each.times} times, requested {each.count} times" for each in missing),
        ]
        if problems:
            raise AssertionError("seic_mock: " + "\n".join(problems))

    # Tokens

    @property
    def token_requests(self) -> int:
        """The number of token requests."""
        return len(self.forms)

    @property
    def secrets(self) -> list[str]:
        """The client secret and the password of `config`, and all tokens issued; for `assert_no_secrets`."""
        return [self._client_secret, self._password, *self._issued]

    def received(self, *, method: str | None = None, path: str | None = None) -> list[Any]:
        """Return the requests with a method and a path; None is any."""
        return [one for one in self.requests if method in {None, one.method} and path in {None, one.url.path}]

    def revoke(self, token: Token | str) -> bool:
        """Revoke a token without telling its client; return whether it was valid."""
        text = token.access_token if isinstance(token, Token) else token
        return self._tokens.pop(text, None) is not None

    def revoke_all(self) -> int:
        """Revoke all tokens without telling their clients; return their number."""
        count = len(self._tokens)
        self._tokens.clear()
        return count

    def fail_tokens(
        self,
        status: int = 503,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        exception: Exception | None = None,
    ) -> None:
        """Answer the next token requests with a failure, after the failures planned before.

        Args:
            status: The HTTP status.
            times: The number of requests.
            headers: The headers, such as `Retry-After`.
            body: The body; by default `{"error": "invalid_client"}` with a status of 400 to 499, and else empty.
            exception: Is raised in place of a response.
        """
        if body is None:
            body = '{"error": "invalid_client"}' if 400 <= status < 500 else ""
        failure = exception or {"status_code": status, "headers": dict(headers or {}), "content": body.encode()}
        self._failures.extend([failure] * times)

    # The transport

    async def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # see `seic._httpx`
        self, request: Any
    ) -> Any:
        """Answer a request of an async client."""
        await request.aread()
        return self._respond(request)

    def handle_request(self, request: Any) -> Any:
        """Answer a request of a blocking client."""
        request.read()
        return self._respond(request)

    def _respond(self, request: Any) -> Any:
        with self._lock:
            self.requests.append(request)
            answer = self._answer(request)
        module = httpx_of(type(request))
        if isinstance(answer, Exception):
            # A user's exceptions are httpx's; a client of httpx2 catches its own.
            kind = getattr(module, type(answer).__name__, None) if isinstance(answer, httpx.TransportError) else None
            raise answer if kind is None else kind(str(answer), request=request)
        return module.Response(**answer)

    def _answer(self, request: Any) -> Mapping[str, Any] | Exception:
        form = _form_of(request)
        if "grant_type" in form:
            return self._answer_token(request, form)
        found = next((each for each in self._expected if each.matches(request)), None)
        if (found is None or found.protected) and not self._is_authorized(request):
            return {"status_code": 401, "headers": {"WWW-Authenticate": 'Bearer error="invalid_token"'}}
        if found is not None:
            found.count += 1
            return found.answer
        problem = (
            f"no response for {request.method} {request.url.path}; "
            f"call add_response(method={request.method!r}, path={request.url.path!r})"
        )
        self._unexpected.append(problem)
        return AssertionError(f"seic_mock: {problem}")

    def _answer_token(self, request: Any, form: dict[str, str]) -> Mapping[str, Any] | Exception:
        self.forms.append(form)
        if self._failures:
            return self._failures.popleft()
        if form["grant_type"] == self._provider.invalidate_grant_type:
            self._tokens.pop(form.get("access_token", ""), None)
            return {"status_code": 200, "json": {}}
        token = secrets.token_urlsafe(24)
        self._issued.append(token)
        self._tokens[token] = self._monotonic() + self.expires_in
        kind = "DPoP" if "DPoP" in request.headers else "Bearer"
        return {"status_code": 200, "json": {"access_token": token, "token_type": kind, "expires_in": self.expires_in}}

    def _is_authorized(self, request: Any) -> bool:
        token = request.headers.get("Authorization", "").partition(" ")[2]
        return self._monotonic() < self._tokens.get(token, 0.0)


def _form_of(request: Any) -> dict[str, str]:
    is_form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return dict(parse_qsl(request.content.decode())) if is_form and request.method == "POST" else {}
