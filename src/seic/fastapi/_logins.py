"""Login, callback and logout of people, by the authorization code flow (RFC 6749 §4.1, RFC 7636, RFC 9700 §2.1).

What is guarded against: a login that somebody else began (login CSRF), by a `state` that only this browser can bring
back; a session that somebody else set (fixation), by a new name at each login; a callback of another provider (mix-up),
by cookies that are good for one login at one callback, and by `iss` (RFC 9207); an address of somebody else's to go on
to (open redirect), by taking paths of this application only.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import logging
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

from seic._api.retry import Retry
from seic._client import AsyncClient
from seic._config import Config
from seic._errors import CertificateError, ConfigurationError, InvalidTokenResponse, TokenError, TokenRequestRefused
from seic._listeners import Listener
from seic._oauth import authorize
from seic._oauth.pkce import is_same_state
from seic._options import AsyncClientOptions
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._clients import CurrentUser, LoginRealm, bind_user, listener_of, register_realm
from seic.fastapi._cookie_cipher import CookieCipher, FernetKeys
from seic.fastapi._html import CONTENT_SECURITY_POLICY, render_message
from seic.fastapi._login_state import LOGIN_TIMEOUT, CookieStateStorage, LoginStateStorage, ReplayCache
from seic.fastapi._problems import Problem, problem_of
from seic.fastapi._redirects import requested_path, safe_redirect_path
from seic.fastapi._sessions import SessionNotSaved, Sessions

if TYPE_CHECKING:
    from fastapi import APIRouter

#: Seconds after which a person logs in again: a working day.
_SESSION_LASTS = 12 * 3600.0
#: Seconds after the end of an access token within which a person has to come back.
_IDLE_TIMEOUT = 1800.0
#: Letters of a person's name that the cookie holds: an address has no more (RFC 5321 §4.5.3.1), and a cookie no room.
_LONGEST_NAME = 320
_LOGIN_FAILED = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="login_failed",
    detail="The login did not work; try again.",
    retry_after=5,
)
_LOGOUT_FAILED = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="logout_failed",
    detail="The logout did not work; try again.",
    retry_after=5,
)
_logger = logging.getLogger("seic.fastapi")


@attrs.frozen(kw_only=True)
class User:
    """Who is logged in: `id` is the session's, `name` what the provider told (the platform's `email`)."""

    id: str
    name: str | None
    since: dt.datetime


class Logins:
    """Lets people log in at a provider, and gives handlers the client of whoever is logged in.

        logins = Logins(config, callback_url="https://app.example/login/callback", key=os.environ["COOKIE_KEY"])
        app = FastAPI(lifespan=seic.fastapi.lifespan(config, also=logins.lifespan))
        app.include_router(logins.router)

        @app.get("/me")
        async def me(client: Annotated[seic.AsyncClient, Depends(logins.client)]): ...

    Tokens are kept in `config.store`, one for each session; the browser has a sealed name of it, and no token. Whoever
    is not logged in is sent to log in, or told 401 where a program asks. Several of these in one application need names
    and callbacks of their own.

    Args:
        config: Who the application is; its grant may be `UserLogin()`, its store has to be one that all workers see.
        callback_url: Where the provider sends people back to, exactly as it is registered there.
        key: What seals cookies: a key of Fernet's, or several, of which the first seals and each opens.
        name: Tells several logins of one application apart.
        callback_path: The callback's route, where a proxy or a router's prefix makes that another than the path of
            `callback_url`.
        login_path: Where people begin; `?next=` takes a path of this application to go on to.
        logout_path: Where they end; POST only, so that no foreign page can log anybody out.
        after_login: Where they go on without a `next`.
        after_logout: Where they go after that.
        scope: What is asked for; None is the provider's own.
        end_other_sessions: End a person's sessions elsewhere (the platform's `endOtherSessions`).
        issuer: What the callback's `iss` has to be, where the provider sends one (RFC 9207).
        lasts: Seconds after which a person has to log in again.
        idle: Seconds after the end of a person's last access token within which they have to come back; later than
            that they log in again, and a store may forget the token (`Token.ends_at`).
        login_state: Storage of a login in progress: a cookie, or `SessionStateStorage()`.
        secure: False takes plain http, for a machine of one's own.
        transport: What carries API and token calls in place of the network, for tests.
        on_event: A listener of everybody's events; None is the one that `lifespan` was given. See `OAuth2Auth.listen`.
        retry: See `AsyncClient`.
        options: See `AsyncClient`.

    Raises:
        ConfigurationError: A setting is missing or makes no sense.
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
        retry: Retry | None = None,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        if not name.replace("-", "").isalnum():
            raise ConfigurationError("name: must be letters, digits and '-', for it names cookies", field="name")
        if urlsplit(callback_url).scheme not in (("https",) if secure else ("https", "http")):
            raise ConfigurationError("callback_url: must be a whole https URL", field="callback_url")
        self._config = config
        self._callback_url = callback_url
        self._paths = (login_path, callback_path or urlsplit(callback_url).path, logout_path)
        # Where it really is, a prefix and all, is known when the application starts.
        self._login_path = login_path
        self._after_login, self._after_logout = after_login, after_logout
        self._scope = scope
        self._end_other_sessions = end_other_sessions
        config.provider.require("authorize_url", "a login")
        self._issuer = issuer
        self._lasts = lasts
        self._cipher = CookieCipher(key)
        self._cookie = CookieStateStorage(secure=secure)
        self._login_state: LoginStateStorage = login_state or self._cookie
        self._replay_cache = ReplayCache()
        # What was sealed for another login, or another callback, is worth nothing here.
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
            retry=retry,
            **options,
        )
        self._has_listener = on_event is not None

    @property
    def config(self) -> Config:
        """Who the application is, and where tokens come from."""
        return self._config

    @property
    def transport(self) -> httpx.AsyncBaseTransport:
        """What carries everybody's calls."""
        return self._sessions.carrier

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of everybody's events from now on; the result ends that. See `OAuth2Auth.listen`."""
        return self._sessions.listeners.add(listener)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        """Open people's connections, and close them at the end; for `lifespan(..., also=logins.lifespan)`."""
        with contextlib.suppress(NoMatchFound):  # the routes may be another application's
            self._login_path = app.url_path_for(f"{self._name}-login")
        self._sessions.open()
        listener = None if self._has_listener else listener_of(app)
        stop = None if listener is None else self.listen(listener)
        people = LoginRealm(
            name=self._name,
            host=self._config.origin.host,
            certificate=CertificateProbe(lambda: self._sessions.certificate),
            tracker=self._sessions.tracker,
        )
        try:
            with register_realm(app, people) as state:
                yield state
        finally:
            await self._sessions.aclose()
            if stop is not None:
                stop()

    @property
    def routes(self) -> list[Route]:
        """Login, callback and logout, for Starlette: `Starlette(routes=[*login.routes])`."""
        begin, callback, end = self._paths
        return [
            Route(begin, self._begin, name=f"{self._name}-login"),
            Route(callback, self._finish, name=f"{self._name}-callback"),
            Route(end, self._end, methods=["POST"], name=f"{self._name}-logout"),
        ]

    @property
    def router(self) -> APIRouter:
        """The same for FastAPI: `app.include_router(login.router)`."""
        try:
            from fastapi import APIRouter
        except ModuleNotFoundError as error:
            raise ImportError(
                'Logins.router needs fastapi: run pip install "seic[fastapi]"; with Starlette, take Logins.routes'
            ) from error
        return APIRouter(routes=[*self.routes])

    # What handlers depend on

    async def client(self, connection: HTTPConnection) -> AsyncClient:
        """Return the client of whoever is logged in; a dependency.

        Raises:
            HTTPException: Nobody is. LoginRealm are sent to log in, programs are told 401.
        """
        opened = self._open(connection)
        client = None if opened is None else await self._sessions.find(opened["session"])
        if client is not None:
            with contextlib.suppress(TokenRequestRefused):  # its refresh token is at its end
                await client.token()
                bind_user(connection, CurrentUser(client=client, to_login=lambda: self._send_to_login(connection)))
                return client
        raise self._send_to_login(connection)

    async def user(self, connection: HTTPConnection) -> User:
        """Return who is logged in; a dependency.

        Raises:
            HTTPException: Nobody is; see `client`.
        """
        await self.client(connection)
        opened = self._open(connection)
        if opened is None:
            raise self._send_to_login(connection)
        return User(
            id=hashlib.sha256(opened["session"].encode()).hexdigest()[:16],
            name=opened["name"] or None,
            since=dt.datetime.fromisoformat(opened["since"]),
        )

    def _open(self, connection: HTTPConnection) -> dict[str, str] | None:
        sealed = self._cookie.load(connection, f"{self._name}-session")
        return self._cipher.decrypt(f"session {self._purpose}", sealed, max_age=self._lasts)

    def _send_to_login(self, connection: HTTPConnection) -> HTTPException:
        wants_page = "text/html" in connection.headers.get("accept", "")
        if connection.scope["type"] != "http" or connection.scope["method"] != "GET" or not wants_page:
            # RFC 9110 §15.5.2 demands a challenge; one of a scheme that browsers know would open their dialog.
            challenge = f'Session realm="{self._name}"'
            return HTTPException(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": challenge})
        headers = {"Location": self._login_url(connection, requested_path(connection)), "Cache-Control": "no-store"}
        return HTTPException(HTTPStatus.SEE_OTHER, headers=headers)

    def _login_url(self, connection: HTTPConnection, following: str | None = None) -> str:
        # In a mounted application `root_path` is where that one stands.
        root = connection.scope.get("app_root_path", connection.scope.get("root_path", ""))
        path = f"{root}{self._login_path}"
        return f"{path}?{urlencode({'next': following})}" if following else path

    # The three routes

    async def _begin(self, request: Request) -> Response:
        _require_get(request)
        login = authorize.Login.begin(
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
        sealed = self._cipher.encrypt(f"login {self._purpose}", document)
        self._login_state.save(request, response, f"{self._name}-login", sealed)
        return response

    async def _finish(self, request: Request) -> Response:
        _require_get(request)
        response = _redirect(self._after_login)
        kept = self._login_state.load(request, f"{self._name}-login")
        begun = self._cipher.decrypt(f"login {self._purpose}", kept, max_age=LOGIN_TIMEOUT)
        if begun is not None and is_same_state(begun["state"], request.query_params.get("state", "")):
            # Not before: any page can send the browser here, and would end the login under way.
            self._login_state.delete(request, response, f"{self._name}-login")
            if not self._replay_cache.add(begun["state"]):
                begun = None
        try:
            session, token = await self._exchange(request, begun)
        except (TokenRequestRefused, InvalidTokenResponse) as error:
            _logger.warning("a login failed: %s", error)
            return self._explain(request, response, error)
        except SessionNotSaved:
            return _answer(_LOGIN_FAILED.response(), response)
        except (TokenError, CertificateError) as error:
            _logger.error("a login failed: %s", error)  # noqa: TRY400  # frames and all would hold the code
            return _answer(problem_of(error).response(), response)
        previous = self._open(request)
        if previous is not None:
            await self._sessions.end(previous["session"])
        document = {
            "session": session,
            "name": _text(token.extra.get("email"))[:_LONGEST_NAME],
            "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        sealed = self._cipher.encrypt(f"session {self._purpose}", document)
        self._cookie.save(request, response, f"{self._name}-session", sealed, self._lasts)
        response.headers["Location"] = begun["next"] if begun is not None else self._after_login
        return response

    async def _exchange(self, request: Request, begun: Mapping[str, str] | None) -> tuple[str, Any]:
        # Without a login of this browser's the state cannot be right, whatever it is.
        state = "" if begun is None else begun["state"]
        code = authorize.parse_callback(request.url.query, provider=self._config.provider, state=state)
        if self._issuer is not None and not is_same_state(self._issuer, request.query_params.get("iss", "")):
            raise InvalidTokenResponse("the callback is of another provider (RFC 9207)", problem="iss")
        verifier = None if begun is None else begun["verifier"] or None
        return await self._sessions.begin(code=code, code_verifier=verifier)

    def _explain(self, request: Request, response: Response, error: TokenError) -> Response:
        cancelled = isinstance(error, TokenRequestRefused) and error.code == "access_denied"
        page = render_message(
            "Nobody was logged in" if cancelled else "The login did not work",
            "The login was given up." if cancelled else "It may have taken too long, or was begun in another window.",
            link=self._login_url(request),
            label="Log in",
        )
        headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "Cache-Control": "no-store"}
        return _answer(HTMLResponse(page, HTTPStatus.BAD_REQUEST, headers), response)

    async def _end(self, request: Request) -> Response:
        # Lax cookies do not come along with a foreign page's POST; this also stops a host of the same site.
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        opened = self._open(request)
        if opened is not None and not await self._sessions.end(opened["session"]):
            # The cookie stays: without it the session, which lives, could not be ended any more.
            return _LOGOUT_FAILED.response()
        response = _redirect(self._after_logout)
        self._cookie.delete(request, response, f"{self._name}-session")
        return response


def _require_get(request: Request) -> None:
    # Starlette lets HEAD through where GET goes; a preview that looks ahead would use the login up.
    if request.method != "GET":
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET"})


def _redirect(url: str) -> Response:
    # 303: whatever the method was, the next is a GET. The address holds a code or a state, which a cache must not keep
    # and the next page must not be told.
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(url, HTTPStatus.SEE_OTHER, headers)


def _answer(answer: Response, with_cookies_of: Response) -> Response:
    """Return an answer that also forgets the login under way."""
    for value in with_cookies_of.headers.getlist("set-cookie"):
        answer.headers.append("set-cookie", value)
    return answer


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
