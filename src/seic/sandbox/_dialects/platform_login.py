"""The platform's login: `GET /v2/oauth/authorize`, the login page, and the redirect with a code.

An unknown application or redirect URL is shown on a page and not redirected, because the redirect could lead to an
attacker (RFC 6749 §4.1.2.1). Other errors are sent to the application.
"""

from __future__ import annotations

import re
import secrets
import urllib.parse
import uuid
from collections.abc import Callable, Mapping

import attrs
from aiohttp import hdrs, web

from seic.sandbox._dialects.platform_codes import AuthorizationCodes, AuthorizationRequest
from seic.sandbox._dialects.platform_login_pages import LOGIN_PATH, error_page, login_page
from seic.sandbox._dialects.sei_platform import END_OTHER_SESSIONS, REDIRECT_FIELDS, SCOPE
from seic.sandbox._error_responses import ErrorResponse, invalid_request, unknown_resource
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration
from seic.sandbox._request_reader import read_post, same

AUTHORIZE_PATH = "/v2/oauth/authorize"

#: Seconds from the start of a login until it expires.
_LOGIN_LIFETIME = 600.0

# Browsers accept a cookie with this prefix only if it is Secure, for this host only and for all paths.
_COOKIE = "__Host-seic-sandbox"
_PARAMETERS = frozenset(
    {"client_id", "state", "scope", "response_type", "code_challenge", "code_challenge_method", END_OTHER_SESSIONS}
) | set(REDIRECT_FIELDS)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Visible ASCII without characters that browsers and servers read differently.
_URL = re.compile(r"[!#-;=?-\[\]_a-z~%]+")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@attrs.frozen(kw_only=True)
class _PendingLogin:
    """A login that has started, in one browser."""

    authorization: AuthorizationRequest
    browser: str
    csrf: str
    started: float


