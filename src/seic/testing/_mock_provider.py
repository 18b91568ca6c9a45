"""`MockProvider`: a provider and its API in memory, as a transport of httpx and httpx2."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from seic._concurrency import ForkSafeLock, SharedFuture
from seic._httpx import AsyncBaseTransport, BaseTransport, httpx_of
from seic._model.provider import Provider
from seic._oauth.providers import SEI_GATEWAY
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic.testing._mock_expectations import Answer, ExpectedRequest, find_expected, form_of
from seic.testing._mock_token_endpoint import PATIENCE, MockTokenEndpoint
from seic.testing._mock_tokens import MockTokens, random_token

_NO_RELEASE = f"seic_mock: a token request waited {PATIENCE:g} seconds for release_tokens"


class MockProvider(MockTokenEndpoint, AsyncBaseTransport, BaseTransport):
    """A token endpoint and an API in memory: a transport for async and blocking clients of httpx and httpx2.

    A POST with a `grant_type` is a token request, and gets a new token. The API accepts the tokens that were issued,
    are not revoked and have not expired; other requests get 401. It is strict: a request for which there is no response
    is an AssertionError, and `check` raises if a response was not requested. Refresh tokens and codes can be used once,
    and DPoP proofs are verified.

    Args:
        provider: The provider of the configurations that `config` returns.
        expires_in: The lifetime of tokens in seconds, as the response has it; None leaves the member out.
        refresh_tokens: Whether tokens come with a refresh token, which can be used once; those of users always do.
        create_token: Returns a token; its arguments are `access` or `refresh`, and the number of the token, from 1. By
            default, tokens are random.
        clock: The clock of lifetimes; the fixture `seic_clock` moves the default one.
        settings: Arguments of `Config` for the configurations that `config` returns.

    Attributes:
        requests: All requests, token requests included.
        forms: The forms of the token requests.
        expires_in: The lifetime of the next tokens.
        refresh_tokens: Whether the next tokens come with a refresh token.
        reusable_refresh_tokens: Whether a refresh token can be used again, and a refresh returns no other.
        token_members: Further members of token responses; None leaves a member out.
        token_responses: The next responses of the token endpoint, or exceptions.
        issued_tokens: The number of access tokens issued.
        revoked: The tokens whose revocation was requested.
        challenges: Whether a 401 has the header `WWW-Authenticate`.
    """

    def __init__(
        self,
        *,
        provider: Provider = SEI_GATEWAY,
        expires_in: float | str | None = 3600,
        refresh_tokens: bool = False,
        create_token: Callable[[str, int], str] = random_token,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Any,
    ) -> None:
        super().__init__(provider, settings, MockTokens(clock.monotonic, create_token))
        self.expires_in = expires_in
        self.refresh_tokens = refresh_tokens
        self.challenges = True
        self._expected: list[ExpectedRequest] = []
        self._unexpected: dict[str, None] = {}
        self._tracking_ids = itertools.count(1)
        self._lock = ForkSafeLock()

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
        """Answer requests of the API; of several responses for a request, the first added is used that has a path.

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

    def add_callback(
        self,
        callback: Callable[[Any], httpx.Response | Mapping[str, Any]],
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        protected: bool = True,
    ) -> None:
        """Answer requests with what a function returns for each; see `add_response`.

        Args:
            callback: Returns an `httpx.Response` or its arguments, such as `{"json": {}}`; 200 is the default.
            method: The method of the requests.
            path: The path of the requests.
            times: The number of requests.
            protected: Whether the requests need a valid token.
        """
        self._expect(ExpectedRequest(answer=callback, method=method, path=path, times=times, protected=protected))

    def _expect(self, expected: ExpectedRequest) -> None:
        self._expected.append(expected)

    def received(self, *, method: str | None = None, path: str | None = None) -> list[Any]:
        """Return the requests with a method and a path; None is any."""
        return [one for one in self.requests if method in {None, one.method} and path in {None, one.url.path}]

    def check(self) -> None:
        """Check that each response was requested, and that there was a response for each request.

        Raises:
            AssertionError: Not; the message has all requests.
        """
        missing = [each for each in self._expected if each.times is not None and each.count < each.times]
        problems = [
            *self._unexpected,
            *self._unused_failures(),
            *(f"{each}: expected {each.times} times, requested {each.count} times" for each in missing),
        ]
        if problems:
            raise AssertionError("seic_mock: " + "\n".join(problems))

    # The transport

    async def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # see `seic._httpx`
        self, request: Any
    ) -> Any:
        """Answer a request of an async client."""
        await request.aread()
        hold, deliver = self._take(request)
        if hold is not None and not await hold.wait(PATIENCE):
            raise AssertionError(_NO_RELEASE)
        return deliver()

    def handle_request(self, request: Any) -> Any:
        """Answer a request of a blocking client."""
        request.read()
        hold, deliver = self._take(request)
        if hold is not None and not hold.wait_sync(PATIENCE):
            raise AssertionError(_NO_RELEASE)
        return deliver()

    def _take(self, request: Any) -> tuple[SharedFuture[None] | None, Callable[[], Any]]:
        """Return what a request waits for, and the function that then returns its response."""
        with self._lock:
            self.requests.append(request)
            hold = self._arrive(form_of(request))
        if hold is None or not hold.issued:
            return None if hold is None else hold.ended, lambda: self._deliver(request, self._respond(request))
        answer = self._respond(request)
        return hold.ended, lambda: self._deliver(request, answer)

    def _deliver(self, request: Any, answer: Answer) -> Any:
        module = httpx_of(type(request))
        if isinstance(answer, BaseException):
            # A user's exceptions are httpx's; a client of httpx2 catches its own.
            kind = getattr(module, type(answer).__name__, None) if isinstance(answer, httpx.TransportError) else None
            if kind is None or isinstance(answer, kind):
                raise answer
            raise kind(str(answer), request=request)
        if isinstance(answer, httpx.Response):
            # A copy: a test may plan one response several times.
            body = {"stream": answer.stream} if module is httpx else {"content": answer.content}
            answer = {
                "status_code": answer.status_code,
                "headers": answer.headers,
                "extensions": answer.extensions,
                **body,
            }
        response = module.Response(**{"status_code": 200, **answer})
        if (header := self._provider.tracking_header) is not None:
            response.headers.setdefault(header, f"track-{next(self._tracking_ids)}")
        if "DPoP" in request.headers and (nonce := self._dpop.nonces.get(request.url.path)) is not None:
            response.headers["DPoP-Nonce"] = nonce
        return response

    def _respond(self, request: Any) -> Answer:
        with self._lock:
            form = form_of(request)
            if (answer := self._verify_proof(request, form)) is not None:
                return answer
            if "grant_type" in form:
                return self._answer_token(request, form)
            found = find_expected(self._expected, request)
            is_specific = found is not None and found.path is not None
            if not is_specific and (answer := self._answer_about_token(request, form)) is not None:
                return answer
            if found is None and not any(each.is_for(request) for each in self._expected):
                self._unexpected[_no_response(request)] = None
            if (found is None or found.protected) and not self._is_authorized(request):
                scheme = "DPoP" if "DPoP" in request.headers else "Bearer"
                headers = {"WWW-Authenticate": f'{scheme} error="invalid_token"'} if self.challenges else {}
                return {"status_code": 401, "headers": headers}
            if found is not None:
                return found.answer_to(request)
            self._unexpected[_no_response(request)] = None
            return AssertionError(f"seic_mock: {_no_response(request)}")


def _no_response(request: Any) -> str:
    return (
        f"no response for {request.method} {request.url.path}; "
        f"call add_response(method={request.method!r}, path={request.url.path!r})"
    )
