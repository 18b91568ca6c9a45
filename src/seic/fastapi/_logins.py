"""Login, callback and logout of users with the authorization code flow (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1).

Countermeasures: `state` from this browser only (login CSRF), a new session id at each login (session fixation), cookies
that are valid for one login at one callback and `iss` of RFC 9207 (mix-up), paths of this application only (open
redirect).
"""

import contextlib
import datetime as dt
import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlencode, urlsplit

import attrs
import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import NoMatchFound, Route

from seic import (
    AsyncClient,
    CertificateError,
    Clock,
    Config,
    ConfigurationError,
    InvalidTokenResponse,
    Login,
    Retry,
    Token,
    TokenError,
    TokenRequestRefused,
)
from seic._options import AsyncClientOptions
from seic.events import Listener
from seic.fastapi._app_state import CurrentUser, Monitor, app_state, auth_of, bind_user
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._cookie_cipher import CookieCipher, FernetKeys
from seic.fastapi._html import CONTENT_SECURITY_POLICY, render_message
from seic.fastapi._login_state import LOGIN_TIMEOUT, CookieStorage, LoginStateStorage, ReplayCache
from seic.fastapi._problems import Problem, problem_of
from seic.fastapi._redirects import requested_path, safe_redirect_path
from seic.fastapi._sessions import SessionNotSaved, Sessions, UserLogin

if TYPE_CHECKING:
    from fastapi import APIRouter

#: Seconds after which a user logs in again: a working day.
_SESSION_LASTS = 12 * 3600.0
#: Seconds after the expiry of an access token within which a user has to come back.
_IDLE_TIMEOUT = 1800.0
#: The longest user name in the cookie: an address is no longer (RFC 5321 §4.5.3.1), and a cookie is limited.
_MAX_NAME = 320
_logger = logging.getLogger("seic.fastapi")


def _try_again(code: str, detail: str) -> Problem:
    return Problem(status=HTTPStatus.SERVICE_UNAVAILABLE, code=code, detail=detail, retry_after=5)


_LOGIN_FAILED = _try_again("login_failed", "The login failed; try again.")
_LOGOUT_FAILED = _try_again("logout_failed", "The logout failed; try again.")


@attrs.frozen(kw_only=True)
class User:
    """The logged-in user: `id` identifies the session, `name` comes from the provider (`email` on the SEI platform)."""

    id: str
    name: str | None
    since: dt.datetime


