"""A person's login on the platform: `GET /v2/oauth/authorize`, the page behind it, and the way back with a code.

What is wrong with the application or with where it returns to is told to the person and to nobody else, for a redirect
would tell a stranger (RFC 6749 §4.1.2.1); the rest is told to the application.
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
from seic.sandbox._dialects.platform_login_pages import LOGIN_PATH, login_page, refusal_page
from seic.sandbox._dialects.sei_platform import END_OTHER_SESSIONS, REDIRECT_FIELDS, SCOPE
from seic.sandbox._error_responses import ErrorResponse, invalid_request, unknown_resource
from seic.sandbox._form import read_post, same
from seic.sandbox._peer import Peer
from seic.sandbox._registration import Registration

AUTHORIZE_PATH = "/v2/oauth/authorize"

#: Seconds within which a person has to log in.
LOGIN_LIFETIME = 600.0

# The prefix has browsers demand what the cookie should be: Secure, for this host alone, for all of its paths.
_COOKIE = "__Host-seic-sandbox"
_PARAMETERS = frozenset(
    {"client_id", "state", "scope", "response_type", "code_challenge", "code_challenge_method", END_OTHER_SESSIONS}
) | set(REDIRECT_FIELDS)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# Visible ASCII without what browsers and servers read differently.
_URL = re.compile(r"[!#-;=?-\[\]_a-z~%]+")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


@attrs.frozen(kw_only=True)
class _PendingLogin:
    """A login that a person is asked for, in one browser."""

    authorization: AuthorizationRequest
    browser: str
    csrf: str
    begun: float


class _AuthorizationError(Exception):
    """The application is told an error (RFC 6749 §4.1.2.1)."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


class LoginEndpoints:
    """Answers a person's browser.

    Args:
        registration: Who may log in, and where they may return to.
        codes: Where the codes come from.
        clock: Seconds; only differences count.
    """

    def __init__(self, registration: Registration, codes: AuthorizationCodes, *, clock: Callable[[], float]) -> None:
        self._registration = registration
        self._codes = codes
        self._clock = clock
        self._pending: dict[str, _PendingLogin] = {}

    async def authorize(self, request: web.BaseRequest, _peer: Peer | None) -> web.Response:
        """Send the browser on to the login page, or back to the application with an error."""
        try:
            query = self._read_query(request)
            redirect_url = self._redirect_url(query)
        except ErrorResponse as refusal:
            return refusal_page(refusal.status, refusal.message)
        try:
            authorization = _read_authorization(query, redirect_url)
        except _AuthorizationError as refused:
            return _redirect(
                302,
                redirect_url,
                {"error": refused.error, "error_description": refused.description, "state": query.get("state", "")},
            )
        # A browser keeps its name, so that two logins in it do not end each other.
        known = {pending.browser for pending in self._pending.values()}
        browser = request.cookies.get(_COOKIE, "")
        if browser not in known:
            browser = secrets.token_urlsafe(24)
        login = secrets.token_urlsafe(24)
        self._pending[login] = _PendingLogin(
            authorization=authorization, browser=browser, csrf=secrets.token_urlsafe(24), begun=self._clock()
        )
        response = _redirect(302, LOGIN_PATH, {"login": login})
        response.set_cookie(_COOKIE, browser, path="/", secure=True, httponly=True, samesite="Lax")
        return response

    async def page(self, request: web.BaseRequest, _peer: Peer | None) -> web.Response:
        """Show the login page, or take what a person filled in."""
        try:
            if request.method == "GET":
                login = request.query.get("login", "")
                return _show(login, self._find(request, login))
            return await self._take(request)
        except ErrorResponse as refusal:
            return refusal_page(refusal.status, refusal.message)

    async def _take(self, request: web.BaseRequest) -> web.Response:
        form = await read_post(request)
        login = form.get("login", "")
        pending = self._find(request, login)
        if not same(form.get("csrf", ""), pending.csrf):
            raise invalid_request("This form did not come from the login page.")
        authorization = pending.authorization
        if form.get("action") == "cancel":
            del self._pending[login]
            refused = {"error": "access_denied", "error_description": "The person did not log in."}
            return _redirect(303, authorization.redirect_url, {**refused, "state": authorization.state})
        email, known = form.get("email", ""), self._registration
        if not (same(email.strip(), known.email) & same(form.get("password", ""), known.password)):
            return _show(login, pending, email=email, is_wrong=True)
        del self._pending[login]
        # 303, so that no browser sends the password on (RFC 9700 §4.12).
        return _redirect(
            303, authorization.redirect_url, {"code": self._codes.issue(authorization), "state": authorization.state}
        )

    def _find(self, request: web.BaseRequest, login: str) -> _PendingLogin:
        pending = self._pending.get(login)
        if pending is None or self._clock() - pending.begun >= LOGIN_LIFETIME:
            raise invalid_request("This login is over, or never began.")
        if not same(request.cookies.get(_COOKIE, ""), pending.browser):
            raise invalid_request("This login was begun in another browser.")
        return pending

    def _read_query(self, request: web.BaseRequest) -> Mapping[str, str]:
        if request.method != "GET":
            raise unknown_resource("A login begins with a GET.")
        query = request.query
        if len(set(query)) != len(query):
            raise invalid_request("A parameter stands in the address more than once.")
        if not _PARAMETERS.issuperset(query):
            # Also what is harmless: a secret in an address has been seen by whoever keeps logs.
            raise invalid_request("The address has a parameter that no login knows.")
        if not same(query.get("client_id", ""), self._registration.client_id):
            raise invalid_request("The application is unknown.")
        return query

    def _redirect_url(self, query: Mapping[str, str]) -> str:
        given = [query[field] for field in REDIRECT_FIELDS if query.get(field)]
        registered = self._registration.redirect_urls
        if len(given) > 1 or not (given or registered):
            raise invalid_request("The application must say once where to return to.")
        url = given[0] if given else registered[0]
        if url not in registered and not _is_loopback(url):
            raise invalid_request("The application may not return to where it asks to.")
        return url


def _is_loopback(url: str) -> bool:
    """Tell whether a URL is that of a program on this machine, which needs no registration (RFC 8252 §7.3)."""
    if not _URL.fullmatch(url):
        return False
    try:
        parts = urllib.parse.urlsplit(url)
        # Reading it checks it.
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
    ending = query.get(END_OTHER_SESSIONS, "false")
    if ending not in ("true", "false"):
        raise _AuthorizationError("invalid_request", f"{END_OTHER_SESSIONS} must be true or false.")
    challenge = query.get("code_challenge")
    if (challenge is None) != ("code_challenge_method" not in query):
        raise _AuthorizationError("invalid_request", "A code_challenge needs its method, and the other way round.")
    if challenge is not None and (query["code_challenge_method"] != "S256" or not _CHALLENGE.fullmatch(challenge)):
        # RFC 7636 knows a plain method too, which protects from nobody who sees the address.
        raise _AuthorizationError("invalid_request", "The code_challenge must be one of the method S256.")
    return AuthorizationRequest(
        redirect_url=redirect_url,
        state=state,
        scope=SCOPE,
        code_challenge=challenge,
        end_other_sessions=ending == "true",
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