class _AuthorizationError(Exception):
    """An error that is sent to the application (RFC 6749 §4.1.2.1)."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code
        self.description = description


@attrs.frozen(eq=False, repr=False)
class LoginEndpoints:
    """The endpoints for the browser."""

    registration: Registration
    codes: AuthorizationCodes
    clock: Callable[[], float]
    _pending: dict[str, _PendingLogin] = attrs.field(factory=dict, init=False)

    async def authorize(self, request: web.BaseRequest, _peer: Peer | None) -> web.Response:
        """Redirect to the login page, or to the application with an error."""
        try:
            query = self._read_query(request)
            redirect_url = self._redirect_url(query)
        except ErrorResponse as error:
            return error_page(error.status, error.message)
        try:
            authorization = _read_authorization(query, redirect_url)
        except _AuthorizationError as error:
            return _redirect(
                302,
                redirect_url,
                {"error": error.code, "error_description": error.description, "state": query.get("state", "")},
            )
        # A browser keeps its id, so that two logins in the same browser both work.
        known = {pending.browser for pending in self._pending.values()}
        browser = request.cookies.get(_COOKIE, "")
        if browser not in known:
            browser = secrets.token_urlsafe(24)
        login = secrets.token_urlsafe(24)
        self._pending[login] = _PendingLogin(
            authorization=authorization, browser=browser, csrf=secrets.token_urlsafe(24), started=self.clock()
        )
        response = _redirect(302, LOGIN_PATH, {"login": login})
        response.set_cookie(_COOKIE, browser, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    async def page(self, request: web.BaseRequest, _peer: Peer | None) -> web.Response:
        """Show the login page, or process its form."""
        try:
            if request.method == "GET":
                login = request.query.get("login", "")
                return _show(login, self._find(request, login))
            return await self._submit(request)
        except ErrorResponse as error:
            return error_page(error.status, error.message)

    async def _submit(self, request: web.BaseRequest) -> web.Response:
        form = await read_post(request)
        login = form.get("login", "")
        pending = self._find(request, login)
        if not same(form.get("csrf", ""), pending.csrf):
            raise invalid_request("This form was not sent by the login page.")
        authorization = pending.authorization
        if form.get("action") == "cancel":
            del self._pending[login]
            error = {"error": "access_denied", "error_description": "The user cancelled the login."}
            return _redirect(303, authorization.redirect_url, {**error, "state": authorization.state})
        email, known = form.get("email", ""), self.registration
        if not (same(email.strip(), known.email) & same(form.get("password", ""), known.password)):
            return _show(login, pending, email=email, is_wrong=True)
        del self._pending[login]
        # 303, so that the browser does not send the password to the application (RFC 9700 §4.12).
        return _redirect(
            303, authorization.redirect_url, {"code": self.codes.issue(authorization), "state": authorization.state}
        )

    def _find(self, request: web.BaseRequest, login: str) -> _PendingLogin:
        pending = self._pending.get(login)
        if pending is None or self.clock() - pending.started >= _LOGIN_LIFETIME:
            raise invalid_request("This login is unknown or has expired.")
        if not same(request.cookies.get(_COOKIE, ""), pending.browser):
            raise invalid_request("This login was started in another browser.")
        return pending

    def _read_query(self, request: web.BaseRequest) -> Mapping[str, str]:
        if request.method != "GET":
            raise unknown_resource("This endpoint accepts only GET.")
        query = request.query
        if len(set(query)) != len(query):
            raise invalid_request("A parameter occurs more than once in the URL.")
        if not _PARAMETERS.issuperset(query):
            # Also harmless ones: a secret in a URL is written to access logs.
            raise invalid_request("The URL has an unknown parameter.")
        if not same(query.get("client_id", ""), self.registration.client_id):
            raise invalid_request("The application is unknown.")
        return query

    def _redirect_url(self, query: Mapping[str, str]) -> str:
        given = [query[field] for field in REDIRECT_FIELDS if query.get(field)]
        registered = self.registration.redirect_urls
        if len(given) > 1 or not (given or registered):
            raise invalid_request("The URL must have exactly one redirect URL.")
        url = given[0] if given else registered[0]
        if url not in registered and not _is_loopback(url):
            raise invalid_request("The redirect URL is not registered for the application.")
        return url


def _is_loopback(url: str) -> bool:
    """Return whether a URL is a loopback URL, which needs no registration (RFC 8252 §7.3)."""
    if not _URL.fullmatch(url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        # Reading the port validates it.
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname in _LOOPBACK and "@" not in parts.netloc and "#" not in url


def _read_authorization(query: Mapping[str, str], redirect_url: str) -> AuthorizationRequest:
    state = query.get("state", "")
    if not _is_uuid(state):
        raise _AuthorizationError("invalid_request", "The state must be a UUID.")
    if query.get("response_type", "code") != "code":
        raise _AuthorizationError("unsupported_response_type", "The response_type must be code.")
    if query.get("scope", SCOPE) != SCOPE:
        raise _AuthorizationError("invalid_scope", f"The scope must be {SCOPE}.")
    end_other_sessions = query.get(END_OTHER_SESSIONS, "false")
    if end_other_sessions not in ("true", "false"):
        raise _AuthorizationError("invalid_request", f"{END_OTHER_SESSIONS} must be true or false.")
    challenge = query.get("code_challenge")
    if (challenge is None) != ("code_challenge_method" not in query):
        raise _AuthorizationError("invalid_request", "code_challenge and code_challenge_method need each other.")
    if challenge is not None and (query["code_challenge_method"] != "S256" or not _CHALLENGE.fullmatch(challenge)):
        # The plain method of RFC 7636 does not protect against a reader of the URL.
        raise _AuthorizationError("invalid_request", "The code_challenge must use the method S256.")
    return AuthorizationRequest(
        redirect_url=redirect_url,
        state=state,
        scope=SCOPE,
        code_challenge=challenge,
        end_other_sessions=end_other_sessions == "true",
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _show(login: str, pending: _PendingLogin, *, email: str = "", is_wrong: bool = False) -> web.Response:
    return login_page(
        login=login,
        csrf=pending.csrf,
        redirect_url=pending.authorization.redirect_url,
        end_other_sessions=pending.authorization.end_other_sessions,
        email=email,
        is_wrong=is_wrong,
    )


def _redirect(status: int, url: str, parameters: Mapping[str, str]) -> web.Response:
    parts = urllib.parse.urlsplit(url)
    query = "&".join(filter(None, [parts.query, urllib.parse.urlencode(parameters)]))
    headers = {
        hdrs.LOCATION: urllib.parse.urlunsplit(parts._replace(query=query)),
        hdrs.CACHE_CONTROL: "no-store",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(status=status, headers=headers)