class Logins:
    """Logs users in at a provider, and gives handlers the client of the logged-in user.

        logins = Logins(config, callback_url="https://app.example/login/callback", key=os.environ["COOKIE_KEY"])
        app = FastAPI(lifespan=seic.fastapi.lifespan(config, also=logins.lifespan))
        app.include_router(logins.router)

        @app.get("/me")
        async def me(client: Annotated[seic.AsyncClient, Depends(logins.client)]): ...

    Tokens are in `config.store`, one for each session; the browser has the encrypted session id and no token. Users who
    are not logged in are redirected to the login, programs get a 401. Several `Logins` in one application need
    different names and callbacks.

    Args:
        config: The configuration; its grant may be `UserLogin()`, all processes must share its store.
        callback_url: The redirect URI, exactly as registered at the provider.
        key: Encrypts cookies: a Fernet key, or several, of which the first encrypts and each decrypts.
        name: Tells several `Logins` of one application apart; part of the cookies' names.
        callback_path: The route of the callback, if a proxy or a router's prefix makes it differ from the path of
            `callback_url`.
        login_path: The route of the login; `?next=` takes a path of this application.
        logout_path: The route of the logout; POST only, so that no other site can log users out.
        after_login: The address after a login without `next`.
        after_logout: The address after a logout.
        scope: The requested scope; None requests that of the grant `UserLogin(scope=...)`, or the provider's default.
        end_other_sessions: End the user's sessions elsewhere (`endOtherSessions` of the SEI platform).
        issuer: The required `iss` of the callback, if the provider sends one (RFC 9207).
        lasts: Seconds after which a user has to log in again.
        idle: Seconds after the expiry of the last access token within which a user has to come back; later they log in
            again, and a store may delete the token (`Token.ends_at`).
        login_state: Storage of a login in progress; None is a cookie, the alternative is `SessionStateStorage()`.
        secure: False allows plain http, for the developer's machine.
        transport: Sends API and token requests in place of the network, for tests.
        on_event: A listener for the events of all users; None takes that of `lifespan`. See `OAuth2Auth.listen`.
        clock: The clocks for lifetimes, for tests.
        retry: See `AsyncClient`.
        options: See `AsyncClient`.

    Raises:
        ConfigurationError: A setting is missing or wrong.
    """

    def __init__(
        self,
        config: Config,
        *,
        callback_url: str,
        key: FernetKeys,
        name: str = "seic",
        callback_path: str | None = None,
        login_path: str = "/login",
        logout_path: str = "/logout",
        after_login: str = "/",
        after_logout: str = "/",
        scope: str | None = None,
        end_other_sessions: bool = False,
        issuer: str | None = None,
        lasts: float = _SESSION_LASTS,
        idle: float = _IDLE_TIMEOUT,
        login_state: LoginStateStorage | None = None,
        secure: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        on_event: Listener | None = None,
        clock: Clock = Clock(),  # noqa: B008 - immutable
        retry: Retry | None = None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        if not name.replace("-", "").isalnum():
            raise ConfigurationError("name: must be letters, digits and '-'; cookies are named after it", field="name")
        if urlsplit(callback_url).scheme not in (("https",) if secure else ("https", "http")):
            raise ConfigurationError("callback_url: must be an absolute https URL", field="callback_url")
        config.provider.require_login()
        self._config = config
        self._callback_url = callback_url
        self._paths = (login_path, callback_path or urlsplit(callback_url).path, logout_path)
        # With the prefix of a router, which is known when the application starts.
        self._login_path = login_path
        self._after_login, self._after_logout = after_login, after_logout
        self._scope = scope or (config.grant.scope if isinstance(config.grant, UserLogin) else None)
        self._end_other_sessions = end_other_sessions
        self._issuer = issuer
        self._lasts = lasts
        self._cipher = CookieCipher(key)
        self._cookie = CookieStorage(secure=secure)
        self._login_state: LoginStateStorage = login_state or self._cookie
        self._replay_cache = ReplayCache(clock.monotonic)
        # Cookies of another login or callback do not decrypt here.
        self._name = name
        self._purpose = hashlib.sha256(f"{name} {callback_url} {config.client_id}".encode()).hexdigest()
        self._sessions = Sessions(
            config,
            redirect_uri=callback_url,
            lasts=lasts,
            idle=idle,
            end_other_sessions=end_other_sessions,
            transport=transport,
            on_event=on_event,
            clock=clock,
            retry=retry,
            **options,
        )
        self._has_listener = on_event is not None

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """The transport of all users' requests."""
        return self._sessions.transport

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each event of all users; call the result to stop. See `OAuth2Auth.listen`."""
        return self._sessions.listeners.add(listener)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Open the users' connections, and close them at the end; for `lifespan(..., also=logins.lifespan)`."""
        with contextlib.suppress(NoMatchFound):  # the routes may belong to another application
            self._login_path = app.url_path_for(f"{self._name}-login")
        monitor = Monitor(
            name=self._name,
            host=self._config.origin.host,
            certificate=CertificateProbe(self._sessions.certificate),
            tracker=self._sessions.tracker,
        )
        with app_state(app) as (state, yielded), contextlib.ExitStack() as stack:
            if state.listener is not None and not self._has_listener:
                stack.callback(self.listen(state.listener))
            self._sessions.open()
            try:
                with state.monitoring(monitor):
                    yield yielded
            finally:
                await self._sessions.aclose()

    @property
    def routes(self) -> list[Route]:
        """Login, callback and logout for Starlette: `Starlette(routes=[*logins.routes])`."""
        login, callback, logout = self._paths
        return [
            Route(login, self._begin, name=f"{self._name}-login"),
            Route(callback, self._finish, name=f"{self._name}-callback"),
            Route(logout, self._end, name=f"{self._name}-logout", methods=["POST"]),
        ]

    @property
    def router(self) -> "APIRouter":
        """The same routes for FastAPI: `app.include_router(logins.router)`."""
        try:
            from fastapi import APIRouter
        except ModuleNotFoundError as error:
            raise ImportError(
                'Logins.router needs fastapi: run pip install "seic[fastapi]"; with Starlette, use Logins.routes'
            ) from error
        return APIRouter(routes=[*self.routes])

    # Dependencies

    async def client(self, connection: HTTPConnection) -> AsyncClient:
        """Return the client of the logged-in user; a dependency.

        Raises:
            HTTPException: Nobody is logged in: a redirect to the login for browsers, 401 for programs.
        """
        cookie = self._read_cookie(connection)
        client = None if cookie is None else await self._sessions.find(cookie["session"])
        if client is not None:
            with contextlib.suppress(TokenRequestRefused):  # its refresh token has expired
                await client.token()
                bind_user(connection, CurrentUser(auth_of(client), lambda: self._login_required(connection)))
                return client
        raise self._login_required(connection)

    async def user(self, connection: HTTPConnection) -> User:
        """Return the logged-in user; a dependency.

        Raises:
            HTTPException: Nobody is logged in; see `client`.
        """
        await self.client(connection)
        cookie = self._read_cookie(connection)
        if cookie is None:
            raise self._login_required(connection)
        return User(
            id=hashlib.sha256(cookie["session"].encode()).hexdigest()[:16],
            name=cookie["name"] or None,
            since=dt.datetime.fromisoformat(cookie["since"]),
        )

    def _read_cookie(self, connection: HTTPConnection) -> dict[str, str] | None:
        value = self._cookie.load(connection, f"{self._name}-session")
        return self._cipher.decrypt(f"session {self._purpose}", value, max_age=self._lasts)

    def _login_required(self, connection: HTTPConnection) -> HTTPException:
        accepts_html = "text/html" in connection.headers.get("accept", "")
        if connection.scope["type"] != "http" or connection.scope["method"] != "GET" or not accepts_html:
            # RFC 9110 §15.5.2 requires a challenge; browsers would open a dialog for a scheme that they know.
            challenge = f'Session realm="{self._name}"'
            return HTTPException(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
        headers = {"Location": self._login_url(connection, requested_path(connection)), "Cache-Control": "no-store"}
        return HTTPException(HTTPStatus.SEE_OTHER, headers=headers)

    def _login_url(self, connection: HTTPConnection, next_path: str | None = None) -> str:
        # In a mounted application `root_path` includes the mount.
        root = connection.scope.get("app_root_path", connection.scope.get("root_path", ""))
        path = f"{root}{self._login_path}"
        return f"{path}?{urlencode({'next': next_path})}" if next_path else path

    # Routes

    async def _begin(self, request: Request) -> Response:
        _require_get(request)
        login = Login.begin(
            provider=self._config.provider,
            client_id=self._config.client_id,
            redirect_uri=self._callback_url,
            environment=self._config.environment,
            hosts=self._config.hosts,
            scope=self._scope,
            end_other_sessions=self._end_other_sessions,
        )
        document = {
            "state": login.state,
            "verifier": login.code_verifier or "",
            "next": safe_redirect_path(request.query_params.get("next")) or self._after_login,
        }
        response = _redirect(login.url)
        value = self._cipher.encrypt(f"login {self._purpose}", document)
        self._login_state.save(request, response, f"{self._name}-login", value)
        return response

    async def _finish(self, request: Request) -> Response:
        _require_get(request)
        response = _redirect(self._after_login)
        value = self._login_state.load(request, f"{self._name}-login")
        begun = self._cipher.decrypt(f"login {self._purpose}", value, max_age=LOGIN_TIMEOUT)
        state = request.query_params.get("state", "")
        if begun is not None and secrets.compare_digest(begun["state"].encode(), state.encode()):
            # Only now: any site can send the browser here, and would end the login in progress.
            self._login_state.delete(request, response, f"{self._name}-login")
            if not self._replay_cache.add(state):
                begun = None
        try:
            session, token = await self._exchange_code(request, begun)
        except (TokenRequestRefused, InvalidTokenResponse) as error:
            _logger.warning("login failed: %s", error)
            return self._explain(request, response, error)
        except SessionNotSaved:
            return _with_cookies(_LOGIN_FAILED.response(), response)
        except (TokenError, CertificateError) as error:
            _logger.error("login failed: %s", error)  # noqa: TRY400 - the frames hold the code
            return _with_cookies(problem_of(error).response(), response)
        previous = self._read_cookie(request)
        if previous is not None:
            await self._sessions.end(previous["session"])
        email = token.extra.get("email")
        document = {
            "session": session,
            "name": email[:_MAX_NAME] if isinstance(email, str) else "",
            "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        value = self._cipher.encrypt(f"session {self._purpose}", document)
        self._cookie.save(request, response, f"{self._name}-session", value, self._lasts)
        response.headers["Location"] = begun["next"] if begun is not None else self._after_login
        return response

    async def _exchange_code(self, request: Request, begun: Mapping[str, str] | None) -> tuple[str, Token]:
        # Without a login of this browser no `state` matches the empty one.
        state, verifier = ("", "") if begun is None else (begun["state"], begun["verifier"])
        login = Login(provider=self._config.provider, url="", state=state, code_verifier=verifier or None)
        grant = login.finish(request.url.query)
        if self._issuer is not None and self._issuer != request.query_params.get("iss"):
            raise InvalidTokenResponse("the callback comes from another provider (RFC 9207)", problem="iss")
        return await self._sessions.start(grant)

    def _explain(self, request: Request, response: Response, error: TokenError) -> Response:
        cancelled = isinstance(error, TokenRequestRefused) and error.code == "access_denied"
        page = render_message(
            "Login cancelled" if cancelled else "Login failed",
            "You are not logged in." if cancelled else "It may have taken too long, or another window began a new one.",
            link=self._login_url(request),
            label="Log in",
        )
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
        return _with_cookies(HTMLResponse(page, HTTPStatus.BAD_REQUEST, headers), response)

    async def _end(self, request: Request) -> Response:
        # Lax cookies are not sent with another site's POST; this stops other hosts of the same site too.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        cookie = self._read_cookie(request)
        if cookie is not None and not await self._sessions.end(cookie["session"]):
            # The cookie is kept: without it nobody could end the session.
            return _LOGOUT_FAILED.response()
        response = _redirect(self._after_logout)
        self._cookie.delete(request, response, f"{self._name}-session")
        return response


def _require_get(request: Request) -> None:
    # Starlette routes HEAD to GET handlers; a link preview would use the login up.
    if request.method != "GET":
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})


def _redirect(url: str) -> Response:
    # The address has a code or a state: no cache may store it, and the next page must not learn it.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers)


def _with_cookies(response: Response, other: Response) -> Response:
    """Return a response with the cookies of another, which delete the login in progress."""
    for value in other.headers.getlist("set-cookie"):
        response.headers.append("set-cookie", value)
    return response
