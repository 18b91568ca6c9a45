"""The routes of `Logins`: login, callback and logout."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus

import attrs
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seic import (
    AuthorizationCode,
    CertificateError,
    Config,
    InvalidTokenResponse,
    Login,
    TokenError,
    TokenRequestRefused,
)
from seic._html import CONTENT_SECURITY_POLICY, render_message
from seic._oauth.error_codes import known_code
from seic.fastapi._health_problems import remedy_for_refused_login
from seic.fastapi._login_dependencies import LoginRedirect
from seic.fastapi._login_state import LoginStateStorage, ReplayCache, login_state_name
from seic.fastapi._problems import Problem, problem_of
from seic.fastapi._redirects import safe_redirect_path
from seic.fastapi._session_cookie import SessionCookie
from seic.fastapi._sessions import SessionNotSaved, Sessions, is_matter_of_user

_logger = logging.getLogger("seic.fastapi")


def _try_again(code: str, detail: str) -> Problem:
    return Problem(status=HTTPStatus.SERVICE_UNAVAILABLE, code=code, detail=detail, retry_after=5)


#: For people, by the status of the response: a title, and what happened.
_FAULTS = {
    HTTPStatus.BAD_GATEWAY: (
        "Login out of order",
        "This is not your fault: a setting of this application is wrong. Its operators were told. Try again later.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "Login unavailable",
        "This is not your fault: the login does not work at the moment. Try again in a minute.",
    ),
}
#: Errors of an authorization response that pass (RFC 6749 §4.1.2.1).
_PASSING = ("server_error", "temporarily_unavailable")
#: Errors of an authorization response that are faults of this application: its registration, or its settings.
_FAULTS_OF_APPLICATION = (
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "redirect_uri_mismatch",
    "unauthorized_client",
    "unsupported_response_type",
)
_LOGIN_FAILED = _try_again("login_failed", "The login failed; try again.")
_PAGE_HEADERS = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
_LOGOUT_FAILED = _try_again("logout_failed", "The logout failed; try again.")


@attrs.frozen(kw_only=True)
class LoginRoutes:
    """The handlers of the three routes; see `Logins` for the settings of the same names."""

    config: Config
    name: str
    callback_url: str
    scope: str | None
    end_other_sessions: bool
    issuer: str | None
    after_login: str
    after_logout: str
    sessions: Sessions
    cookie: SessionCookie
    redirect: LoginRedirect
    login_state: LoginStateStorage
    replay_cache: ReplayCache

    async def begin(self, request: Request) -> Response:
        """Send the browser to the provider."""
        _require_get(request)
        login = Login.begin(
            provider=self.config.provider,
            client_id=self.config.client_id,
            redirect_uri=self.callback_url,
            environment=self.config.environment,
            hosts=self.config.hosts,
            scope=self.scope,
            end_other_sessions=self.end_other_sessions,
        )
        document = {
            "state": login.state,
            "verifier": login.code_verifier or "",
            "next": safe_redirect_path(request.query_params.get("next")) or self.after_login,
        }
        response = _redirect(login.url)
        name = login_state_name(self.name, login.state)
        self.login_state.save(request, response, name, self.cookie.encrypt_login(document))
        return response

    async def finish(self, request: Request) -> Response:
        """Exchange the code that the browser brings back, and start a session."""
        _require_get(request)
        response = _redirect(self.after_login)
        state = request.query_params.get("state", "")
        name = login_state_name(self.name, state)
        begun = self.cookie.decrypt_login(self.login_state.load(request, name))
        if begun is not None and secrets.compare_digest(begun["state"].encode(), state.encode()):
            # Only now: any site can send the browser here, and would end the login in progress.
            self.login_state.delete(request, response, name)
            if not self.replay_cache.add(state):
                begun = None
        try:
            grant = self._read_callback(request, begun)
        except (TokenRequestRefused, InvalidTokenResponse) as error:
            return self._explain_callback(request, response, error)
        try:
            session, token = await self.sessions.start(grant)
        except SessionNotSaved:
            return self._apologize(request, response, _LOGIN_FAILED)
        except (TokenError, CertificateError) as error:
            if isinstance(error, TokenRequestRefused) and is_matter_of_user(error.code, error.description):
                return self._explain(request, response, error)
            return self._report(request, response, error)
        previous = self.cookie.load(request)
        if previous is not None:
            await self.sessions.end(previous["session"])
        self.cookie.save(response, session, name=token.extra.get("email"))
        response.headers["Location"] = begun["next"] if begun is not None else self.after_login
        return response

    def _read_callback(self, request: Request, begun: Mapping[str, str] | None) -> AuthorizationCode:
        # Without a login of this browser no `state` matches the empty one.
        state, verifier = ("", "") if begun is None else (begun["state"], begun["verifier"])
        login = Login(provider=self.config.provider, url="", state=state, code_verifier=verifier or None)
        grant = login.finish(_query(request))
        if self.issuer is not None and self.issuer != request.query_params.get("iss"):
            raise InvalidTokenResponse("the callback comes from another provider (RFC 9207)", problem="iss")
        return grant

    def _explain_callback(self, request: Request, response: Response, error: TokenError) -> Response:
        """Respond to an authorization response that has an error, or does not belong to a login of this browser."""
        code = error.code if isinstance(error, TokenRequestRefused) else None
        code = known_code(code) or code
        if code in _PASSING:
            _logger.warning("login failed: %s", error)
            return self._apologize(request, response, _LOGIN_FAILED)
        if code in _FAULTS_OF_APPLICATION:
            return self._report(request, response, error)
        return self._explain(request, response, error)

    def _report(self, request: Request, response: Response, error: TokenError | CertificateError) -> Response:
        """Respond to a fault of the application or the provider; the log tells operators what to do."""
        remedy = ""
        if isinstance(error, TokenRequestRefused):
            remedy = f" Remedy: {remedy_for_refused_login(error.status, error.code, error.description)}"
        _logger.error("login out of order: %s.%s", error, remedy)  # without the frames, which hold the code
        return self._apologize(request, response, problem_of(error))

    def _apologize(self, request: Request, response: Response, problem: Problem) -> Response:
        """Respond with a page for people, and with problem details for programs."""
        answer = problem.response()
        if "text/html" in request.headers.get("accept", ""):
            title, text = _FAULTS.get(problem.status, _FAULTS[HTTPStatus.SERVICE_UNAVAILABLE])
            page = render_message(title, text, link=self.redirect.url(request), label="Try again", lamp="fail")
            pause = {name: value for name, value in answer.headers.items() if name == "retry-after"}
            answer = HTMLResponse(page, problem.status, {**_PAGE_HEADERS, **pause})
        return _with_cookies(answer, response)

    def _explain(self, request: Request, response: Response, error: TokenError) -> Response:
        _logger.warning("login failed: %s", error)
        cancelled = isinstance(error, TokenRequestRefused) and known_code(error.code) == "access_denied"
        page = render_message(
            "Login cancelled" if cancelled else "Login failed",
            "You are not logged in." if cancelled else "It may have taken too long, or it was finished already.",
            link=self.redirect.url(request),
            label="Log in",
        )
        return _with_cookies(HTMLResponse(page, HTTPStatus.BAD_REQUEST, _PAGE_HEADERS), response)

    async def end(self, request: Request) -> Response:
        """End the session."""
        # Lax cookies are not sent with another site's POST; this stops other hosts of the same site too.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        cookie = self.cookie.load(request)
        if cookie is not None and not await self.sessions.end(cookie["session"]):
            # The cookie is kept: without it nobody could end the session.
            return _LOGOUT_FAILED.response()
        response = _redirect(self.after_logout)
        self.cookie.delete(request, response)
        return response


def _require_get(request: Request) -> None:
    # Starlette routes HEAD to GET handlers; a link preview would use the login up.
    if request.method != "GET":
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})


def _query(request: Request) -> str:
    """Return the query of a callback.

    Raises:
        InvalidTokenResponse: It contains bytes that are not UTF-8; no provider sends them unescaped.
    """
    query: bytes = request.scope["query_string"]
    try:
        return query.decode()
    except UnicodeDecodeError:
        raise InvalidTokenResponse("the query of the callback is not UTF-8", problem="query") from None


def _redirect(url: str) -> Response:
    # The address has a code or a state: no cache may store it, and the next page must not learn it.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers)


def _with_cookies(response: Response, other: Response) -> Response:
    """Return a response with the cookies of another, which delete the login in progress."""
    for value in other.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", value)
    return response
