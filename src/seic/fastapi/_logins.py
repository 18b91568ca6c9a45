"""Login, callback and logout of users with the authorization code flow (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1).

Countermeasures: `state` from this browser only (login CSRF), a new session id at each login (session fixation), cookies
that are valid for one login at one callback and `iss` of RFC 9207 (mix-up), paths of this application only (open
redirect).
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import NoMatchFound, Route

from seic import AsyncClient, Clock, Config, ConfigurationError, Retry
from seic._options import AsyncClientOptions
from seic.events import Listener
from seic.fastapi._app_state import Monitor, app_state
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._cookie_cipher import FernetKeys
from seic.fastapi._login_dependencies import LoggedInClient, LoggedInUser, LoginRedirect, User
from seic.fastapi._login_routes import LoginRoutes
from seic.fastapi._login_state import CookieStorage, LoginStateStorage, ReplayCache
from seic.fastapi._session_cookie import SessionCookie
from seic.fastapi._sessions import Sessions, UserLogin

if TYPE_CHECKING:
    from fastapi import APIRouter
else:
    # For `typing.get_type_hints`. `_security_scheme` has loaded FastAPI already, if it is installed.
    try:
        from fastapi import APIRouter
    except ModuleNotFoundError:
        from starlette.routing import Router as APIRouter

#: Seconds after which a user logs in again: a working day.
_SESSION_LASTS = 12 * 3600.0
#: Seconds after the expiry of an access token within which a user has to come back.
_IDLE_TIMEOUT = 1800.0


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
        scope = scope or (config.grant.scope if isinstance(config.grant, UserLogin) else None)
        self._config = config
        self._name = name
        self._paths = (login_path, callback_path or urlsplit(callback_url).path, logout_path)
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
        cookies = CookieStorage(secure=secure)
        audience = f"{name} {callback_url} {config.client_id}"
        cookie = SessionCookie(key, name=name, audience=audience, lasts=lasts, storage=cookies)
        self._redirect = LoginRedirect(name, login_path)
        granted = scope or config.provider.authorize_scope
        self._client = LoggedInClient(name, self._sessions, cookie, self._redirect, scope=granted)
        self._user = LoggedInUser(self._client, cookie, self._redirect)
        self._routes = LoginRoutes(
            config=config,
            name=name,
            callback_url=callback_url,
            scope=scope,
            end_other_sessions=end_other_sessions,
            issuer=issuer,
            after_login=after_login,
            after_logout=after_logout,
            sessions=self._sessions,
            cookie=cookie,
            redirect=self._redirect,
            login_state=login_state or cookies,
            replay_cache=ReplayCache(clock.monotonic),
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

    @property
    def client(self) -> Callable[[HTTPConnection], Awaitable[AsyncClient]]:
        """The dependency that gives the client of the logged-in user.

        Users who are not logged in are redirected to the login, programs get a 401. `Security(logins.client,
        scopes=[...])` responds with 403 if the user's token lacks a scope.
        """
        return self._client

    @property
    def user(self) -> Callable[[HTTPConnection], Awaitable[User]]:
        """The dependency that gives the logged-in `User`; see `client`."""
        return self._user

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Open the users' connections, and close them at the end; for `lifespan(..., also=logins.lifespan)`."""
        with contextlib.suppress(NoMatchFound):  # the routes may belong to another application
            self._redirect.path = app.url_path_for(f"{self._name}-login")
        monitor = Monitor(
            name=self._name,
            host=self._config.origin.host,
            certificate=CertificateProbe(self._sessions.certificate),
            tracker=self._sessions.tracker,
        )
        with app_state(app) as (state, yielded), contextlib.ExitStack() as stack:
            if state.listener is not None and not self._has_listener:
                stack.callback(self.listen(state.listener))
            if state.instrument:
                # An extra of its own.
                from seic import otel

                stack.callback(otel.instrument(self, name=self._name))
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
            Route(login, self._routes.begin, name=f"{self._name}-login"),
            Route(callback, self._routes.finish, name=f"{self._name}-callback"),
            Route(logout, self._routes.end, name=f"{self._name}-logout", methods=["POST"]),
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
