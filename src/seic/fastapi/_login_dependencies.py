"""The dependencies of `Logins`: the client of the logged-in user, and the user."""

import contextlib
import dataclasses
import datetime as dt
import hashlib
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from seic import AsyncClient, TokenRequestRefused
from seic.fastapi._app_state import CurrentUser, auth_of, bind_user
from seic.fastapi._redirects import requested_path
from seic.fastapi._security_scheme import NO_SCOPES, SecurityScheme, SecurityScopes, cookie_model, require_scopes
from seic.fastapi._session_cookie import SessionCookie
from seic.fastapi._sessions import Sessions


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """The logged-in user: `id` identifies the session, `name` comes from the provider (`email` on the SEI platform).

    A handler may return it.
    """

    id: str
    name: str | None
    since: dt.datetime


class LoginRedirect:
    """The response for users who are not logged in.

    Args:
        name: The name of the `Logins`.
        path: The route of the login.
    """

    def __init__(self, name: str, path: str) -> None:
        self._name = name
        #: Replaced when the application starts, because only then the prefix of a router is known.
        self.path = path

    @property
    def scheme(self) -> str:
        """The authentication scheme and realm; browsers would open a dialog for a scheme that they know."""
        return f'Session realm="{self._name}"'

    def url(self, connection: HTTPConnection, next_path: str | None = None) -> str:
        """Return the address of the login."""
        # In a mounted application `root_path` includes the mount.
        root = connection.scope.get("app_root_path", connection.scope.get("root_path", ""))
        path = f"{root}{self.path}"
        return f"{path}?{urlencode({'next': next_path})}" if next_path else path

    def response(self, connection: HTTPConnection) -> HTTPException:
        """Return a redirect to the login for browsers, 401 for programs."""
        accepts_html = "text/html" in connection.headers.get("accept", "")
        if connection.scope["type"] != "http" or connection.scope["method"] != "GET" or not accepts_html:
            # RFC 9110 §15.5.2 requires a challenge.
            return HTTPException(HTTPStatus.UNAUTHORIZED, headers={"WWW-Authenticate": self.scheme})
        headers = {"Location": self.url(connection, requested_path(connection)), "Cache-Control": "no-store"}
        return HTTPException(HTTPStatus.SEE_OTHER, headers=headers)


class LoggedInClient(SecurityScheme):
    """The dependency `logins.client`; with Starlette, `await logins.client(request)`.

    Args:
        name: The name of the `Logins`.
        sessions: The sessions.
        cookie: The session cookie.
        redirect: The response if nobody is logged in.
        scope: The scopes of a token whose provider names none (RFC 6749 §5.1).
    """

    def __init__(
        self, name: str, sessions: Sessions, cookie: SessionCookie, redirect: LoginRedirect, *, scope: str | None
    ) -> None:
        self.scheme_name: str = f"{name}-login"
        self.model: Any = cookie_model(cookie.full_name)
        self._sessions = sessions
        self._cookie = cookie
        self._redirect = redirect
        self._scope = scope or ""

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES) -> AsyncClient:
        """Return the client of the logged-in user.

        Args:
            connection: The request or web socket.
            security_scopes: The scopes of `Security(logins.client, scopes=[...])`, which the user's token must have.

        Raises:
            HTTPException: Nobody is logged in: a redirect to the login for browsers, 401 for programs. 403 if a scope
                is missing.
        """
        cookie = self._cookie.load(connection)
        client = None if cookie is None else await self._sessions.find(cookie["session"])
        if client is not None:
            with contextlib.suppress(TokenRequestRefused):  # its refresh token has expired
                token = await client.token()
                bind_user(connection, CurrentUser(auth_of(client), lambda: self._redirect.response(connection)))
                require_scopes(
                    security_scopes.scopes, (token.scope or self._scope).split(), scheme=self._redirect.scheme
                )
                return client
        raise self._redirect.response(connection)


class LoggedInUser(SecurityScheme):
    """The dependency `logins.user`; with Starlette, `await logins.user(request)`.

    Args:
        client: The dependency of the client.
        cookie: The session cookie.
        redirect: The response if nobody is logged in.
    """

    def __init__(self, client: LoggedInClient, cookie: SessionCookie, redirect: LoginRedirect) -> None:
        self.scheme_name: str = client.scheme_name
        self.model: Any = client.model
        self._client = client
        self._cookie = cookie
        self._redirect = redirect

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES) -> User:
        """Return the logged-in user; see `LoggedInClient`.

        Raises:
            HTTPException: Nobody is logged in, or a scope is missing.
        """
        await self._client(connection, security_scopes)
        cookie = self._cookie.load(connection)
        if cookie is None:
            raise self._redirect.response(connection)
        return User(
            id=hashlib.sha256(cookie["session"].encode()).hexdigest()[:16],
            name=cookie["name"] or None,
            since=dt.datetime.fromisoformat(cookie["since"]),
        )
